package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"upsycle/identity"
)

// ownCertificate wraps key into the certificate that its links present. All but
// the key is constant, so that a process looks the same at every start and the
// certificate tells nothing: it has no names, and nobody reads its dates.
func ownCertificate(key identity.Key) (tls.Certificate, error) {
	if key.IsZero() {
		return tls.Certificate{}, errors.New("link: no key to link with")
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	private := key.Private()
	// Ed25519 signs deterministically; no randomness is wanted.
	der, err := x509.CreateCertificate(nil, template, template, private.Public(), private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("link: cannot make a certificate of the key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}
