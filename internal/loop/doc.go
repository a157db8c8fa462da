// Package loop runs one machine.Machine: one goroutine calls Step, a pool of
// workers answers Verify and Sign, every other effect goes to a Shell in the
// order in which it was decided. All concurrency policy of routers and of the
// SDK is in this room: who may block, who may not, and what waits for what.
//
// It decides nothing about messages, links or stores, and knows no frame.
//
// What holds:
//   - Step, Deadline, Shell.Do and the functions given to Call run on one
//     goroutine, the one that called Run. Nothing else touches the machine.
//   - Events that come in wait in a bounded inbox, and Post blocks while it is
//     full: that is how a slow machine slows down the links that feed it.
//   - Answers never wait for the inbox. They have a queue of their own, which
//     is read first and holds no more than was asked, so that a full inbox can
//     not keep back the answer that would empty it.
//   - The inbox is not read while more than VerifiesMax verifications or
//     StoresMax writes are unanswered. Answers, ticks and calls go on.
//   - One link's Verified come in the order asked. Links take turns at the
//     workers, so a link that asks for much delays itself only.
//   - The machine's now never goes back, whatever the clock does.
//   - When Run has returned, no goroutine of the loop is left and Post returns
//     ErrStopped.
//
// It works inside a testing/synctest bubble, if New and Run are called there.
package loop
