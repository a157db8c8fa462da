// Package disk is the store's durable engine: rows in a directory, on
// github.com/cockroachdb/pebble. It knows keys and values and nothing of what they
// mean; docs/store.md says which table begins with which byte.
//
// What holds:
//   - Apply returns nil only after the rows were synced. They are there after a
//     crash of the process, of the system, of the power.
//   - Nothing that an Apply acknowledged disappears in silence. Checksums guard
//     what is in the files, a count of the acknowledged commits (file
//     ACKNOWLEDGED) guards the end of the log, which no checksum can.
//   - The first write or sync that fails freezes the directory: nothing in it
//     changes any more, every later Apply fails with that first error, reads go on.
//     What a failed sync left behind is unknown, so nobody builds on it.
//   - What cannot be read is never a reason to delete what can be: Open deletes
//     nothing before it has found everything that was acknowledged.
//   - A directory that a newer program wrote is refused and not touched.
//
// It is for one process at a time, on a local file system that keeps its word
// about fsync.
package disk
