// Package router joins the gate, a home and an upstream into one state machine: a
// core router's upstream is the backbone, an edge router's is a client of its
// homes. It decides nothing about a single relation: it hands each event to the
// room that owns it and keeps their effects in order.
//
// It is pure: the same seed and events give the same effects (invariant I16).
package router
