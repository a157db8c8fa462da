package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"upsycle/identity"
	"upsycle/internal/machine"
)

// asker is a machine that turns an event {Link, Weight} into a Verify of that
// link with a claim that holds Weight, and notes the answers.
func asker() *toy {
	m := &toy{}
	m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
		d, ok := ev.(machine.Drained)
		if !ok {
			return out
		}
		return append(out, machine.Verify{
			Token:  machine.Token(uint64(d.Link)<<32 | uint64(d.Weight)),
			Link:   d.Link,
			Claims: []identity.Claim{{Body: []byte(fmt.Sprint(d.Weight))}},
		})
	}
	return m
}

// answersOf returns "link/number failed" of what m was told.
func answersOf(m *toy) []string {
	var got []string
	for _, s := range m.seen {
		var token uint64
		var failed int
		if n, _ := fmt.Sscanf(s, "verified %x %d", &token, &failed); n == 2 {
			got = append(got, fmt.Sprintf("%d/%d %d", token>>32, token&0xffffffff, failed))
		}
	}
	return got
}

// Checks take random times; one link's answers come in order all the same, and the
// links do not wait for each other.
func TestAnswersOfOneLinkKeepTheirOrder(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			times := map[string]time.Duration{}
			for n := range 60 {
				times[fmt.Sprint(n)] = time.Duration(rng.IntN(50)) * time.Millisecond
			}
			m := asker()
			l := New(Config{Machine: m, Shell: shell(ignore), Workers: 5, Check: func(c identity.Claim) bool {
				time.Sleep(times[string(c.Body)]) // the bubble's time
				return string(c.Body) != "13"
			}})
			stop := runs(t, l)
			for n := range 60 {
				post(t, l, note(n%3, n))
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			stop()
			got := answersOf(m)
			if len(got) != 60 {
				t.Fatalf("seed %d: %d answers", seed, len(got))
			}
			for link := range 3 {
				var want []string
				for n := link; n < 60; n += 3 {
					failed := -1
					if n == 13 {
						failed = 0
					}
					want = append(want, fmt.Sprintf("%d/%d %d", link, n, failed))
				}
				mine := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s[0] != byte('0'+link) })
				if !slices.Equal(mine, want) {
					t.Errorf("seed %d, link %d: %q", seed, link, mine)
				}
			}
		})
	}
}

// Workers run jobs of one link side by side.
func TestOneLinkUsesAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Machine: asker(), Shell: shell(ignore), Workers: 4, Check: func(identity.Claim) bool {
			time.Sleep(time.Second)
			return true
		}})
		stop := runs(t, l)
		start := time.Now()
		for n := range 8 {
			post(t, l, note(1, n))
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := answersOf(l.cfg.Machine.(*toy)); len(got) != 8 {
			t.Errorf("after %v: %q", time.Since(start), got)
		}
		stop()
	})
}

// A link that asks for a thousand checks delays the one check of another by one.
func TestLinksTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := asker()
		turn := make(chan struct{})
		var checked []string
		l := New(Config{Machine: m, Shell: shell(ignore), Workers: 1, Check: func(c identity.Claim) bool {
			<-turn
			checked = append(checked, string(c.Body))
			return true
		}})
		stop := runs(t, l)
		post(t, l, note(1, 0))
		synctest.Wait() // the worker is busy with it
		for n := range 999 {
			post(t, l, note(1, n+1))
		}
		post(t, l, note(2, 5000), note(3, 6000), note(2, 5001))
		synctest.Wait()
		close(turn)
		synctest.Wait()
		stop()
		if want := []string{"0", "1", "5000", "6000", "2", "5001", "3"}; !slices.Equal(checked[:7], want) {
			t.Errorf("checked in the order %q", checked[:7])
		}
	})
}

func TestFailedIsTheFirstClaimThatDoesNotHold(t *testing.T) {
	bad := func(c identity.Claim) bool { return string(c.Body) != "bad" }
	claims := func(words ...string) (all []identity.Claim) {
		for _, w := range words {
			all = append(all, identity.Claim{Body: []byte(w)})
		}
		return all
	}
	w := newWorkers(identity.Key{}, bad, nil)
	for _, c := range []struct {
		claims []identity.Claim
		want   int
	}{
		{nil, -1}, {claims("good"), -1}, {claims("bad"), 0}, {claims("good", "bad", "bad"), 1}, {claims("good", "good"), -1},
	} {
		got := w.do(job{verify: machine.Verify{Token: 3, Claims: c.claims}}).(machine.Verified)
		if got != (machine.Verified{Token: 3, Failed: c.want}) {
			t.Errorf("%q: %+v", c.claims, got)
		}
	}
}

