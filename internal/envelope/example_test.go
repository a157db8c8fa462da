package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"upsycle/identity"
)

// TestWorkedExample holds the code against spec §4.5 byte for byte: the same
// numbers came out of another implementation, in another language.
func TestWorkedExample(t *testing.T) {
	const (
		groupKey  = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
		writerKey = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
		certBody  = "86 01 5820" + groupKey + "5820" + writerKey + "1b0000019b71b44c00 1b0000019d46570000 03"
		prefix    = "8c 01 00 5820" + groupKey + "5820" + writerKey + "48 0505050505050505 00 01 1b0000019b76daa800 1a00093a80 00"
		bodyHash  = "a76baf7d30b6e73cac322391d09b96e0ac9d06421da5457103ca407ec091dd45"
		certHash  = "eb91c7be1b7f00032a86f7b960a29de498721ecb65b99e2f174f9f10c9dc578d"
		signature = "54286e65938efd24c8f61aa8d3b67fbaa10302100e48d54987353076c2b2d55f" +
			"91717ca0f1e18551e611a46dc3cab141336ead1041952642bbbe10b861d4e50d"
		id = "c1ed76e21f4866938807f68d4646c2d47001d9d0ac89bb1f35570b5d6a888b5f"
	)
	group, writer := testKey(t, 1), testKey(t, 2)
	same(t, "group", group.Address().Bytes(), groupKey)
	same(t, "writer", writer.Address().Bytes(), writerKey)

	cert := IssueCertificate(group, writer.Address(), certFrom, certTo, MayStore|MayLive)
	same(t, "certificate", cert.Signed.Body, certBody)
	hash := cert.hash()
	same(t, "hash of the certificate", hash[:], certHash)

	h := Header{
		Target: Target{Group, group.Address()}, From: writer.Address(), Run: Run{5, 5, 5, 5, 5, 5, 5, 5},
		Count: 1, Time: exampleTime, TTL: exampleTTL, HasCert: true, CertHash: cert.hash(),
	}
	copy(h.BodyHash[:], unhex(t, bodyHash))
	header := h.AppendTo(nil)
	same(t, "header", header, prefix+"5820"+bodyHash+"5820"+certHash)
	sig := writer.Sign(identity.LabelEnvelope, header)
	same(t, "signature", sig[:], signature)

	// The sealed body's bytes are another chapter's; only its hash is signed.
	e, err := Parse(Assemble(header, sig, cert, make([]byte, 320)), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "id", e.ID[:], id)
	if len(e.Raw) != 715 {
		t.Errorf("the envelope has %d bytes, want 715", len(e.Raw))
	}
	if !e.SigClaim().Holds() || !cert.Claim().Holds() || e.Fits() != nil {
		t.Error("signature or certificate does not hold")
	}
	if e.BodyClaim().Holds() {
		t.Error("a body of zeros passes for the sealed one")
	}
}

// The same message in plaintext, which this version can check from end to end.
func TestWorkedExampleInPlaintext(t *testing.T) {
	e := newFixture(t).sign(t)
	same(t, "body", e.Body, "81 45 68656c6c6f")
	want := sha256.Sum256(e.Body)
	if e.BodyHash != want {
		t.Error("the header names another body")
	}
	if _, f := Check(e.Raw, nil); f != nil {
		t.Error(f)
	}
}

func same(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s is %s, want %s", what, hex.EncodeToString(got), want)
	}
}
