package router

import (
	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// CheckRow reports whether a router could restore a row by itself: its form, not
// whether it fits the others.
func CheckRow(row machine.Row) error {
	r, err := New(Config{Role: wire.Core}, identity.Address{}, 0)
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
