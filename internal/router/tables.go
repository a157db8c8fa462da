package router

import (
	"strings"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// NewChecker returns a function that takes the rows of self's store, in the order of
// their keys, and says of each what a router would say that restores it: nil, or
// why it cannot be read. It serves a core's rows and an edge's.
func NewChecker(self identity.Address) (func(machine.Row) error, error) {
	core, err := New(Config{Role: wire.Core}, self, 0)
	if err != nil {
		return nil, err
	}
	edge, err := New(Config{Role: wire.Edge, Homes: []identity.Address{self}}, self, 0)
	if err != nil {
		return nil, err
	}
	return func(row machine.Row) error {
		if len(row.Key) > 0 && strings.IndexByte(attach.ClientTables, row.Key[0]) >= 0 {
			return edge.Restore(row)
		}
		return core.Restore(row)
	}, nil
}

// TableName says in a word what the rows with a first byte are.
func TableName(first byte) string {
	switch first {
	case 'b':
		return "clients"
	case 'c':
		return "custody"
	case 'd':
		return "streams"
	case 'e':
		return "letters"
	case 'h':
		return "homes"
	case 'k':
		return "delivered here"
	case 'm':
		return "mail"
	case 'o':
		return "outbox"
	case 'q':
		return "behind holes"
	case 's':
		return "subscriptions"
	case 'v':
		return "coverage"
	case 'x':
		return "exposure"
	}
	return "unknown"
}
