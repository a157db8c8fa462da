package sim

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A Report says how a run went. Times are virtual unless they say otherwise.
type Report struct {
	Plan         Plan
	Faults       []string // what broke; empty is good
	Events       int      // steps of machines
	Virtual      time.Duration
	Wall         time.Duration
	Hash         uint64
	Rooted       []time.Duration // for each router: from the start until it had reach to a root, for good
	Converged    []time.Duration // the same until it had reach to three
	Steady       Tally
	Churn        Tally
	Sends        int             // pushes between cores in the steady state
	Receivers    int             // pairs of envelope and core that wanted it and was not its ingress
	Repairs      []time.Duration // after a single failure in a quiet network, detection included
	Failures     int             // flaps, crashes and partitions of the churn
	SteadyFrames [64]int         // of Frames, those in the measured part of the steady state
	Frames       [64]int
	Bytes        [64]int
	Reports      [machine.ReportEvents]int
	Tables       map[string]int // the fullest of each table of any router
}

// OK reports whether nothing broke.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

// percentile returns the p-th percentile of a list, which it sorts.
func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)*p/100]
}

// PerDelivery returns the link sends for each core that got an envelope, in
// hundredths.
func (r *Report) PerDelivery() int { return r.Sends * 100 / max(1, r.Receivers) }

// Write prints a report for people.
func (r *Report) Write(w io.Writer) {
	p := r.Plan
	fmt.Fprintf(w, "seed %d: %d routers (%s, degree %d), %d edges, %d services, %d groups; wire %v, Ed25519 %v, skew %v\n",
		p.World.Seed, p.Routers, p.Shape, p.Degree, p.Edges, p.Services, p.Groups, p.World.Wire, p.World.Ed25519, p.Skew)
	fmt.Fprintf(w, "  %d events in %v of virtual time, %v of real time, hash %016x\n", r.Events, r.Virtual, r.Wall.Round(time.Millisecond), r.Hash)
	fmt.Fprintf(w, "  a first root p50 %v p99 %v, all roots p50 %v p99 %v; repair after a single failure p50 %v p99 %v (%d failures)\n",
		round(percentile(r.Rooted, 50)), round(percentile(r.Rooted, 99)), round(percentile(r.Converged, 50)), round(percentile(r.Converged, 99)), round(percentile(r.Repairs, 50)), round(percentile(r.Repairs, 99)), len(r.Repairs))
	fmt.Fprintf(w, "  steady: %v; %d.%02d link sends per receiver\n    frames: %s\n", r.Steady, r.PerDelivery()/100, r.PerDelivery()%100, frameCounts(r.SteadyFrames))
	fmt.Fprintf(w, "  churn (%d failures): %v\n", r.Failures, r.Churn)
	fmt.Fprintf(w, "  frames: %s\n", frameCounts(r.Frames))
	fmt.Fprintf(w, "  reports: %s\n  tables: %s\n", r.reports(), r.tables())
	for _, f := range r.Faults {
		fmt.Fprintf(w, "  FAULT %s\n", f)
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// String returns a tally in one line.
func (t Tally) String() string {
	s := fmt.Sprintf("%d published, %d expected, %d delivered, %d lost, %d twice, %d out of order, %d gaps, %d not promised and not there",
		t.Published, t.Expected, t.Delivered, t.Lost, t.Twice, t.Disorder, t.Gaps, t.Unpromised)
	if t.Forged > 0 {
		s += fmt.Sprintf(", %d forged", t.Forged)
	}
	return s
}

func frameCounts(frames [64]int) string {
	var list []string
	for t, n := range frames {
		if n > 0 {
			list = append(list, fmt.Sprintf("%s %d", typeName(wire.Type(t)), n))
		}
	}
	return strings.Join(list, ", ")
}

func (r *Report) reports() string {
	var list []string
	for e, n := range r.Reports {
		if n > 0 {
			list = append(list, fmt.Sprintf("%v %d", machine.ReportEvent(e), n))
		}
	}
	return strings.Join(list, ", ")
}

func (r *Report) tables() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.Tables)) {
		list = append(list, fmt.Sprintf("%s %d", name, r.Tables[name]))
	}
	return strings.Join(list, ", ")
}

