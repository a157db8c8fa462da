package sim

import (
	"strings"
	"testing"
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

func TestPercentiles(t *testing.T) {
	var list []time.Duration
	for i := 100; i > 0; i-- {
		list = append(list, time.Duration(i))
	}
	for p, want := range map[int]time.Duration{0: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(list, p); got != want {
			t.Errorf("p%d is %d, want %d", p, got, want)
		}
	}
	if percentile(nil, 50) != 0 {
		t.Error("nothing has a percentile")
	}
}

func TestReportSaysWhatHappened(t *testing.T) {
	r := &Report{Plan: PlanOf(3, 10), Events: 1234, Sends: 250, Receivers: 100, Faults: []string{"it broke"},
		Repairs: []time.Duration{200 * time.Millisecond}, Tables: map[string]int{"targets": 7}}
	r.Frames[wire.TypeData], r.Frames[wire.TypeNoHave], r.Reports[machine.Delivered] = 5, 2, 9
	r.Steady = Tally{Published: 3, Forged: 1}
	var b strings.Builder
	r.Write(&b)
	for _, want := range []string{"seed 3: 10 routers (ring", "1234 events", "2.50 link sends", "data 5, nohave 2", "delivered 9", "targets 7",
		"FAULT it broke", "p50 200ms", "3 published", "1 forged"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}

func TestSummaryAddsUp(t *testing.T) {
	a := &Report{Plan: PlanOf(3, 10), Events: 10, Sends: 300, Receivers: 100, Churn: Tally{Expected: 7, Delivered: 6, Lost: 1}, Faults: []string{"x"}}
	c := &Report{Plan: PlanOf(1, 10), Events: 20, Sends: 100, Receivers: 100, Steady: Tally{Expected: 5, Delivered: 5}}
	var b strings.Builder
	(&Summary{[]*Report{a, c}}).Write(&b)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want head, random, ring, all:\n%s", len(lines), b.String())
	}
	if got, want := strings.Fields(lines[3]), []string{"all", "2", "1", "30"}; strings.Join(got[:4], " ") != strings.Join(want, " ") {
		t.Errorf("all: %v", got)
	}
	if !strings.Contains(lines[3], "2.00") || !strings.Contains(lines[2], "3.00") {
		t.Errorf("sends per receiver:\n%s", b.String())
	}
}

func TestEveryFrameHasAName(t *testing.T) {
	for n := wire.TypeAttach; n <= wire.TypeNoHave; n++ {
		known := n <= wire.TypeGap || n >= wire.TypeAnnounce
		if named := !strings.HasPrefix(typeName(n), "frame "); named != known {
			t.Errorf("type %d is called %s", n, typeName(n))
		}
	}
}

// TestPlansDiffer: the seeds of the list cover all shapes, kinds of clocks, and both
// ways to sign and to send.
func TestPlansDiffer(t *testing.T) {
	shapes, skews := map[Shape]bool{}, map[time.Duration]bool{}
	crashes, bytes, late, slow := map[bool]bool{}, map[bool]bool{}, map[bool]bool{}, map[bool]bool{}
	for seed := range uint64(16) {
		p := PlanOf(seed+1, 10)
		shapes[p.Shape], skews[p.Skew] = true, true
		crashes[p.Crashes], bytes[p.World.Wire], late[p.World.StoreLate], slow[p.World.Bandwidth > 0] = true, true, true, true
		if q := PlanOf(seed+1, 10); q.World != p.World || q.Shape != p.Shape {
			t.Errorf("seed %d has two plans", seed+1)
		}
	}
	if len(shapes) != 5 || len(skews) != 4 || len(crashes)+len(bytes)+len(late)+len(slow) != 8 {
		t.Errorf("shapes %v skews %v crashes %v wire %v late %v slow %v", shapes, skews, crashes, bytes, late, slow)
	}
}
