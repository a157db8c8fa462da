package node

import (
	"io"
	"path/filepath"

	"upsycle/identity"
	"upsycle/internal/router"
	"upsycle/internal/store/disk"
)

// StoreReport is what a check of a store found.
type StoreReport = disk.Report

// StoreStat says what is in a store.
type StoreStat = disk.Stat

func storeOf(data string) disk.Options {
	return disk.Options{Dir: filepath.Join(data, storeName), ReadOnly: true}
}

// CheckStore reads all of the store in a data directory and changes nothing. No
// router may run on it. Every row must be one that the router self restores; the
// zero Address leaves that out.
func CheckStore(data string, self identity.Address) (StoreReport, error) {
	if self.IsZero() {
		return disk.Check(storeOf(data), nil)
	}
	form, err := router.NewChecker(self)
	if err != nil {
		return StoreReport{}, err
	}
	return disk.Check(storeOf(data), form)
}

// StatStore adds up what is in the store of a data directory.
func StatStore(data string) (StoreStat, error) {
	var s StoreStat
	err := inspect(data, func(e *disk.Engine) (err error) {
		s, err = e.Stat(nil)
		return err
	})
	return s, err
}

// DumpStore writes all rows of the store in a data directory: a CBOR sequence of
// [key, value], or a JSON array a line in hexadecimal digits.
func DumpStore(data string, w io.Writer, json bool) error {
	format := disk.CBOR
	if json {
		format = disk.JSON
	}
	return inspect(data, func(e *disk.Engine) error { return e.Dump(w, format) })
}

func inspect(data string, look func(*disk.Engine) error) error {
	e, err := disk.Open(storeOf(data))
	if err != nil {
		return err
	}
	err = look(e)
	if closed := e.Close(); err == nil {
		err = closed
	}
	return err
}

// TableName says in a word what the rows with a first byte are.
func TableName(first byte) string { return router.TableName(first) }
