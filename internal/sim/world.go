package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
)

// Epoch is when every world begins, in Unix milliseconds: 1 January 2026.
const Epoch = 1_767_225_600_000

// Config says how a world behaves. The zero Config is a usable world.
type Config struct {
	Seed uint64
	// Wire sends every frame as bytes: it is encoded, decoded, encoded again
	// and compared. Slower; catches what frames forget.
	Wire bool
	// Ed25519 signs and verifies for real; else a keyed hash stands for it.
	Ed25519 bool
	// StoreLate answers Store after up to 5 ms, as a disk would; else at once.
	StoreLate bool
	// Durable keeps what was stored over crashes; else a crash takes it away.
	Durable bool
	// Overtake lets control frames overtake envelopes on a link, as the real
	// link's queues do (rule L1).
	Overtake bool
	// Bandwidth of a link in bytes a second; 0: no limit.
	Bandwidth int
	// DeepHash hashes what frames say, not only their types and sizes (I16).
	DeepHash bool
}

// A World is a network in virtual time. It is not safe for concurrent use; many
// worlds may run at once.
type World struct {
	cfg      Config
	now      int64 // microseconds since Epoch
	queue    queue
	random   *rand.Rand
	ring     *keyring
	nodes    []*Node
	byKey    map[identity.Address]*Node
	links    []*Link
	watchers []Watcher
	out      []machine.Effect
	buf      []byte

	Events int    // steps that machines took
	Hash   uint64 // of all effects so far (I16)
	faults []string
	burst  int // events at one instant, to notice a livelock
}

// A Watcher sees each step of each machine, after its effects were queued.
type Watcher interface {
	Stepped(n *Node, ev machine.Event, effects []machine.Effect)
}

// NewWorld returns an empty world at Epoch.
func NewWorld(cfg Config) *World {
	return &World{
		cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)), ring: newKeyring(cfg.Ed25519),
		byKey: make(map[identity.Address]*Node), Hash: hashStart,
	}
}

// Now returns the time since Epoch.
func (w *World) Now() time.Duration { return time.Duration(w.now) * time.Microsecond }

// Watch adds a watcher.
func (w *World) Watch(x Watcher) { w.watchers = append(w.watchers, x) }

// Faults returns what broke, one sentence each; empty is good.
func (w *World) Faults() []string { return w.faults }

// Fault notes that something broke. The list is bounded: the first ones matter.
func (w *World) Fault(format string, args ...any) {
	if len(w.faults) < faultsMax {
		w.faults = append(w.faults, fmt.Sprintf("%9.3fs ", w.Now().Seconds())+fmt.Sprintf(format, args...))
	}
}

const faultsMax = 50

// Run lets virtual time pass.
func (w *World) Run(d time.Duration) { w.runTo(w.now + d.Microseconds()) }

func (w *World) runTo(until int64) {
	for w.queue.len() > 0 && w.queue.next() <= until {
		at := w.queue.next()
		if at > w.now {
			w.now, w.burst = at, 0
		} else if w.burst++; w.burst > burstMax {
			panic(fmt.Sprintf("sim: %d events at one instant, %v after the start: a livelock", w.burst, w.Now()))
		}
		w.happen(w.queue.pop())
	}
	w.now = max(w.now, until)
}

// burstMax is how many events may share one instant. A network of a thousand
// routers comes to a few thousand.
const burstMax = 2_000_000

func (w *World) happen(e event) {
	switch {
	case e.do != nil:
		e.do()
	case e.node.m == nil || e.node.life != e.life:
	case e.end != nil && !e.end.takes(e.ev):
	default:
		e.node.step(e.ev)
	}
}

// after queues a call.
func (w *World) after(d int64, do func()) { w.queue.put(w.now+d, event{do: do}) }

// between returns a random number of microseconds.
func (w *World) between(from, to time.Duration) int64 {
	return from.Microseconds() + w.random.Int64N(max(1, (to-from).Microseconds()))
}

// Watchers, hashes: FNV-1a over what each effect is.
const (
	hashStart = 14695981039346656037
	hashPrime = 1099511628211
)

func (w *World) mix(v uint64) {
	for range 8 {
		w.Hash = (w.Hash ^ v&0xff) * hashPrime
		v >>= 8
	}
}

func (w *World) mixBytes(b []byte) {
	for _, c := range b {
		w.Hash = (w.Hash ^ uint64(c)) * hashPrime
	}
}

// mixEffect takes an effect into the hash.
func (w *World) mixEffect(n *Node, e machine.Effect) {
	w.mix(uint64(n.index)<<48 ^ uint64(w.now))
	s, ok := e.(machine.Send)
	switch {
	case !ok && w.cfg.DeepHash:
		w.mixBytes([]byte(e.String()))
	case !ok:
		w.mix(kindOf(e))
	default:
		w.mix(uint64(s.Link)<<16 ^ uint64(s.Frame.Type())<<8 ^ uint64(s.Class))
		w.mix(uint64(s.Frame.Weight()))
		if w.cfg.DeepHash {
			w.buf = s.Frame.AppendTo(w.buf[:0])
			w.mixBytes(w.buf)
		}
	}
}

func kindOf(e machine.Effect) uint64 {
	switch x := e.(type) {
	case machine.Verify:
		return 1<<56 | uint64(x.Token)
	case machine.Sign:
		return 2<<56 | uint64(x.Token)
	case machine.Store:
		return 3<<56 | uint64(x.Token) ^ uint64(len(x.Rows))
	case machine.Close:
		return 4<<56 | uint64(x.Link)<<8 | uint64(x.Code)
	case machine.Pause:
		return 5<<56 | uint64(x.Link)
	case machine.Deliver:
		return 6 << 56
	case machine.Report:
		return 7<<56 | uint64(x.Event)<<32 | uint64(x.Link)
	}
	return 0
}

// Names and keys.

// Name returns the name of an address in this world.
func (w *World) Name(a identity.Address) string { return w.ring.name(a) }

// Node returns the node of an address, or nil.
func (w *World) Node(a identity.Address) *Node { return w.byKey[a] }
