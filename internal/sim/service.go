package sim

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A Service is an application with the real client (attach.Client): it keeps its
// outbox until the home answers, attaches and subscribes again after each cut, and
// acknowledges what it got at once.
type Service struct {
	*Node
	// Home is the router that it attaches to.
	Home *Node
	// Arrivals is what it got, in order.
	Arrivals []Arrival

	net     *Network
	got     map[envelope.ID]int
	members map[envelope.Target][]Membership
	streams map[envelope.Target]*stream
	run     envelope.Run
	machine *endpoint
}

// stream counts what a service published to a target.
type stream struct {
	cert *envelope.Certificate
	next [4]uint64 // by how: a live stream is another than a stored one
}

// How says under whose key a service publishes.
type How uint8

// The ways to publish.
const (
	Plainly   How = iota // with the group's own key; to an address with its own
	Certified            // with its own key and the group's certificate
	Forgery              // with the group's key, but a signature that does not hold
	Fleeting             // as Plainly, live: never stored, not promised across a cut
)

// AddService adds a service with its link to a router. It is down until Boot.
func (x *Network) AddService(name string, home *Node) *Service {
	s := &Service{
		Home: home, net: x, got: map[envelope.ID]int{}, members: map[envelope.Target][]Membership{},
		streams: map[envelope.Target]*stream{},
	}
	s.Node = x.Add(name, wire.Service, func(seed uint64) machine.Machine {
		s.machine = newEndpoint(s, seed)
		return s.machine
	})
	s.run = envelope.Run(eight(x.random.Uint64()))
	s.Node.local = true
	x.Services = append(x.Services, s)
	x.Connect(s.Node, home, 200*time.Microsecond)
	return s
}

// Group returns the target of a group's name; its key is known to all services.
func (x *Network) Group(name string) envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: x.ring.key(name).Address()}
}

// AddressOf returns the target of a service's or router's name.
func (x *Network) AddressOf(name string) envelope.Target {
	return envelope.Target{Kind: envelope.Address, To: x.ring.key(name).Address()}
}

// Subscribe asks for a target from now on.
func (s *Service) Subscribe(t envelope.Target) {
	s.members[t] = append(s.members[t], Membership{Since: s.net.now})
	s.do("subscribe", func(m *endpoint, now int64) { m.client.Want(now, t, nil) })
}

// Unsubscribe ends that.
func (s *Service) Unsubscribe(t envelope.Target) {
	if k := len(s.members[t]); k > 0 && s.members[t][k-1].Until == 0 {
		s.members[t][k-1].Until = s.net.now
	}
	s.do("unsubscribe", func(m *endpoint, now int64) { m.client.Unwant(now, t) })
}

// Publish sends one text to a target.
func (s *Service) Publish(t envelope.Target, text string, how How) *Publication {
	e, first := s.seal(t, text, how)
	p := &Publication{ID: e.ID, Stream: e.Stream(), First: first, Text: text, By: s, At: s.net.now, Forged: how == Forgery, Live: how == Fleeting}
	s.net.ledger.add(p)
	if p.Forged {
		s.net.Monitor.Forged(p.ID)
	}
	s.do("publish "+text, func(m *endpoint, now int64) { m.client.Publish(now, e) })
	return p
}

// seal makes the envelope of a text.
func (s *Service) seal(t envelope.Target, text string, how How) (e *envelope.Envelope, first uint64) {
	st := s.streams[t]
	if st == nil {
		st = &stream{}
		s.streams[t] = st
	}
	first = st.next[how]
	st.next[how]++
	run := s.run
	run[0] = byte(how)
	h := envelope.Header{Target: t, Run: run, First: first, Time: uint64(s.Clock().UnixMilli()), TTL: 3600}
	if how == Fleeting {
		h.Flags |= envelope.Live
	}
	ring, key := s.net.ring, s.key
	switch {
	case t.Kind == envelope.Address:
	case how == Certified:
		if st.cert == nil {
			st.cert = ring.certificate(ring.key(ring.name(t.To)), s.Address(), Epoch-3_600_000, Epoch+30*24*3_600_000)
		}
		return ring.seal(h, st.cert, key, []byte(text)), first
	default:
		key = ring.key(ring.name(t.To))
	}
	e = ring.seal(h, nil, key, []byte(text))
	if how == Forgery {
		bad := e.Sig
		bad[5] ^= 1
		e = ring.resign(e, bad)
	}
	return e, first
}

// action is a call of the application.
type action struct {
	name string
	do   func(m *endpoint, now int64)
}

func (a action) String() string { return a.name }

func (s *Service) do(name string, do func(m *endpoint, now int64)) {
	s.Do(machine.Command{Call: action{name, do}})
}

