// Package backbone is the relation between two core routers: interest that only
// climbs, envelopes pushed along the primary tree, and the repair of what a push
// missed (spec §9 to §11). It is a pure state machine; tree tells it who its
// parents are, gate which envelopes have a right to exist.
//
// What it keeps:
//   - for each root a branch: the children that grafted themselves to this router,
//     with their interest; what was sent up; what the parent said of elsewhere;
//   - for each target that somebody here wants, sends or holds a local record;
//   - the envelopes of the last ten minutes: a cache for neighbours, which promises
//     nothing;
//   - the custody of what entered here, until it expires: its index in the Ledger,
//     its bytes in the store;
//   - what was offered and is missing, and what was delivered here;
//   - how far the route to each root is covered (S5).
//
// Invariants: nothing that comes from above ever enters what is sent up, so no
// interest sustains itself (J1); an envelope is forwarded only after its verdict
// and only as the bytes that came (F2); an acknowledgement leaves only the
// handler of Stored (F1); an entry of a child lives exactly as long as the child
// says so, or as its link (I5, I6).
//
// Restarts. A Ledger takes back the rows of the life before; New takes up what it
// holds. Everything else is rebuilt from links.
//
// It does not know mailboxes or clients: attach does.
package backbone
