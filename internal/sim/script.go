package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
)

// A Script plays a conversation. Each line is a command; what it prints follows as
// lines that begin with "| ". Play returns the script with the output that came,
// so a test compares, or rewrites the file.
//
//	routers A B C                cores; roots A B: only these may be roots
//	edge E home A B              an edge router with its homes
//	link A B 5ms                 a link, with its latency one way
//	service s at A               a service, attached to a router
//	subscribe s g                to a group; to an address as @t or @A
//	unsubscribe s g
//	publish s g "x"              under the group's key; publish s g "x" cert: with a
//	                             certificate; publish s g "x" live: never stored
//	send s @t "x"                to an address
//	forge s g "x"                with a signature that does not hold
//	run 10s
//	cut A B · heal A B · crash A · boot A
//	skew A 2m · later A          before the first run: a wrong clock; A boots only when told
//	expect s "x" "y"             what arrived at s since the last expect, in order; expect s nothing
//	refused s "x" CODE           that the publish of x was refused, with a code's name
//	trace data interest …        which frames are shown from now on; trace nothing
//	show roots · show tree R · show interest R · show local · show links
//	check trees interest ghosts elsewhere shown all
type Script struct {
	net    *Network
	out    strings.Builder
	trace  map[string]bool
	booted bool
	read   map[*Service]int // arrivals that an expect has seen
	bodies map[string]envelope.ID
	later  map[*Node]bool
	mail   map[*Node][]string // for routers themselves
}

// Play runs a script and returns it with its output, and an error at the first
// command that fails.
func Play(text string, cfg Config) (string, error) {
	s := &Script{net: NewNetwork(cfg), trace: map[string]bool{}, read: map[*Service]int{},
		bodies: map[string]envelope.ID{}, later: map[*Node]bool{}, mail: map[*Node][]string{}}
	s.net.Watch(s)
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "|") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if err := s.command(line); err != nil {
			return s.out.String(), fmt.Errorf("line %d: %s: %w", i+1, line, err)
		}
		if f := s.net.Faults(); len(f) > 0 {
			return s.out.String(), fmt.Errorf("line %d: %s: %s", i+1, line, strings.Join(f, "\n\t"))
		}
	}
	return s.out.String(), nil
}

// Stepped shows the frames that are traced. It implements Watcher.
func (s *Script) Stepped(n *Node, _ machine.Event, effects []machine.Effect) {
	for _, e := range effects {
		if d, ok := e.(machine.Deliver); ok {
			if items, err := envelope.PlainItems(d.Envelope.Body, d.Envelope.Count); err == nil {
				s.mail[n] = append(s.mail[n], string(items[0]))
			}
		}
		x, ok := e.(machine.Send)
		if !ok {
			continue
		}
		text := x.Frame.String()
		name, _, _ := strings.Cut(text, "{")
		if end := n.end(x.Link); end != nil && s.trace[name] {
			s.print("%8.3f %s → %s %s", s.net.Now().Seconds(), n.Name, end.peer.Name, s.named(text))
		}
	}
}

// named replaces keys by names and ids by the texts that they carry.
func (s *Script) named(text string) string {
	var pairs []string
	for _, a := range slices.SortedFunc(maps.Keys(s.net.ring.names), identity.Address.Compare) {
		pairs = append(pairs, a.String(), s.net.Name(a))
	}
	for _, body := range slices.Sorted(maps.Keys(s.bodies)) {
		pairs = append(pairs, s.bodies[body].String(), strconv.Quote(body))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func (s *Script) print(format string, args ...any) {
	fmt.Fprintf(&s.out, "| "+format+"\n", args...)
}

// words splits a line at spaces; quoted texts stay whole and lose their quotes.
func words(line string) ([]string, error) {
	var list []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			list, line = append(list, word), rest
			continue
		}
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("a quote that does not end")
		}
		word, _ := strconv.Unquote(q)
		list, line = append(list, word), line[len(q):]
	}
	return list, nil
}

func (s *Script) command(line string) error {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return nil
	}
	w, err := words(line)
	if err != nil || len(w) == 0 {
		return err
	}
	switch w[0] {
	case "routers", "roots", "edge", "link", "service", "skew", "later":
		return s.build(w)
	case "subscribe", "unsubscribe", "publish", "send", "forge":
		return s.talk(w)
	case "cut", "heal", "crash", "boot":
		return s.harm(w)
	case "run":
		return s.run(w[1:])
	case "trace":
		s.trace = map[string]bool{}
		for _, name := range w[1:] {
			s.trace[name] = name != "nothing"
		}
		return nil
	case "expect":
		return s.expect(w[1:])
	case "refused":
		return s.refused(w[1:])
	case "show":
		return s.show(w[1:])
	case "check":
		return s.check(w[1:])
	}
	return fmt.Errorf("no such command")
}

