package attach

import (
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// onDelivered deletes what a client has for good (H2).
func (h *Home) onDelivered(now int64, s *session, f *wire.Delivered) {
	n, steps := h.acknowledge(s.client, f.N, f.Also)
	if n > 0 {
		h.desk.Do(machine.Report{Event: machine.DeliveryAcked, Link: s.link, Count: n})
	}
	h.gate.Worked(now, s.link, steps-n)
	h.pump(now, s.client)
}

// acknowledge removes all entries up to n and those in the ranges, and returns
// how many, and how many it looked at. The ranges rise.
func (h *Home) acknowledge(c *client, n uint64, also []wire.Range) (removed, steps int) {
	var keys [][]byte
	before := len(c.mail)
	// From the oldest on: numbers that are gone already cost nothing, however far
	// a client counts.
	for c.oldest != nil && c.oldest.n <= n {
		keys = h.take(c, c.oldest, keys)
	}
	steps = before - len(c.mail)
	var numbers uint64
	for _, r := range also {
		if r.First <= c.last {
			numbers += min(r.Last, c.last) - r.First + 1
		}
	}
	if entries := len(c.mail); numbers < uint64(entries) {
		steps += int(numbers)
		keys = h.takeNumbers(c, also, keys)
	} else {
		steps += entries
		keys = h.takeRanges(c, also, keys)
	}
	h.desk.Forget(keys...)
	return before - len(c.mail), steps
}

// takeNumbers looks up each number of the ranges.
func (h *Home) takeNumbers(c *client, also []wire.Range, keys [][]byte) [][]byte {
	for _, r := range also {
		for i, last := r.First, min(r.Last, c.last); i <= last; i++ {
			if e, ok := c.mail[i]; ok {
				keys = h.take(c, e, keys)
			}
		}
	}
	return keys
}

// takeRanges walks once through the mailbox: it has fewer entries than the ranges
// have numbers.
func (h *Home) takeRanges(c *client, also []wire.Range, keys [][]byte) [][]byte {
	e := c.oldest
	for _, r := range also {
		for ; e != nil && e.n <= r.Last; e = e.next {
			if e.n >= r.First {
				keys = h.take(c, e, keys)
			}
		}
	}
	return keys
}