// Real keys: what is signed is what Claim.Holds accepts.
func TestSignAndVerifyForReal(t *testing.T) {
	key, err := identity.NewKey(bytes.Repeat([]byte{3}, identity.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	m := &toy{}
	result := make(chan int, 2)
	body := []byte("a body")
	m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
		switch ev := ev.(type) {
		case machine.Drained:
			return append(out, machine.Sign{Token: 1, Label: identity.LabelGrant, Body: body})
		case machine.Signed:
			claim := identity.Claim{Key: key.Address(), Label: identity.LabelGrant, Body: body, Sig: ev.Sig}
			other := claim
			other.Label = identity.LabelHomes
			return append(out, machine.Verify{Token: 2, Claims: []identity.Claim{claim}},
				machine.Verify{Token: 3, Claims: []identity.Claim{claim, other}})
		case machine.Verified:
			result <- ev.Failed
		}
		return out
	}
	l := New(Config{Machine: m, Shell: shell(ignore), Key: key})
	stop := runs(t, l)
	post(t, l, note(1, 1))
	if a, b := <-result, <-result; a != -1 || b != 1 {
		t.Errorf("the claims gave %d and %d", a, b)
	}
	stop()
}

// A Sign overtakes the checks that wait, but many Signs take turns with them.
func TestSignsGoFirst(t *testing.T) {
	var order []string
	w := newWorkers(identity.Key{}, nil, nil)
	for n := range 4 {
		w.verify(machine.Verify{Token: machine.Token(n), Link: 1})
	}
	for n := range 3 {
		w.sign(machine.Sign{Token: machine.Token(10 + n)})
	}
	for w.ready.len() > 0 { // what work does, without the work
		ln := w.ready.pop()
		j := ln.jobs.at(ln.begun)
		order = append(order, fmt.Sprint(uint64(j.verify.Token+j.sign.Token)))
		if ln.begun++; ln.begun < ln.jobs.len() {
			w.ready.push(ln)
		}
	}
	if got := strings.Join(order, " "); got != "10 0 11 1 12 2 3" {
		t.Errorf("order %s", got)
	}
}

// Links come and go; nothing is kept of those that asked once.
func TestLinesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Machine: asker(), Shell: shell(ignore), Check: func(identity.Claim) bool { return true }})
		stop := runs(t, l)
		for n := range 3 * keptLines {
			post(t, l, note(n, n))
		}
		synctest.Wait()
		stop()
		if len(l.workers.lines) != 0 || len(l.workers.free) > keptLines || l.verifies != 0 {
			t.Errorf("%d lines, %d free, %d unanswered", len(l.workers.lines), len(l.workers.free), l.verifies)
		}
	})
}

// More than VerifiesMax unanswered: the inbox rests, everything else goes on.
func TestBackPressureOfVerifies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		m := asker()
		m.deadline = time.Now().Add(time.Minute)
		l := New(Config{Machine: m, Shell: shell(ignore), Inbox: 8, Workers: 2, Check: func(identity.Claim) bool {
			<-hold
			return true
		}})
		stop := runs(t, l)
		const total = VerifiesMax + 100
		posted := 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for ; posted < total; posted++ {
				post(t, l, note(posted%5, posted))
			}
		}()
		synctest.Wait()
		if want := VerifiesMax + 1; len(m.seen) != want || posted != want+8 {
			t.Errorf("%d events were handled and %d taken", len(m.seen), posted)
		}
		l.Answer(machine.Stored{})
		if err := l.Call(t.Context(), func(machine.Machine) { m.deadline = time.Now() }); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		l.Call(t.Context(), func(machine.Machine) { m.deadline = time.Time{} })
		tail := m.seen[VerifiesMax+1:]
		if !slices.Contains(tail, "tick") || !slices.Contains(tail, machine.Stored{}.String()) {
			t.Errorf("under pressure %q were handled", tail)
		}
		close(hold)
		<-ended
		synctest.Wait()
		stop()
		if got := len(answersOf(m)); got != total {
			t.Errorf("%d of %d were answered", got, total)
		}
	})
}

// More than StoresMax unanswered writes: a slow disk slows the links.
func TestBackPressureOfStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &toy{}
		m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
			if d, ok := ev.(machine.Drained); ok {
				out = append(out, machine.Store{Token: machine.Token(d.Weight)}, machine.Store{})
			}
			return out
		}
		asked := 0
		l := New(Config{Machine: m, Shell: shell(func(e machine.Effect) {
			if e.(machine.Store).Token != 0 {
				asked++
			}
		}), Inbox: StoresMax + 10})
		stop := runs(t, l)
		for n := range StoresMax + 10 {
			post(t, l, note(1, n+1))
		}
		synctest.Wait()
		if asked != StoresMax+1 {
			t.Errorf("%d writes are under way", asked)
		}
		for n := range asked {
			l.Answer(machine.Stored{Token: machine.Token(n + 1)})
		}
		synctest.Wait()
		stop()
		if asked != StoresMax+10 {
			t.Errorf("%d writes in the end", asked)
		}
	})
}

// A ring against a slice.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[int]
		var model []int
		var popped uint64
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			v := rapid.Int().Draw(t, "value")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				r.push(v)
				model = append(model, v)
			case 1:
				r.pushFront(v)
				model = slices.Insert(model, 0, v)
			case 2:
				if len(model) == 0 {
					continue
				}
				popped++
				if got := r.pop(); got != model[0] {
					t.Fatalf("pop gave %d, want %d", got, model[0])
				}
				model = model[1:]
			}
			if r.len() != len(model) || r.popped() != popped {
				t.Fatalf("%d elements, %d popped; want %d, %d", r.len(), r.popped(), len(model), popped)
			}
			for i, want := range model {
				if got := *r.at(i); got != want {
					t.Fatalf("at(%d) is %d, want %d", i, got, want)
				}
			}
		}
	})
}