// build adds what a network is made of.
func (s *Script) build(w []string) error {
	x := s.net
	switch {
	case w[0] == "routers":
		for _, name := range w[1:] {
			x.AddCore(name, true)
		}
		return nil
	case w[0] == "roots":
		for _, c := range x.Cores {
			x.noRoot[c] = !slices.Contains(w[1:], c.Name)
		}
		return nil
	case len(w) == 4 && w[0] == "link":
		a, b, err := s.two(w[1], w[2])
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(w[3])
		x.Connect(a, b, d)
		return err
	case len(w) == 3 && w[0] == "skew":
		n, err := s.node(w[1])
		if err != nil {
			return err
		}
		n.Skew, err = time.ParseDuration(w[2])
		return err
	case len(w) == 2 && w[0] == "later":
		n, err := s.node(w[1])
		s.later[n] = err == nil
		return err
	case len(w) >= 4 && w[0] == "edge":
		homes := make([]*Node, 0, 2)
		for _, name := range w[3:] {
			h, err := s.node(name)
			if err != nil {
				return err
			}
			homes = append(homes, h)
		}
		x.AddEdge(w[1], homes...)
		return nil
	case len(w) == 4 && w[0] == "service":
		at, err := s.node(w[3])
		if err != nil {
			return err
		}
		svc := x.AddService(w[1], at)
		if s.booted {
			svc.Boot()
		}
		return nil
	}
	return fmt.Errorf("words are missing")
}

func (s *Script) node(name string) (*Node, error) {
	for _, n := range s.net.nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no node %q", name)
}

func (s *Script) two(a, b string) (x, y *Node, err error) {
	if x, err = s.node(a); err == nil {
		y, err = s.node(b)
	}
	return x, y, err
}

func (s *Script) service(name string) (*Service, error) {
	for _, v := range s.net.Services {
		if v.Name == name {
			return v, nil
		}
	}
	return nil, fmt.Errorf("no service %q", name)
}

// target reads g (a group) or @t (an address).
func (s *Script) target(word string) envelope.Target {
	if name, ok := strings.CutPrefix(word, "@"); ok {
		return s.net.AddressOf(name)
	}
	return s.net.Group(word)
}

// harm cuts and heals, crashes and boots.
func (s *Script) harm(w []string) error {
	switch {
	case len(w) == 3 && (w[0] == "cut" || w[0] == "heal"):
		a, b, err := s.two(w[1], w[2])
		if err != nil {
			return err
		}
		l := s.net.Link(a, b)
		if l == nil {
			return fmt.Errorf("no such link")
		}
		if w[0] == "cut" {
			l.Cut()
		} else {
			l.Heal()
		}
		return nil
	case len(w) == 2:
		n, err := s.node(w[1])
		if err != nil {
			return err
		}
		if w[0] == "crash" {
			n.Crash()
		} else {
			n.Boot()
		}
		return nil
	}
	return fmt.Errorf("words are missing")
}

// run lets time pass. The first run boots all that was not told to wait.
func (s *Script) run(w []string) error {
	if len(w) != 1 {
		return fmt.Errorf("how long?")
	}
	d, err := time.ParseDuration(w[0])
	if err != nil {
		return err
	}
	if !s.booted {
		s.booted = true
		for _, n := range s.net.nodes {
			if !s.later[n] {
				n.Boot()
			}
		}
	}
	s.net.Run(d)
	return nil
}

// talk lets a service say something.
func (s *Script) talk(w []string) error {
	if len(w) < 3 {
		return fmt.Errorf("words are missing")
	}
	v, err := s.service(w[1])
	if err != nil {
		return err
	}
	t := s.target(w[2])
	switch {
	case w[0] == "subscribe":
		v.Subscribe(t)
		return nil
	case w[0] == "unsubscribe":
		v.Unsubscribe(t)
		return nil
	case len(w) < 4:
		return fmt.Errorf("what text?")
	}
	how := Plainly
	if w[0] == "forge" {
		how = Forgery
	} else if len(w) > 4 {
		if how = map[string]How{"cert": Certified, "live": Fleeting}[w[4]]; how == Plainly {
			return fmt.Errorf("cert or live?")
		}
	}
	s.bodies[w[3]] = v.Publish(t, w[3], how).ID
	return nil
}

