// Package ordered has the two containers that pure machines iterate over: a map
// that visits its keys in a defined order, and an agenda of what is due when.
// Go's own maps visit in a random order, which would make a run impossible to
// replay from its seed; nothing in the core ranges over one.
//
// The order never depends on the history of a container: two maps with the same
// keys visit them alike, whatever was put in and deleted before. Neither type is
// safe for concurrent use.
package ordered
