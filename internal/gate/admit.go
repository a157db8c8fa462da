package gate

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Case is an envelope to be judged. All but Envelope, Link and Recheck are the
// asker's own notes, which come back with the verdict.
type Case struct {
	Asker    machine.Owner
	Link     machine.LinkID
	Envelope *envelope.Envelope

	N     uint64
	Root  identity.Address
	Hops  uint64
	Stamp wire.Stamp

	Recheck bool // verify though the id is known: nothing is held of it any more (F1)
}

// Result is the kind of a verdict.
type Result uint8

// The results.
const (
	Waiting  Result = iota // the verdict comes from Verified
	Accepted               // the envelope has its right to exist
	Known                  // the id was admitted before
	Refused                // see Code
)

// String returns the result in a word.
func (r Result) String() string {
	switch r {
	case Waiting:
		return "waiting"
	case Accepted:
		return "accepted"
	case Known:
		return "known"
	}
	return "refused"
}

// Verdict is the answer to a Case.
type Verdict struct {
	Case       Case
	Result     Result
	Admitted   Admitted  // where Accepted
	Code       wire.Code // where Refused
	Text       string    // where Refused: one sentence
	RetryAfter uint64    // milliseconds, where Refused and a retry makes sense; or 0
}

// Admitted is an envelope that has its right to exist. Only a Gate makes one that
// is not zero.
type Admitted struct{ e *envelope.Envelope }

// Envelope returns the envelope; nil of the zero Admitted.
func (a Admitted) Envelope() *envelope.Envelope { return a.e }

// IsZero reports whether a holds no envelope.
func (a Admitted) IsZero() bool { return a.e == nil }

// check is an envelope whose claims are being verified, and the copies that wait
// for its verdict.
type check struct {
	c        Case
	withCert bool // the first claim is the certificate's
	copies   []Case
	claims   [3]identity.Claim // here, so that a check is one allocation
}

// Submit asks for a verdict: the part of the one order of checks that depends on
// time, place and policy (spec §4.4). Where the claims must be verified first the
// result is Waiting, and Verified brings the verdict.
func (g *Gate) Submit(now int64, c Case) Verdict {
	g.now = now
	e := c.Envelope
	if e.Newer != nil { // step 2: not understood, so nobody is to blame
		return refuse(c, wire.BadVersion, e.Newer.Text)
	}
	switch { // step 3
	case int64(e.Time) > now+futureTolerance:
		return refuse(c, wire.Clock, "the message's time is more than five minutes ahead of this router's clock")
	case int64(e.Expires()) < now:
		return refuse(c, wire.Expired, "the message's time to live is over")
	}
	if g.seen.touch(now, e.ID) && !c.Recheck { // step 4
		return Verdict{Case: c, Result: Known}
	}
	if k, ok := g.pending[e.ID]; ok {
		if len(k.copies) >= waitersMax {
			return retry(c, retryRate, "several copies of the message are being checked already")
		}
		k.copies = append(k.copies, c)
		return Verdict{Case: c}
	}
	if v, ok := g.budgets(now, c); !ok { // step 5
		return v
	}
	return g.begin(now, c, nil)
}

// Seen reports whether an id was admitted within the last 15 minutes, and counts
// as a sight of it.
func (g *Gate) Seen(id envelope.ID) bool { return g.seen.touch(g.now, id) }

// Forget takes back that an id was seen: it was admitted, but then nobody took
// custody of it, so its next copy is the first.
func (g *Gate) Forget(id envelope.ID) { delete(g.seen.at, id) }

// Own admits an envelope that this process made and signed itself. Its id is not
// noted as seen: a service that subscribes to its own group gets it back like
// everybody else.
func (g *Gate) Own(e *envelope.Envelope) Admitted { return Admitted{e} }

