package link

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"

	"upsycle/identity"
)

// alpn is the one protocol name that is offered and accepted.
const alpn = "upsycle/1"

// certificateMax bounds the peer's certificate; ours has 176 bytes.
const certificateMax = 1024

// Why a handshake is refused. They reach the peer as a TLS alert only.
var (
	errForm   = errors.New("link: want TLS 1.3, a full handshake, our ALPN, one certificate of at most 1 KiB")
	errKey    = errors.New("link: not an Ed25519 certificate with a valid address")
	errPin    = errors.New("link: not the pinned key")
	errDenied = errors.New("link: the key is on the deny list")
)

// linkConfig is the configuration of every link, for dialling and accepting
// alike (spec §3.1). A zero pin pins nothing; only accepting sides and first-use
// dials have none.
//
// VerifyConnection and refuse are PURE. They run before the peer has proved that
// it holds the certificate's key, so they may look and say no, and must not
// record, count or replace anything: whoever knows a key could otherwise act on
// its owner's account. Effects wait until Handshake has returned nil.
func linkConfig(self tls.Certificate, pin identity.Address, refuse func(identity.Address) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{self},
		NextProtos:             []string{alpn},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection is the verification; ServerName stays empty, so no SNI is sent
		SessionTicketsDisabled: true, // a banned key must not return on a ticket
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
		VerifyConnection: func(cs tls.ConnectionState) error {
			peer, err := claimedPeer(cs)
			switch {
			case err != nil:
				return err
			case !pin.IsZero() && peer != pin:
				return errPin
			}
			return refuse(peer)
		},
	}
}

// claimedPeer returns the address that a connection's certificate claims. Nothing
// else in the certificate is read: it is the peer's text.
func claimedPeer(cs tls.ConnectionState) (identity.Address, error) {
	if cs.Version != tls.VersionTLS13 || cs.DidResume || cs.NegotiatedProtocol != alpn ||
		len(cs.PeerCertificates) != 1 || len(cs.PeerCertificates[0].Raw) > certificateMax {
		return identity.Address{}, errForm
	}
	public, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return identity.Address{}, errKey
	}
	peer, err := identity.NewAddress(public)
	if err != nil {
		return identity.Address{}, errKey
	}
	return peer, nil
}
