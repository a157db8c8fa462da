// Package config turns a YAML file into a Config, or into all that is wrong with
// the file at once: each Problem with file, line, column, a sentence and a hint.
// It also knows the per-user paths that a router uses without any file.
//
// It is strict: unknown and repeated keys, values of the wrong type, aliases, tags
// and a second document are refused, so that a slip of the pen never becomes a
// default. It opens no other file, resolves no name, and does not know whether a
// key exists or a port is free.
//
// What holds for a Config that came without error:
//   - Listen holds endpoints without pin, Peers and Homes endpoints with one, and
//     no key stands twice among the last two and Accept.
//   - There are homes (an edge router), or peers and keys to accept (a core
//     router), or neither, never both.
//   - Data and Key are set; every limit lies in its range.
//
// All calls of the YAML library stand in yaml.go.
package config
