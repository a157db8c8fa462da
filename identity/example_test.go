package identity_test

import (
	"bytes"
	"errors"
	"fmt"

	"upsycle/identity"
)

func ExampleParseAddress() {
	a, role, err := identity.ParseAddress("upg132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqr03y4a")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(role, a.Short(role))
	fmt.Println(a.Text(identity.NoText))
	// Output:
	// group upg132yw8ht5
	// 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c
}

func ExampleParseAddress_mistyped() {
	_, _, err := identity.ParseAddress("upg132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqr03y4b")
	fmt.Println(err)
	_, _, err = identity.ParseAddress("upg132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqr03y4c")
	fmt.Println(err)
	var text *identity.TextError
	if errors.As(err, &text) {
		fmt.Println("hint:", text.Hint())
	}
	// Output:
	// character 62, 'b', does not occur in a key's text
	// the checksum does not fit: character 62, 'c', looks mistyped
	// hint: copy the key again instead of typing it
}

func ExampleParseEndpoint() {
	e, err := identity.ParseEndpoint("tls://[2001:db8::1]:7420#upr132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawq84fhjv")
	if err != nil {
		fmt.Println(err)
		return
	}
	host, port := e.HostPort()
	fmt.Println(e.Scheme, host, port, e.Pin.Short(identity.RouterText))
	fmt.Println(e.Bare())
	// Output:
	// tls 2001:db8::1 7420 upr132yw8ht5
	// tls://[2001:db8::1]:7420
}

func ExampleMarshalPEM() {
	// A seed that everybody knows. GenerateKey(rand.Reader) makes a real key.
	key, err := identity.NewKey(bytes.Repeat([]byte{1}, identity.SeedSize))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", identity.MarshalPEM(key))
	fmt.Println(key)
	// Output:
	// -----BEGIN PRIVATE KEY-----
	// MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB
	// -----END PRIVATE KEY-----
	// [secret]
}