// budgets holds a case against the room that is left: of the seen-cache, of its
// link's verifications, of its writer. The writer's is only looked at: it is
// debited after its signature held. The link paid when its frame arrived.
func (g *Gate) budgets(now int64, c Case) (Verdict, bool) {
	if g.seen.size()+len(g.pending) >= g.cfg.Limits.Seen {
		if g.seen.forget(now, forgetStep); g.seen.size()+len(g.pending) >= g.cfg.Limits.Seen {
			g.desk.Do(machine.Report{Event: machine.TableFull, Link: c.Link, Text: "the seen-cache is full"})
			return retry(c, retryRate, "this router has seen as many messages as it can remember"), false
		}
	}
	l, ok := g.links[c.Link]
	if !ok {
		return Verdict{}, true
	}
	most, mostBytes := memberChecks, memberCheckBytes
	if l.trusted {
		most, mostBytes = trustedChecks, trustedCheckBytes
	}
	switch {
	case l.checking >= 2*most || l.checked >= 2*mostBytes:
		return retry(c, retryRate, "too many messages of this link are being checked"), false
	case l.checking >= most || l.checked >= mostBytes:
		g.pause(now, c.Link, l, checkPause)
	}
	if l.trusted { // who is named in the configuration brings what it wants
		return Verdict{}, true
	}
	if wait := g.writers.look(now, c.Envelope.From, &g.cfg.Limits); wait > 0 {
		return retry(c, uint64(wait), "the writer sent too much in too short a time"), false
	}
	return Verdict{}, true
}

// begin does step 6 without the signature, and asks for the claims of steps 6 and
// 8. It takes over the copies that wait.
func (g *Gate) begin(now int64, c Case, copies []Case) Verdict {
	e := c.Envelope
	if f := e.Fits(); f != nil {
		return g.blame(now, c, wire.CodeOf(f), f.Text)
	}
	k := &check{c: c, copies: copies, withCert: e.Cert != nil && !g.certs.has(certificateOf(e))}
	claims := k.claims[:0]
	if k.withCert {
		claims = append(claims, e.Cert.Claim())
	}
	claims = append(claims, e.BodyClaim(), e.SigClaim())
	g.checks[g.desk.Verify(machine.OwnerGate, c.Link, claims...)] = k
	g.pending[e.ID] = k
	if l, ok := g.links[c.Link]; ok {
		l.checking++
		l.checked += len(e.Raw)
	}
	return Verdict{Case: c}
}

// Verified takes the answer to a Verify of this room and returns the verdicts
// that it brings, the case's own first; the slice is valid until the next call.
// failed is the index of the first claim
// that does not hold, or -1.
func (g *Gate) Verified(now int64, t machine.Token, failed int) []Verdict {
	g.now = now
	k, ok := g.checks[t]
	if !ok {
		return nil
	}
	delete(g.checks, t)
	delete(g.pending, k.c.Envelope.ID)
	if l, ok := g.links[k.c.Link]; ok {
		l.checking--
		l.checked -= len(k.c.Envelope.Raw)
	}
	if failed < 0 {
		return g.passed(now, k)
	}
	if !k.withCert {
		failed++
	}
	verdicts := append(g.verdicts[:0], g.failed(now, k.c, failed))
	for i, c := range k.copies { // the next copy gets its own check
		v := g.begin(now, c, k.copies[i+1:])
		if v.Result == Waiting {
			break
		}
		verdicts = append(verdicts, v)
	}
	g.verdicts = verdicts
	return verdicts
}

// passed is step 9. Nothing was changed before it.
func (g *Gate) passed(now int64, k *check) []Verdict {
	e := k.c.Envelope
	if k.withCert {
		g.certs.add(certificateOf(e))
	}
	g.writers.debit(now, e.From, len(e.Raw), &g.cfg.Limits)
	g.seen.add(now, e.ID)
	verdicts := append(g.verdicts[:0], Verdict{Case: k.c, Result: Accepted, Admitted: Admitted{e}})
	for _, c := range k.copies {
		verdicts = append(verdicts, Verdict{Case: c, Result: Known})
	}
	g.verdicts = verdicts
	return verdicts
}

// failed refuses a case by the claim that did not hold: 0 the certificate's, 1
// the body's, 2 the signature.
func (g *Gate) failed(now int64, c Case, claim int) Verdict {
	switch claim {
	case 0:
		return g.blame(now, c, wire.NotAWriter, "the certificate is not signed by the group")
	case 1:
		return g.blame(now, c, wire.BadSignature, "the body is not the one that was signed")
	}
	return g.blame(now, c, wire.BadSignature, "the signature does not hold")
}

// blame refuses a case for a fault that every honest router would have seen, and
// charges the link that brought it.
func (g *Gate) blame(now int64, c Case, code wire.Code, text string) Verdict {
	g.Charge(now, c.Link, code, text)
	return refuse(c, code, text)
}

func refuse(c Case, code wire.Code, text string) Verdict {
	return Verdict{Case: c, Result: Refused, Code: code, Text: text}
}

func retry(c Case, after uint64, text string) Verdict {
	return Verdict{Case: c, Result: Refused, Code: wire.Rate, Text: text, RetryAfter: after}
}
