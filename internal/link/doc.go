// Package link carries frames between two keys that have proved themselves. It
// holds everything that a connection needs before and beside the core: TLS with
// pinned keys, listening, dialling with back-off, hello, ping, close, queues by
// class, and the choice between two links of one key.
//
// It decides nothing about messages and nothing about who is welcome: that is
// the gate's, after LinkUp. It knows hello, ping, pong and close; every other
// frame is decoded here, since that is work for many processors, and handed on.
//
// What holds at any time:
//
//   - Nothing has an effect before the TLS handshake has returned: a certificate
//     only claims a key. In particular no link is replaced, no key stored and no
//     counter of a key touched on the strength of a claim (spec §3.1).
//   - A process has at most one link for each key. LinkDown of an older link has
//     returned from the Handler before LinkUp of its successor is called, and no
//     Drained follows a LinkDown.
//   - Frames of one class leave in the order in which they were sent; control
//     frames are never dropped while the link lives.
//   - A length on the wire is held against the limit of the link's state before
//     anything is allocated, and the buffer grows only as bytes arrive. A decoded
//     frame points into its own buffer, which nobody uses again.
//   - Whatever a peer sends ends at worst its own link, with a code and one
//     sentence; other links do not notice.
//   - Close leaves no goroutine behind.
//
// Two networks satisfy Network: System, real TCP and unix sockets, and Memory,
// pipes inside the process that can be cut, frozen and healed. The same TLS runs
// over both. Everything here works inside testing/synctest with Memory.
//
// The rules are those of spec §3.
package link
