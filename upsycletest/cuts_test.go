package upsycletest_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"upsycle"
	"upsycle/upsycletest"
)

// A subscriber at router C gets, in order and once each, 100,000 lines that are
// published at A and cross B, while both links are being cut and healed.
func TestLinesThroughCuts(t *testing.T) {
	lines := 100_000
	if testing.Short() {
		lines = 10_000
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	n := upsycletest.NewNetwork(t, "A-B", "B-C")
	club := upsycletest.Key(t, "club")
	sub, err := n.Router("C").Dial(t).Listen(ctx, club.Address())
	if err != nil {
		t.Fatal(err)
	}
	writer := n.Router("A").Dial(t)
	published := make(chan error, 1)
	go func() {
		_, err := writer.PublishAll(ctx, upsycle.GroupKey(club), func(yield func([]byte) bool) {
			for i := range lines {
				cutOrHeal(n, i*20/lines, i%(lines/20))
				if !yield(strconv.AppendInt(nil, int64(i), 10)) {
					return
				}
			}
		})
		published <- err
	}()
	next := 0
	for item, err := range sub.Items(ctx) {
		if err != nil || item.Gap != nil || item.Late {
			t.Fatalf("after %d lines: %v, gap %+v, late %v", next, err, item.Gap, item.Late)
		}
		if string(item.Payload) != strconv.Itoa(next) {
			t.Fatalf("line %d is %q", next, item.Payload)
		}
		if next++; next == lines {
			break
		}
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
}

// cutOrHeal cuts a link at the beginning of every second of twenty parts of the
// lines, one and the other by turns, and heals it with the next part.
func cutOrHeal(n *upsycletest.Network, part, line int) {
	if line != 0 {
		return
	}
	ends := [2]string{"A", "B"}
	if part%4 >= 2 {
		ends = [2]string{"B", "C"}
	}
	if part%2 == 0 {
		n.Cut(ends[0], ends[1])
	} else {
		n.Heal(ends[0], ends[1])
	}
}