// typeName is how a frame calls itself.
func typeName(t wire.Type) string {
	switch t {
	case wire.TypeAttach:
		return "attach"
	case wire.TypeAttached:
		return "attached"
	case wire.TypeSubscribe:
		return "subscribe"
	case wire.TypeSubscribed:
		return "subscribed"
	case wire.TypeUnsubscribe:
		return "unsubscribe"
	case wire.TypePublish:
		return "publish"
	case wire.TypePublished:
		return "published"
	case wire.TypeDeliver:
		return "deliver"
	case wire.TypeDelivered:
		return "delivered"
	case wire.TypeGap:
		return "gap"
	}
	return backboneName(t)
}

func backboneName(t wire.Type) string {
	switch t {
	case wire.TypeAnnounce:
		return "announce"
	case wire.TypeRetract:
		return "retract"
	case wire.TypeSeqReq:
		return "seqreq"
	case wire.TypeGraft:
		return "graft"
	case wire.TypePrune:
		return "prune"
	case wire.TypeInterest:
		return "interest"
	case wire.TypeElsewhere:
		return "elsewhere"
	case wire.TypeData:
		return "data"
	case wire.TypeOffer:
		return "offer"
	case wire.TypePull:
		return "pull"
	case wire.TypePulled:
		return "pulled"
	case wire.TypeNoHave:
		return "nohave"
	}
	return fmt.Sprintf("frame %d", t)
}

// A Summary is many reports in one table.
type Summary struct {
	Reports []*Report
}

// Write prints the table: one line for each shape, and one for all.
func (s *Summary) Write(w io.Writer) {
	fmt.Fprintf(w, "%-12s %6s %6s %12s %9s %9s %9s %9s %9s %9s %6s %9s %9s %6s %6s %9s\n", "shape", "runs", "broken", "events", "root p50", "root p99", "all p50", "all p99",
		"rep p50", "rep p99", "sends", "expected", "delivered", "lost", "twice", "real")
	for _, shape := range []Shape{Random, Line, Ring, Star, ScaleFree, Full} {
		s.line(w, string(shape), func(r *Report) bool { return r.Plan.Shape == shape })
	}
	s.line(w, "all", func(*Report) bool { return true })
}

func (s *Summary) line(w io.Writer, name string, which func(*Report) bool) {
	var runs, broken, events, sends, receivers int
	var t Tally
	var rooted, converged, repairs []time.Duration
	var wall time.Duration
	for _, r := range s.Reports {
		if !which(r) {
			continue
		}
		runs++
		if !r.OK() {
			broken++
		}
		events += r.Events
		sends += r.Sends
		receivers += r.Receivers
		wall += r.Wall
		rooted = append(rooted, r.Rooted...)
		converged = append(converged, r.Converged...)
		repairs = append(repairs, r.Repairs...)
		for _, x := range [...]Tally{r.Steady, r.Churn} {
			t.Expected += x.Expected
			t.Delivered += x.Delivered
			t.Lost += x.Lost
			t.Twice += x.Twice
		}
	}
	if runs == 0 {
		return
	}
	per := sends * 100 / max(1, receivers)
	fmt.Fprintf(w, "%-12s %6d %6d %12d %9v %9v %9v %9v %9v %9v %3d.%02d %9d %9d %6d %6d %9v\n", name, runs, broken, events,
		round(percentile(rooted, 50)), round(percentile(rooted, 99)), round(percentile(converged, 50)), round(percentile(converged, 99)), round(percentile(repairs, 50)), round(percentile(repairs, 99)),
		per/100, per%100, t.Expected, t.Delivered, t.Lost, t.Twice, wall.Round(time.Second/10))
}
