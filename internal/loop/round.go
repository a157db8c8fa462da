package loop

import (
	"context"

	"upsycle/internal/machine"
)

// round handles all that has come: answers first, because they free what the
// machine holds back for them, then a batch of the inbox, then the deadline.
func (l *Loop) round() {
	l.takeAnswers()
	l.takeInbox()
	l.tick()
}

// takeAnswers handles the answers that were there when it began. Those that come
// meanwhile wait for the next round, so that the inbox gets its turn.
func (l *Loop) takeAnswers() {
	l.answersMu.Lock()
	taken := l.answers
	l.answers = l.spare[:0]
	l.answersMu.Unlock()
	if len(taken) > 0 {
		l.clock.read()
	}
	for _, ev := range taken {
		switch ev := ev.(type) {
		case machine.Verified:
			l.verifies--
		case machine.Stored:
			if ev.Token != 0 {
				l.stores--
			}
		}
		l.step(ev)
	}
	clear(taken) // hold no frame that was handled
	if cap(taken) > keptEffects {
		taken = nil
	}
	l.spare = taken
}

// takeInbox handles at most BatchMax events.
func (l *Loop) takeInbox() {
	for n := range BatchMax {
		if l.pressed() {
			return
		}
		select {
		case ev := <-l.inbox:
			if n == 0 {
				l.clock.read()
			}
			l.step(ev)
		default:
			return
		}
	}
}

// pressed reports whether so much is unanswered that nothing new is let in.
func (l *Loop) pressed() bool {
	return l.verifies > VerifiesMax || l.stores > StoresMax
}

// tick tells the machine that its deadline has come, if it has.
func (l *Loop) tick() {
	l.restless = false
	at := l.cfg.Machine.Deadline()
	if at.IsZero() || l.clock.read().Before(at) {
		return
	}
	l.step(machine.Tick{})
	at = l.cfg.Machine.Deadline()
	l.restless = !at.IsZero() && !l.clock.now.Before(at)
}

// step gives the machine one event and carries out what it decides.
func (l *Loop) step(ev machine.Event) {
	l.history.add(ev)
	l.out = l.cfg.Machine.Step(l.clock.now, ev, l.out[:0])
	for _, e := range l.out {
		l.do(e)
	}
	clear(l.out)
	if cap(l.out) > keptEffects {
		l.out = nil
	}
}

func (l *Loop) do(e machine.Effect) {
	switch e := e.(type) {
	case machine.Verify:
		l.verifies++
		l.workers.verify(e)
	case machine.Sign:
		l.workers.sign(e)
	case machine.Store:
		if e.Token != 0 {
			l.stores++
		}
		l.cfg.Shell.Do(e)
	default:
		l.cfg.Shell.Do(e)
	}
}

// rest waits until there is something for the next round. An event that it takes
// from the inbox it handles at once; it is the only one before the next round.
func (l *Loop) rest(ctx context.Context) {
	inbox := l.inbox
	if l.pressed() {
		inbox = nil
	}
	l.setTimer()
	select {
	case <-ctx.Done():
	case <-l.answered:
	case <-l.timer.C:
	case c := <-l.calls:
		c.f(l.cfg.Machine)
		close(c.done)
	case ev := <-inbox:
		l.clock.read()
		l.step(ev)
	}
	l.timer.Stop()
}

// setTimer makes the timer fire when the deadline comes, give or take the bounds
// on a rest: whether it has come is for tick to say, by the clock.
func (l *Loop) setTimer() {
	at := l.cfg.Machine.Deadline()
	if at.IsZero() {
		return
	}
	wait := min(at.Sub(l.clock.now), restLongest)
	if l.restless || wait > 0 {
		wait = max(wait, restShortest)
	}
	l.timer.Reset(wait)
}
