// Package safefile reads and writes files that hold secrets, and keeps a second
// process out of a directory: key files, the data directory, the per-user
// directory of the socket.
//
// It looks at the file it has opened, not at the path, so that nobody can swap
// the one for the other in between. It knows nothing of what is in a file, and it
// repairs nothing: whoever let others read a key must be told, since the key may
// be known by now.
//
// What holds:
//   - Nothing is returned from a file that its group or the world could read or
//     change, that belongs to somebody else, or that is no regular file.
//   - What was written is on the disk when Write or Replace returns; after a
//     crash a replaced file is the old or the new one, whole.
//   - A refusal is an *Error: one sentence, and a hint for the user.
//
// It is for Unix-like systems.
package safefile
