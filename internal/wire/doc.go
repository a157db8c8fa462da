// Package wire has a value for each frame that crosses a link, one file for each,
// the two other signed documents of this version (homes and grants, spec §6), and
// the table of codes with the sentence and the hint that a person reads (spec §7).
//
// It decides nothing: whether a frame makes sense in a link's present state is the
// business of link, attach and backbone. It checks shapes and ranges, and hands
// out as claims what must still be verified.
//
// What holds:
//   - Decode accepts exactly one encoding of each value: what it returns encodes
//     to the bytes that it was given, unknown frames apart.
//   - Frames are immutable once made and may be queued on any number of links.
//     What Decode returns points into its input, which must not change any more.
//   - Weight is never below the encoded length, so queues that are bounded by
//     weight are bounded in bytes.
package wire
