package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"upsycle/internal/machine"
)

// A hook is a file system that calls on before and after each operation that may
// make something durable.
type hook struct {
	vfs.FS
	on func()
	// images keeps a power cut out of ReuseForWrite, in which MemFS takes its
	// lock twice.
	images *sync.Mutex
}

type hookFile struct {
	vfs.File
	on func()
}

func (h hook) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return hookFile{f, h.on}, nil
}

func (h hook) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.wrap(h.FS.Create(name, c))
}
func (h hook) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h.images.Lock()
	defer h.images.Unlock()
	return h.wrap(h.FS.ReuseForWrite(from, to, c))
}
func (h hook) OpenDir(name string) (vfs.File, error) { return h.wrap(h.FS.OpenDir(name)) }

func (h hook) Remove(name string) error {
	h.on()
	defer h.on()
	return h.FS.Remove(name)
}

func (h hook) Rename(from, to string) error {
	h.on()
	defer h.on()
	return h.FS.Rename(from, to)
}

func (f hookFile) Sync() error {
	f.on()
	defer f.on()
	return f.File.Sync()
}

func (f hookFile) SyncData() error {
	f.on()
	defer f.on()
	return f.File.SyncData()
}

func (f hookFile) SyncTo(n int64) (bool, error) {
	f.on()
	defer f.on()
	return f.File.SyncTo(n)
}

// The power is cut before and after every sync, removal and renaming, from the
// first of an empty directory to the last of Close, with none, some or all of what
// was not synced on the disk. What was acknowledged is there when the store is
// opened again.
func TestCrash(t *testing.T) {
	seeds := uint64(1)
	if *torture {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { crash(t, seed) })
	}
}

// An image is a disk after a power cut.
type image struct {
	fs    *vfs.MemFS
	acked int
	lost  int // percent of what was not synced that is lost
}

func crash(t *testing.T, seed uint64) {
	const size = 400
	rows := 600
	if *torture {
		rows = 2000
	}
	o, mem := memory(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	var acked atomic.Int64
	var mu sync.Mutex
	var images []image
	o.FS = hook{mem, func() {
		mu.Lock()
		defer mu.Unlock()
		kept := []int{0, 50, 100}[rng.IntN(3)]
		i := image{acked: int(acked.Load()), lost: 100 - kept}
		i.fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
		images = append(images, i)
	}, &mu}
	e, err := open(o, tuning{plan: current, memtable: 48 << 10, reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < rows; i += 10 {
		if _, err := fill(e, i, 10, size); err != nil {
			t.Fatal(err)
		}
		acked.Store(int64(i + 10))
		if i%100 == 0 {
			mustApply(t, e, row("a", fmt.Sprint(i)), cleared("b", "c"))
		}
	}
	mustClose(t, e)
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d power cuts", len(images))
	if len(images) < rows/10*2 {
		t.Fatalf("only %d power cuts", len(images))
	}
	for n, i := range images {
		o := Options{Dir: o.Dir, FS: i.fs}
		e, err := open(o, small)
		if err != nil {
			t.Fatalf("cut %d (%d acknowledged, %d %% lost): %v", n, i.acked, i.lost, err)
		}
		checkFilled(t, fmt.Sprintf("cut %d, %d %% lost", n, i.lost), e, i.acked, size)
		mustApply(t, e, row("a", "it goes on"))
		mustClose(t, e)
	}
}

// injector fails the n-th change of the disk, and all later ones if it is stuck.
type injector struct {
	n     int64
	stuck bool
	err   error
	count atomic.Int64
}

func (i *injector) String() string { return "injector" }

func (i *injector) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFilePreallocate {
		return nil
	}
	switch n := i.count.Add(1); {
	case i.n == 0, n < i.n, n > i.n && !i.stuck:
		return nil
	}
	return i.err
}

// Every change of the disk fails once, alone and for ever: no row that was
// acknowledged is lost, none is acknowledged that is not safe, and from the first
// error on there are only errors; what was acknowledged is read on.
func TestEveryWriteFails(t *testing.T) {
	dry := &injector{}
	failingRun(t, dry)
	total := dry.count.Load()
	step := int64(11)
	if *torture {
		step = 1
	}
	frozen := 0
	for n := int64(1); n <= total; n += step {
		for _, stuck := range []bool{false, true} {
			i := &injector{n: n, stuck: stuck, err: syscall.EIO}
			if failingRun(t, i) {
				frozen++
			}
		}
	}
	t.Logf("%d changes of the disk, %d runs ended in a frozen store", total, frozen)
	if frozen == 0 {
		t.Error("no failure was noticed")
	}
}

// failingRun fills a store on a disk that fails and opens what is left of it after
// a power cut. It reports whether the store froze.
func failingRun(t *testing.T, i *injector) (frozen bool) {
	t.Helper()
	const rows, size = 800, 400
	o, mem := memory(t)
	o.FS = errorfs.Wrap(mem, i)
	told := make(chan error, 1)
	o.Failed = func(err error) { told <- err }
	caption := fmt.Sprintf("change %d, stuck %v", i.n, i.stuck)
	e, err := open(o, tuning{plan: current, memtable: 48 << 10, reserve: 1})
	if err != nil {
		refused(t, caption, err, ErrIO)
		return false
	}
	acked, err := fill(e, 0, rows, size)
	if err != nil {
		frozen = true
		refused(t, caption, err, ErrIO)
		for range 3 {
			if again := e.Apply([]machine.Row{gone("k")}); !errors.Is(again, err) {
				t.Errorf("%s: later %v, first %v", caption, again, err)
			}
		}
		if <-told != err {
			t.Errorf("%s: another error was told", caption)
		}
	}
	checkFilled(t, caption+", before the cut", e, acked, size)
	cut := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := e.Close(); err != nil && i.n == 0 {
		t.Fatal(err)
	}
	for name, fs := range map[string]vfs.FS{"cut": cut, "restart": mem} {
		again, err := open(Options{Dir: o.Dir, FS: fs}, small)
		if err != nil {
			t.Fatalf("%s, %s: %v", caption, name, err)
		}
		checkFilled(t, caption+", "+name, again, acked, size)
		mustClose(t, again)
	}
	return frozen
}
