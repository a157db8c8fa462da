// Package attach is the relation between a client and its home, both ends of it.
// A client is a service or an edge router; a home is the router that it attaches
// to. Home keeps a numbered mailbox for each client and takes what clients
// publish; Client keeps what this process publishes until a home has it, and
// takes in what homes deliver. On an edge router one of each are bound together:
// the home's Upstream is the client, the client's Downstream is the home.
// Sequencer puts streams in order; homes and ends share it.
//
// It knows no trees and no other cores (backbone), judges no envelope (gate), and
// never opens a body.
//
// What holds:
//   - An acknowledgement follows its cause: `published` 0 comes out of Taken, which
//     the upstream calls once it has custody; a number is stored before it is
//     sent; the client's `delivered` comes out of Done.
//   - Nothing is deleted because it was sent, only because it was acknowledged, is
//     over or had to make room; the last two leave a counted gap (spec §5.5).
//   - What cannot be sent now waits within bounds: a slow target holds up no other
//     target of its client, a slow client no other client.
//   - Within a stream envelopes pass in the order of their numbers, or a gap tells
//     (F5); everything is idempotent by id.
//   - All tables are bounded, whatever frames come in whatever order.
//
// With storage in memory a mailbox ends with the process. A new one has another
// box, by which the client knows to say everything again.
package attach
