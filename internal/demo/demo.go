package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"
)

// Options say how the demonstration is shown.
type Options struct {
	Out  io.Writer // the story, line by line; nil: silent
	From io.Reader // lines that alice publishes instead of her own; nil: her own
}

// linesMax bounds what is read from Options.From.
const linesMax = 100_000

// Report is how it ended. Its JSON form is part of the command's contract.
type Report struct {
	Routers       int  `json:"routers"`
	Services      int  `json:"services"`
	Published     int  `json:"published"`  // items, group messages and mail
	Expected      int  `json:"expected"`   // deliveries: one for each item and receiver
	Delivered     int  `json:"delivered"`  // of those expected
	Lost          int  `json:"lost"`       // expected and not delivered
	Duplicates    int  `json:"duplicates"` // delivered more than once
	Disordered    int  `json:"disordered"` // delivered after a later one of the same writer
	Gaps          int  `json:"gaps"`       // gaps that were reported
	ForgedRefused int  `json:"forged_refused"`
	ForgedCrossed int  `json:"forged_crossed"` // forged envelopes that crossed a second link
	Encrypted     bool `json:"encrypted"`      // false: bodies are plaintext in this version
	OK            bool `json:"ok"`
}

// Run tells the story and returns what came of it. The error is a fault of the
// machine it runs on, like a port that cannot be had; a failed expectation is a
// Report that is not OK.
func Run(ctx context.Context, opts Options) (Report, error) {
	if opts.Out == nil {
		opts.Out = io.Discard
	}
	lines, err := readLines(opts.From)
	if err != nil {
		return Report{}, err
	}
	s := &stage{out: opts.Out, begun: time.Now(), tally: newTally(), given: opts.From != nil, lines: lines}
	defer s.clear()
	for _, act := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"three routers in a triangle", s.routersStart},
		{"four services attach", s.servicesAttach},
		{"group messages cross the routers", s.groupMessages},
		{"mail to a service, and to a router", s.mail},
		{"a forger is refused by the first router", s.forge},
		{"router B stops; the traffic finds its way round", s.detour},
		{"router B comes back", s.comeBack},
	} {
		s.say("")
		s.say("== %s", act.title)
		if err := act.play(ctx); err != nil {
			return Report{}, fmt.Errorf("%s: %w", act.title, err)
		}
	}
	r := s.report()
	s.table(r)
	return r, nil
}

// readLines reads what alice is to publish. Empty lines are items like others.
func readLines(r io.Reader) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	var lines []string
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), 1<<20)
	for in.Scan() {
		if len(lines) == linesMax {
			return nil, fmt.Errorf("the file has more than %d lines", linesMax)
		}
		lines = append(lines, in.Text())
	}
	return lines, in.Err()
}

// report sums up. Everything counts: a delivery out of order or a gap that was
// told would be a fault of this story, in which no router loses anything.
func (s *stage) report() Report {
	r := s.tally.count()
	r.Routers, r.Services = len(s.routers), len(s.services)
	r.ForgedRefused, r.ForgedCrossed = s.forgedRefused, s.forgedCrossed
	r.OK = r.Lost == 0 && r.Duplicates == 0 && r.Disordered == 0 && r.Gaps == 0 &&
		r.Delivered == r.Expected && r.ForgedRefused == forgeries && r.ForgedCrossed == 0
	return r
}

// table shows the report to people.
func (s *stage) table(r Report) {
	s.say("")
	s.say("%-12s %8s", "published", num(r.Published))
	s.say("%-12s %8s", "expected", num(r.Expected))
	s.say("%-12s %8s", "delivered", num(r.Delivered))
	s.say("%-12s %8s", "lost", num(r.Lost))
	s.say("%-12s %8s", "duplicated", num(r.Duplicates))
	s.say("%-12s %8s   of %d, %d of them crossed a second link", "forged", num(r.ForgedRefused), forgeries, r.ForgedCrossed)
	if r.OK {
		s.say("everything as expected; message bodies were plaintext")
	} else {
		s.say("NOT as expected")
	}
}

func num(n int) string { return fmt.Sprint(n) }
