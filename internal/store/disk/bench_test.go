package disk

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/machine"
	"upsycle/internal/store"
)

const benchSize = 400

// counted is a file system that counts what is written and synced.
type counted struct {
	vfs.FS
	bytes, syncs atomic.Int64
}

type countedFile struct {
	vfs.File
	c *counted
}

func (c *counted) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return countedFile{f, c}, nil
}

func (c *counted) Create(name string, d vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.Create(name, d))
}
func (c *counted) ReuseForWrite(from, to string, d vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.ReuseForWrite(from, to, d))
}

func (f countedFile) Write(p []byte) (int, error) {
	f.c.bytes.Add(int64(len(p)))
	return f.File.Write(p)
}

func (f countedFile) SyncData() error {
	f.c.syncs.Add(1)
	return f.File.SyncData()
}

func (f countedFile) Sync() error {
	f.c.syncs.Add(1)
	return f.File.Sync()
}

// appended is the least that a durable engine can do: it appends what it is given
// to a file and syncs it.
type appended struct {
	store.Engine // nil: only Apply is called
	f            vfs.File
	b            []byte
}

func (a *appended) Apply(rows []machine.Row) error {
	a.b = a.b[:0]
	for _, r := range rows {
		a.b = append(append(a.b, r.Key...), r.Value...)
	}
	if _, err := a.f.Write(a.b); err != nil {
		return err
	}
	return a.f.SyncData()
}

// inFlight stores n rows through a Writer with so many unanswered at a time, and
// returns rows a second.
func inFlight(b *testing.B, e store.Engine, n, window int) float64 {
	b.Helper()
	answered := make(chan struct{}, window)
	w := store.NewWriter(e, func(ev machine.Event) {
		if err := ev.(machine.Stored).Err; err != nil {
			b.Error(err)
		}
		answered <- struct{}{}
	}, 0)
	defer w.Close()
	body := make([]byte, benchSize)
	for i := range body {
		body[i] = byte(rand.Uint32()) // ciphertext, as far as a store can tell
	}
	start, waiting := time.Now(), 0
	for range n {
		if waiting == window {
			<-answered
			waiting--
		}
		key := binary.BigEndian.AppendUint64([]byte{'e'}, rand.Uint64()) // letters are keyed by a hash
		w.Store(machine.Store{Token: 1, Rows: []machine.Row{{Key: key, Value: body}}})
		waiting++
	}
	for ; waiting > 0; waiting-- {
		<-answered
	}
	return float64(n) / time.Since(start).Seconds()
}

// What group commit makes of one disk: rows of 400 B from 1, 64 and 1,024 stores in
// flight, beside a file to which the same is appended and synced, in turns in one
// run.
func BenchmarkWriter(b *testing.B) {
	for _, window := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(window, " in flight"), func(b *testing.B) {
			fs := &counted{FS: vfs.Default}
			e, err := Open(Options{Dir: b.TempDir() + "/store", FS: fs, Memory: 256 << 20})
			if err != nil {
				b.Fatal(err)
			}
			f, err := vfs.Default.Create(b.TempDir()+"/file", vfs.WriteCategoryUnspecified)
			if err != nil {
				b.Fatal(err)
			}
			raw, turn := &appended{f: f}, 250*window // about a second
			var rows, rate, rawRate float64
			fs.bytes.Store(0)
			fs.syncs.Store(0)
			for b.Loop() {
				rate += inFlight(b, e, turn, window)
				rawRate += inFlight(b, raw, turn, window)
				rows += float64(turn)
			}
			n := float64(b.N)
			b.ReportMetric(rate/n, "rows/s")
			b.ReportMetric(rate/rawRate, "of-append")
			b.ReportMetric(rows/float64(fs.syncs.Load()), "rows/sync")
			b.ReportMetric(float64(fs.bytes.Load())/rows, "B/row")
			b.ReportMetric(0, "ns/op")
			if err := e.Close(); err != nil {
				b.Error(err)
			}
			f.Close()
		})
	}
}

// How a router reads 100,000 rows when it starts, opening included.
func BenchmarkRestore(b *testing.B) {
	const rows = 100_000
	o := Options{Dir: b.TempDir() + "/store"}
	e, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < rows; i += 1000 {
		var batch []machine.Row
		for j := i; j < i+1000; j++ {
			batch = append(batch, numbered(j, benchSize))
		}
		mustApply(b, e, batch...)
	}
	mustClose(b, e)
	b.ReportAllocs()
	for b.Loop() {
		e, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		if err := e.Each(nil, nil, func(machine.Row) error { n++; return nil }); err != nil || n != rows {
			b.Fatal(n, err)
		}
		mustClose(b, e)
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// What a commit costs when the disk costs nothing.
func BenchmarkApplyInMemory(b *testing.B) {
	e, err := Open(Options{Dir: "/store", FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]machine.Row, 64)
	value := make([]byte, benchSize)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		for j := range rows {
			rows[j] = machine.Row{Key: binary.BigEndian.AppendUint64([]byte{'e'}, i<<8|uint64(j)), Value: value}
		}
		mustApply(b, e, rows...)
	}
	b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	mustClose(b, e)
}
