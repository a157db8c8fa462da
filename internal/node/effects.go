package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"upsycle/internal/machine"
)

// counters count reports by event, and refusals by code.
type counters struct {
	events [machine.ReportEvents]atomic.Uint64
}

// Do carries out one effect of the machine. It never blocks: queues are bounded
// by what the machine itself keeps track of.
func (n *Node) Do(e machine.Effect) {
	switch e := e.(type) {
	case machine.Send:
		n.hub.Send(e.Link, e.Class, e.Frame)
	case machine.Store:
		n.writer.Store(e)
	case machine.Load:
		n.reader.Load(e)
	case machine.Close:
		n.hub.CloseLink(e.Link, e.Code, e.Text)
	case machine.Pause:
		n.hub.Pause(e.Link, e.Until)
	case machine.Report:
		n.report(e)
	case machine.Deliver:
		if n.cfg.Mail != nil {
			n.cfg.Mail(e)
		}
	default:
		panic(fmt.Sprintf("node: no such effect: %v", e))
	}
}

func (n *Node) report(r machine.Report) {
	n.counts.events[r.Event].Add(uint64(max(r.Count, 1)))
	level, ok := levelOf(r.Event)
	if !ok {
		return
	}
	n.log.Log(context.Background(), level, r.Event.String(), "link", uint64(r.Link), "code", r.Code.String(), "id", r.ID.String(), "text", r.Text)
}

// levelOf says which events are worth a line in the log, and how loud. What
// happens for every envelope is only counted.
func levelOf(e machine.ReportEvent) (slog.Level, bool) {
	switch e {
	case machine.LinkRefused, machine.FaultCharged, machine.TableFull, machine.MailboxDropped, machine.HoleGivenUp:
		return slog.LevelWarn, true
	case machine.RootStarted, machine.RootStopped:
		return slog.LevelInfo, true
	case machine.PublishRefused, machine.RelayRefused, machine.ParentChanged, machine.OrphanStarted, machine.RouterMail:
		return slog.LevelDebug, true
	}
	return 0, false
}

// Counters returns how often each event was reported since the start, and what the
// hub counted of connections.
func (n *Node) Counters() map[string]uint64 {
	m := make(map[string]uint64, machine.ReportEvents+6)
	for e := range machine.ReportEvents {
		m[e.String()] = n.counts.events[e].Load()
	}
	c := n.hub.Counters()
	m["connections accepted"], m["connections throttled"] = c.Accepted, c.Throttled
	m["handshakes failed"], m["dials failed"] = c.HandshakeFailed, c.DialFailed
	m["links up"], m["links ended"] = c.LinksUp, c.LinksEnded
	return m
}
