// Package store keeps the rows that machines ask to be stored. An Engine is where
// rows are: ordered keys and values, committed in batches. A Writer stands before
// an engine and answers Store effects: it commits together all that waits, so
// that one sync serves many.
//
// It knows nothing of what the bytes mean: a row belongs to the machine that made
// it, and only the first byte 0 is the engine's own. Memory is the engine that
// survives nothing; package disk has the durable one.
//
// What holds:
//   - Stored comes once for each Store with a token, in the order asked, and not
//     before its rows are as durable as the engine makes them.
//   - The rows of one Store become visible together, or not at all.
//   - What does not fit is refused with ErrFull, and only that: a Store that was
//     committed together with it does not suffer.
//   - Deletions are never refused for want of room.
//   - Slices that were given are kept, not copied: nobody may change them later.
package store
