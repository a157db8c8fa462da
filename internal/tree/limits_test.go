package tree

import "testing"

// A link's cost is at least costMin, since hops count even on fast links, and
// at most costMax, else one hop could reach beyond any metric.
func TestCostIsClamped(t *testing.T) {
	for _, c := range []struct {
		cost int
		want int64
	}{
		{-1, costMin}, {0, costMin}, {costMin, costMin}, {700, 700},
		{costMax, costMax}, {costMax + 1, costMax}, {1 << 40, costMax},
	} {
		if got := clampCost(c.cost); got != c.want {
			t.Errorf("cost %d counts as %d, want %d", c.cost, got, c.want)
		}
	}
}
