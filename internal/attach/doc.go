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
//   - An acknowledgement follows its cause, and its cause is durable: `attached` a
//     stored client, `subscribed` a stored subscription, `published` 0 custody
//     upstream and a row for all who subscribed here; a number is stored before it is
//     sent; the client's `delivered` comes out of Done.
//   - Nothing is deleted because it was sent, only because it was acknowledged, is
//     over or had to make room; the last two leave a counted gap (spec §5.5).
//   - What cannot be sent now waits within bounds: a slow target holds up no other
//     target of its client, a slow client no other client. Mail that waits is in the
//     store; in memory are its index and the bodies that come next.
//   - Within a stream envelopes pass in the order of their numbers, or a gap tells
//     (F5); everything is idempotent by id, and over restarts by the numbers of the
//     stream.
//   - All tables are bounded, whatever frames come in whatever order.
//
// Restarts. Restore takes back the rows that were stored (see HomeTables); with the
// first input they take their places: mailboxes go on under their names and numbers,
// subscriptions count at once, leases count from when a client left. Any prefix of
// the Stores that were asked for will do. What was delivered before is recognised by
// a mark for each stream: the numbers that lie or lay in mailboxes. A mark's row may
// lag behind, since it counts together with the mail itself; it is written in the
// commit that takes mail away. Likewise a client's row holds the highest number only
// as far as its mail does not show it. What waits behind a hole of its stream has a
// row of its own, unless it came with a receipt. After a Store that failed and a crash
// before it was repeated, what came behind it may pass first, and it late. A gap may
// be told twice after a crash, never left out.
//
// An edge router hands what is in its outbox over to its own home once more when it
// begins. A service's Client stores nothing.
package attach
