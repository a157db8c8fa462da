package attach

import (
	"slices"

	"upsycle/internal/wire"
)

// tally keeps count of one mailbox's numbers: which are done, which are on their
// way downwards, and which the home was not told of.
type tally struct {
	base    uint64              // added to numbers, so that those of two mailboxes differ
	top     uint64              // the highest number that came
	all     uint64              // all up to this are done
	above   []wire.Range        // done above a hole, ascending and apart
	pending map[uint64]struct{} // delivered and not done
	fresh   []uint64            // done since the last frames
}

// newTally returns the tally of a mailbox of which nothing came yet.
func newTally() tally { return tally{pending: make(map[uint64]struct{})} }

// restart begins with the numbers of another mailbox. What is still on its way
// downwards of the old one needs no acknowledgement.
func (t *tally) restart() {
	t.base += t.top
	t.top, t.all, t.above, t.fresh = 0, 0, nil, nil
	clear(t.pending)
}

// has reports whether n is done.
func (t *tally) has(n uint64) bool {
	if n <= t.all {
		return true
	}
	i := t.find(n)
	return i < len(t.above) && t.above[i].First <= n
}

// isPending reports whether n was delivered and is not done, and notes that it came.
func (t *tally) isPending(n uint64) bool {
	t.top = max(t.top, n)
	_, ok := t.pending[n]
	return ok
}

// find returns the first range that does not end before n.
func (t *tally) find(n uint64) int {
	i, _ := slices.BinarySearchFunc(t.above, n, func(r wire.Range, n uint64) int {
		if r.Last < n {
			return -1
		}
		return 1
	})
	return i
}

// done marks n and reports whether that is news.
func (t *tally) done(n uint64) bool {
	delete(t.pending, n)
	if t.has(n) {
		return false
	}
	t.fresh = append(t.fresh, n)
	t.add(n)
	return true
}

// again has the home told of n once more.
func (t *tally) again(n uint64) { t.fresh = append(t.fresh, n) }

// add puts n among the ranges, joins neighbours, and moves all over what is whole
// now.
func (t *tally) add(n uint64) {
	i := t.find(n)
	left := i > 0 && t.above[i-1].Last+1 == n
	right := i < len(t.above) && t.above[i].First == n+1
	switch {
	case left && right:
		t.above[i-1].Last = t.above[i].Last
		t.above = slices.Delete(t.above, i, i+1)
	case left:
		t.above[i-1].Last = n
	case right:
		t.above[i].First = n
	default:
		t.above = slices.Insert(t.above, i, wire.Range{First: n, Last: n})
	}
	if t.above[0].First == t.all+1 {
		t.all = t.above[0].Last
		t.above = slices.Delete(t.above, 0, 1)
	}
	if len(t.above) > rangesKept {
		t.above = slices.Delete(t.above, 0, 1)
	}
}

// frames returns what tells the home of all that it was not told of. Only new
// ranges are named: a number between two that never came may have gone from the
// mailbox, and would be named for ever.
func (t *tally) frames() []*wire.Delivered {
	if len(t.fresh) == 0 {
		return nil
	}
	slices.Sort(t.fresh)
	var ranges []wire.Range
	for _, n := range t.fresh {
		last := len(ranges) - 1
		switch {
		case n <= t.all || last >= 0 && n <= ranges[last].Last:
		case last >= 0 && n == ranges[last].Last+1:
			ranges[last].Last = n
		default:
			ranges = append(ranges, wire.Range{First: n, Last: n})
		}
	}
	t.fresh = t.fresh[:0]
	var list []*wire.Delivered
	for first := true; first || len(ranges) > 0; first = false {
		k := min(len(ranges), wire.RangesMax)
		list = append(list, &wire.Delivered{N: t.all, Also: ranges[:k:k]})
		ranges = ranges[k:]
	}
	return list
}
