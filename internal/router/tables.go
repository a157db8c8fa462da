package router

import (
	"strings"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// CheckRow reports whether a router could restore a row by itself: its form, not
// whether it fits the others.
func CheckRow(row machine.Row) error {
	cfg := Config{Role: wire.Core}
	if len(row.Key) > 0 && strings.IndexByte(attach.ClientTables, row.Key[0]) >= 0 {
		cfg = Config{Role: wire.Edge, Homes: make([]identity.Address, 1)}
	}
	r, err := New(cfg, identity.Address{}, 0)
	if err != nil {
		return err
	}
	return r.Restore(row)
}

// TableName says in a word what the rows with a first byte are.
func TableName(first byte) string {
	switch first {
	case 'b':
		return "clients"
	case 'c':
		return "custody"
	case 'd':
		return "delivered to clients"
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
	case 's':
		return "subscriptions"
	case 'v':
		return "coverage"
	case 'x':
		return "exposure"
	}
	return "unknown"
}
