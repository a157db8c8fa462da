// Package router joins the gate, a home and an upstream into one state machine: a
// core router's upstream is the backbone, an edge router's is a client of its
// homes. It decides nothing about a single relation: it hands each event to the
// room that owns it and keeps their effects in order.
//
// What holds:
//   - A frame reaches only the room of its link's pair of roles and of its own
//     number: backbone frames between two cores, attachment frames on attachments.
//     All others are counted and go nowhere (spec §3.2).
//   - All rooms share one desk, one gate and one directory, so an envelope or a
//     document is checked once, whoever brought it.
//   - Step panics for a fault of this process only: time that goes back, a command
//     that nobody knows. Nothing that a peer sends makes it panic.
//
// It is pure: the same seed and events give the same effects (invariant I16).
package router
