// Package machine is the border between deciding and doing. A Machine gets events
// and answers with effects; it holds no clock, socket, disk or secret key. Shells
// (loop, node, the SDK, the simulator) carry the effects out and bring back what
// came of them.
//
// It has no behaviour of its own beyond the Desk, on which the sub-machines of one
// machine lay the effects of one Step, in the order in which they were decided.
//
// What holds:
//   - A Verify, Sign or Store with a token is answered exactly once, by Verified,
//     Signed or Stored with the same token; one link's Verified and all Stored come
//     in the order asked. After a crash nothing is answered: tokens die with the
//     process.
//   - LinkDown of a key's old link comes before LinkUp of its new one, and nothing
//     of a link comes after its LinkDown.
//   - Every Event and Effect has a String that logs, scripts and the simulator
//     share, so a run can be read and compared.
package machine
