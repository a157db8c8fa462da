// Package identity holds what names somebody and what proves it: an Address is
// an Ed25519 public key that has been checked, a Key is the private half. It
// reads and prints their text forms, endpoints that carry a pinned key, and the
// PEM files that OpenSSL writes; it signs and verifies under a Label.
//
// It opens no file and no connection, reads no clock and makes no randomness of
// its own. What a key may do is decided elsewhere: the role in a text form says
// what its writer meant, and nothing else rests on it.
//
// What holds:
//   - An Address other than the zero one is a canonical point of large order
//     (spec §2.2); there is no way to make another.
//   - Each address has one printed form for a role, and each endpoint one; what
//     a parser accepted prints back as that form.
//   - A Key prints as "[secret]", even inside a struct that hides it.
//   - A refusal is a *TextError: one sentence, and a hint for the user.
package identity
