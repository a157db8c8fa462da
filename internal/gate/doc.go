// Package gate decides the right to exist: whether a link may be, and whether an
// envelope is admitted. Every room that takes envelopes asks it, so a message is
// checked everywhere in the same way and in the same order (spec §4.4).
//
// The pure part of that order is envelope.Check's; this package adds what depends
// on time, place and policy, asks for the signatures to be verified (an effect),
// and remembers ids. Only it can make an Admitted that holds an envelope.
//
// Of the classes of clients that may be wanted it knows two: trusted (the key is named in
// the configuration) and member (any other that is let in; `local` and `any`
// admit as member). Guests, who would get transit and no storage, are not let in
// yet, nor are group records: nothing is revoked.
//
// What holds:
//   - A failed check leaves every cache, and the budget of the writer it names,
//     as they were (P6): the seen-cache takes an id, and a writer is debited,
//     only after the signatures held.
//   - The cache of verified certificates matches body and signature (P7): with a
//     cold and with a warm one the verdict is the same.
//   - An id is not forgotten for 15 minutes after its last sight; a full cache
//     refuses new envelopes and evicts no young id (F4).
//   - A copy that comes while another with its id is being checked waits for the
//     verdict: a forged copy cannot hide the real one.
//   - Only faults that every honest router would see are charged.
package gate
