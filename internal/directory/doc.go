// Package directory remembers signed documents that were verified: the grants of
// addresses and the homes documents of clients (spec §6). It says what replaces
// what, and forgets what ended.
//
// It verifies nothing itself: only who has seen a document's signature hold may
// put it here. It decides no admission either; that a document is known saves its
// next check, no more.
//
// What holds:
//   - Of two grants for one address and router the later end wins; a grant that
//     has ended is not known.
//   - Of two homes documents of one client the higher epoch wins, and of one epoch
//     the first stays (spec §6.1).
//   - Both tables are bounded. A grant that found no room is verified again when
//     it comes again; a homes document that found none is refused.
package directory
