// Package sim runs many routers in virtual time. A World holds nodes, each a
// machine.Machine with its key, and links between them; it carries out effects and
// brings back events after delays that come from one seeded generator. So a seed
// replays a run: the same frames at the same instants, whatever the processor.
//
// It is not a model of a router: it drives the real one (router.Router) and the
// real client (attach.Client). What it replaces are the shells: sockets, clocks,
// disks and signature workers.
//
// What a link promises, and no more (docs/spec.md, the rules L1 to L4):
//   - control frames arrive in order until the link ends; envelopes keep their own
//     order, and control frames may overtake them;
//   - LinkDown of an old link is handled before LinkUp of the next to the same peer;
//   - a router that crashes loses its memory, and with it its links;
//   - there is one link per pair of nodes.
//
// A run is watched by a Monitor, which checks after each step what must hold at
// every instant (I1, I2, I3, forged envelopes), and by checkers: pure functions
// over the routers' snapshots for what must hold once a network is quiet (I4 to
// I8) and over the ledger of what was published (delivery). Each checker is tested
// with a fault that was planted.
//
// Simulate plays the life of a random network; scripts under testdata play a
// conversation line by line. One command replays a seed:
//
//	go test ./internal/sim -run TestSeed -seed=8231 -routers=30 -v
package sim
