package loop

import (
	"sync"

	"upsycle/identity"
	"upsycle/internal/machine"
)

// workers answer Verify and Sign, which cost tens of microseconds each. Every
// link has a line of its own; lines with work take turns, one job each, so a link
// that asks for much waits behind itself. Jobs of one line run in parallel, but
// are answered in the order asked: an answer waits until those before it are
// ready.
type workers struct {
	key    identity.Key
	check  func(identity.Claim) bool
	answer func(machine.Event)
	ended  sync.WaitGroup

	mu       sync.Mutex
	wake     sync.Cond // work came, or stopping
	stopping bool
	lines    map[machine.LinkID]*line // those that have unanswered jobs
	signs    line                     // all Signs; always there
	ready    ring[*line]              // lines with jobs that nobody has begun
	free     []*line                  // empty lines, to be used again
}

// A line is the jobs of one link, or the Signs.
type line struct {
	link  machine.LinkID
	jobs  ring[job]
	begun int // jobs[:begun] are with a worker or done
}

// A job is one question, or its answer once that is there.
type job struct {
	verify machine.Verify
	sign   machine.Sign
	answer machine.Event // nil: not done
}

// keptLines is how many empty lines are kept for new links.
const keptLines = 64

func newWorkers(key identity.Key, check func(identity.Claim) bool, answer func(machine.Event)) *workers {
	w := &workers{key: key, check: check, answer: answer, lines: make(map[machine.LinkID]*line)}
	w.wake.L = &w.mu
	return w
}

// start begins n workers.
func (w *workers) start(n int) {
	for range n {
		w.ended.Go(w.work)
	}
}

// stop ends the workers and waits for them. Jobs that nobody has begun are
// dropped.
func (w *workers) stop() {
	w.mu.Lock()
	w.stopping = true
	w.mu.Unlock()
	w.wake.Broadcast()
	w.ended.Wait()
}

// verify queues a Verify in the line of its link.
func (w *workers) verify(v machine.Verify) {
	w.mu.Lock()
	ln := w.lines[v.Link]
	if ln == nil {
		ln = w.newLine(v.Link)
	}
	if ln.begun == ln.jobs.len() { // it has nothing to begin, so it is not in ready
		w.ready.push(ln)
	}
	ln.jobs.push(job{verify: v})
	w.mu.Unlock()
	w.wake.Signal()
}

// sign queues a Sign. The line of Signs enters before all others, because a
// router signs little and what it signs holds the trees together; when it has
// more than one job it takes turns like any line.
func (w *workers) sign(s machine.Sign) {
	w.mu.Lock()
	if w.signs.begun == w.signs.jobs.len() {
		w.ready.pushFront(&w.signs)
	}
	w.signs.jobs.push(job{sign: s})
	w.mu.Unlock()
	w.wake.Signal()
}

func (w *workers) newLine(link machine.LinkID) *line {
	ln := new(line)
	if n := len(w.free); n > 0 {
		ln, w.free = w.free[n-1], w.free[:n-1]
	}
	ln.link = link
	w.lines[link] = ln
	return ln
}

// work is one worker.
func (w *workers) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.ready.len() == 0 && !w.stopping {
			w.wake.Wait()
		}
		if w.stopping {
			return
		}
		ln := w.ready.pop()
		at := ln.jobs.popped() + uint64(ln.begun)
		j := *ln.jobs.at(ln.begun)
		if ln.begun++; ln.begun < ln.jobs.len() {
			w.ready.push(ln)
		}
		w.mu.Unlock()
		answer := w.do(j)
		w.mu.Lock()
		w.done(ln, at, answer)
	}
}

func (w *workers) do(j job) machine.Event {
	if j.sign.Token != 0 {
		return machine.Signed{Token: j.sign.Token, Sig: w.key.Sign(j.sign.Label, j.sign.Body)}
	}
	for i, c := range j.verify.Claims {
		if !w.check(c) {
			return machine.Verified{Token: j.verify.Token, Failed: i}
		}
	}
	return machine.Verified{Token: j.verify.Token, Failed: -1}
}

// done notes the answer to the job that was the at-th ever in ln, and gives away
// every answer that has none before it. It holds mu while it does, since two
// workers that gave away answers of one line at once could swap them.
func (w *workers) done(ln *line, at uint64, answer machine.Event) {
	ln.jobs.at(int(at - ln.jobs.popped())).answer = answer
	for ln.begun > 0 && ln.jobs.at(0).answer != nil {
		w.answer(ln.jobs.pop().answer)
		ln.begun--
	}
	if ln.jobs.len() > 0 || ln == &w.signs {
		return
	}
	delete(w.lines, ln.link)
	if len(w.free) < keptLines && ln.jobs.small() {
		w.free = append(w.free, ln)
	}
}