// expect compares what arrived since the last time.
func (s *Script) expect(w []string) error {
	if len(w) < 2 {
		return fmt.Errorf("words are missing")
	}
	texts, err := s.arrived(w[0])
	if err != nil {
		return err
	}
	var got []string
	for _, text := range texts {
		got = append(got, strconv.Quote(text))
	}
	var want []string
	for _, text := range w[1:] {
		want = append(want, strconv.Quote(text))
	}
	if w[1] == "nothing" {
		want = nil
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("got %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}

// arrived returns what a service got since the last time, or a router as mail for
// itself.
func (s *Script) arrived(name string) (texts []string, err error) {
	v, err := s.service(name)
	if err != nil {
		n, err := s.node(name)
		if err != nil {
			return nil, err
		}
		texts, s.mail[n] = s.mail[n], nil
		return texts, nil
	}
	for _, a := range v.Arrivals[s.read[v]:] {
		texts = append(texts, a.Text)
	}
	s.read[v] = len(v.Arrivals)
	return texts, nil
}

func (s *Script) refused(w []string) error {
	if len(w) < 3 {
		return fmt.Errorf("words are missing")
	}
	p := s.net.ledger.byID[s.bodies[w[1]]]
	if p == nil {
		return fmt.Errorf("nobody published it")
	}
	if want := strings.Join(w[2:], " "); !p.Answered || p.Code.String() != want {
		return fmt.Errorf("answered %v with %v, want %s", p.Answered, p.Code, want)
	}
	return nil
}

// check runs checkers on the present state.
func (s *Script) check(w []string) error {
	n := s.net.Net()
	var faults []string
	for _, name := range w {
		all := name == "all"
		if name == "trees" || all {
			faults = append(faults, CheckTrees(n, s.net.MayRoot)...)
			faults = append(faults, CheckOrder(n)...)
			faults = append(faults, s.net.Monitor.CheckCovered(n)...)
		}
		if name == "interest" || all {
			faults = append(faults, CheckInterest(n)...)
		}
		if name == "ghosts" || all {
			faults = append(faults, CheckGhosts(n, s.net.wantedAt)...)
		}
		if name == "elsewhere" || all {
			faults = append(faults, CheckElsewhere(n)...)
		}
		if name == "shown" || all {
			faults = append(faults, CheckShown(n)...)
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s", strings.Join(faults, "\n\t"))
	}
	return nil
}

// show prints state, in words.
func (s *Script) show(w []string) error {
	if len(w) == 0 {
		return fmt.Errorf("show what?")
	}
	n := s.net.Net()
	for i := range n.Views {
		v := &n.Views[i]
		switch w[0] {
		case "roots":
			s.print("%s counts %s", n.Name(v.Self), n.names(v.counting()))
		case "tree":
			if r := v.root(s.net.ring.key(w[len(w)-1]).Address()); r != nil {
				s.print("%s below %s, metric %d, reach %v", n.Name(v.Self), n.Name(r.Parent), r.Metric, r.Reach)
			}
		case "interest":
			s.showInterest(n, v, s.net.ring.key(w[len(w)-1]).Address())
		case "local":
			for _, l := range v.Locals {
				s.print("%s: %s p %s s %s wanted %v sender %v held %d", n.Name(v.Self), n.target(l.Target),
					n.Name(l.Primary), n.Name(l.Secondary), l.Wanted, l.Sender, l.Held)
			}
		case "links":
			for _, l := range v.Links {
				s.print("%s – %s cost %d", n.Name(v.Self), n.Name(l.Peer), l.Cost)
			}
		default:
			return fmt.Errorf("show what?")
		}
	}
	return nil
}

func (s *Script) showInterest(n *Net, v *View, root identity.Address) {
	t := v.tree(root)
	if t == nil {
		return
	}
	for _, c := range t.Children {
		for _, target := range targetsOf(c.Entries) {
			s.print("%s knows of %s: %s %v", n.Name(v.Self), n.Name(c.Peer), n.target(target), c.Entries[target])
		}
	}
	for _, target := range targetsOf(t.Elsewhere) {
		s.print("%s was told of %s elsewhere: %s", n.Name(v.Self), n.target(target), map[int8]string{-1: "no", 0: "nothing", 1: "yes"}[t.Elsewhere[target]])
	}
}