// endpoint is the machine of a service: a gate, a client, and an application that
// notes what it gets.
type endpoint struct {
	service *Service
	desk    machine.Desk
	gate    *gate.Gate
	client  *attach.Client
}

func newEndpoint(s *Service, seed uint64) *endpoint {
	m := &endpoint{service: s}
	m.gate = gate.New(gate.Config{Self: s.Address(), Role: wire.Service}, &m.desk)
	m.client = attach.NewClient(attach.ClientConfig{Self: s.Address(), Role: wire.Service, Seed: seed}, &m.desk, m.gate)
	m.client.Bind(m)
	return m
}

// Step implements machine.Machine.
func (m *endpoint) Step(at time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	m.desk.Begin(out)
	m.handle(at.UnixMilli(), ev)
	return m.desk.End()
}

func (m *endpoint) handle(now int64, ev machine.Event) {
	switch e := ev.(type) {
	case machine.LinkUp:
		if code := m.gate.LinkUp(now, e); code != wire.OK {
			m.desk.Close(e.Link, code, code.Sentence())
			return
		}
		m.client.LinkUp(now, e)
	case machine.LinkDown:
		m.client.LinkDown(now, e.Link)
		m.gate.LinkDown(e.Link)
	case machine.FrameIn:
		m.gate.Arrived(now, e.Link, e.Bytes)
		m.client.Frame(now, e.Link, e.Frame)
	case machine.Verified:
		m.verified(now, e)
	case machine.Signed:
		m.client.Signed(now, e.Token, e.Sig)
	case machine.Stored:
		m.client.Stored(now, e.Token, e.Err)
	case machine.Drained:
		m.client.Drained(now, e.Link, e.Class, e.Weight)
	case machine.Tick:
		m.gate.Tick(now)
		m.client.Tick(now)
	case machine.Command:
		e.Call.(action).do(m, now)
	}
}

func (m *endpoint) verified(now int64, e machine.Verified) {
	if e.Token.Owner() != machine.OwnerGate {
		m.client.Verified(now, e.Token, e.Failed)
		return
	}
	for _, v := range m.gate.Verified(now, e.Token, e.Failed) {
		m.client.Verdict(now, v)
	}
}

// Deadline implements machine.Machine.
func (m *endpoint) Deadline() time.Time {
	a, b := m.gate.Deadline(), m.client.Deadline()
	if a == 0 || b != 0 && b < a {
		a = b
	}
	if a == 0 {
		return time.Time{}
	}
	return time.UnixMilli(a)
}

// Taken implements attach.Downstream: the home has answered.
func (m *endpoint) Taken(_ int64, id envelope.ID, code wire.Code, _ uint64) {
	s := m.service
	p := s.net.ledger.byID[id]
	if p == nil {
		s.net.Fault("%s was answered %v for %v, which it did not publish", s.Name, code, id)
		return
	}
	p.Answered, p.Code, p.AckedAt = true, code, s.net.now
	if p.Ingress = s.Home; s.Home.Role == wire.Edge {
		p.Ingress = nil
	}
	p.life = s.Home.life
}

// Deliver implements attach.Downstream.
func (m *endpoint) Deliver(now int64, a gate.Admitted, r attach.Receipt) {
	s, e := m.service, a.Envelope()
	items, err := envelope.PlainItems(e.Body, e.Count)
	if err != nil {
		s.net.Fault("%s got a body that does not open: %v", s.Name, err)
		return
	}
	s.got[e.ID]++
	s.Arrivals = append(s.Arrivals, Arrival{ID: e.ID, Text: string(items[0]), At: s.net.now})
	m.client.Done(now, r)
}

// Gap implements attach.Downstream.
func (m *endpoint) Gap(now int64, g wire.Gap, r attach.Receipt) {
	s := m.service
	s.Arrivals = append(s.Arrivals, Arrival{Text: fmt.Sprintf("gap of %d: %v", g.Count, g.Why), At: s.net.now, Gap: true})
	m.client.Done(now, r)
}

// wantedAt says whether a core has a reason to want a target: it is its own
// address, or a service or edge below it is subscribed.
func (x *Network) wantedAt(router identity.Address, t envelope.Target) bool {
	if t == (envelope.Target{Kind: envelope.Address, To: router}) {
		return true
	}
	for _, s := range x.Services {
		if !s.wanted(t, x.now) {
			continue
		}
		if s.Home.Address() == router {
			return true
		}
		for _, l := range s.Home.links {
			if s.Home.Role == wire.Edge && (l.A.Address() == router || l.B.Address() == router) {
				return true
			}
		}
	}
	for _, e := range x.Edges {
		if t.To == e.Address() && t.Kind == envelope.Address && x.Link(e, x.Node(router)) != nil {
			return true
		}
	}
	return false
}
