package backbone

import "testing"

// spec §3.4: the cost of a link is 64 + min(round trip in ms, 1,000).
func TestCostOfRoundTrips(t *testing.T) {
	for _, c := range []struct{ rtt, want int }{
		{0, 64}, {1, 65}, {costRTTMax, 1_064}, {costRTTMax + 1, 1_064}, {60_000, 1_064},
	} {
		if got := costOf(c.rtt); got != c.want {
			t.Errorf("%d ms cost %d, want %d", c.rtt, got, c.want)
		}
	}
}
