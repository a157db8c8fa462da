package node

import (
	"errors"
	"fmt"
	"path/filepath"

	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/store"
	"upsycle/internal/store/disk"
)

// storeName is the store's directory in the data directory.
const storeName = "store"

// openStore opens what the router remembers by, and hands it what it remembered. A
// router without a data directory remembers nothing: its store is its memory.
func (n *Node) openStore() error {
	engine, err := n.engine()
	if err != nil {
		return err
	}
	n.onStop(func() {
		if err := engine.Close(); err != nil {
			n.log.Error("the store did not close cleanly", "error", err)
		}
	})
	n.writer = store.NewWriter(engine, n.loop.Answer, 0)
	n.reader = store.NewReader(engine, n.loop.Answer)
	return n.restore(engine)
}

func (n *Node) engine() (store.Engine, error) {
	if n.cfg.Data == "" {
		return store.NewMemory(n.cfg.Store), nil
	}
	return disk.Open(disk.Options{
		Dir: filepath.Join(n.cfg.Data, storeName), Limit: n.cfg.Store, Log: n.log,
		Failed: func(err error) {
			n.log.Error("the store failed; publishes are refused until the router is started again", "error", err)
		},
	})
}

// restore gives every stored row to the machine. A row that cannot be read stops
// the router before it changes anything: what is still good stays as it is.
func (n *Node) restore(engine store.Engine) error {
	rows := 0
	take := func(row machine.Row) error {
		rows++
		return n.machine.Restore(row)
	}
	var err error
	if e, ok := engine.(*disk.Engine); ok {
		err = e.Each(nil, nil, take)
	}
	if errors.Is(err, router.ErrRow) {
		return &Error{
			fmt.Sprintf("the store in %s has a row that this program cannot read: %v", filepath.Join(n.cfg.Data, storeName), err),
			"look at it with: upsycle store check " + n.cfg.Data + "; it is of another version, or damaged: restore it from a backup, or move it aside", err,
		}
	}
	if err == nil && rows > 0 {
		n.log.Info("restored", "rows", rows)
	}
	return err
}
