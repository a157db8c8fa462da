package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A proxy is a wire between two routers that can be cut and made whole again. Cut,
// it breaks what crosses it, in the middle of a frame if need be, and takes nothing
// new: a dial is accepted and dropped, as by a network that comes and goes.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
	cuts  int // connections that were broken
}

// newProxy starts a proxy to nothing yet.
func newProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// Aim says where connections lead.
func (p *proxy) Aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Cut breaks the wire until Heal.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.cuts += len(p.conns) / 2
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// Heal makes the wire whole.
func (p *proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Broken returns how many connections Cut broke.
func (p *proxy) Broken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

func (p *proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.join(near) })
	}
}

// join carries bytes both ways until one side ends or the wire is cut.
func (p *proxy) join(near net.Conn) {
	defer near.Close()
	p.mu.Lock()
	target, cut := p.target, p.cut
	p.mu.Unlock()
	if cut || target == "" {
		return
	}
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	if !p.keep(near, far) {
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { io.Copy(near, far); near.Close(); far.Close() })
	ways.Go(func() { io.Copy(far, near); near.Close(); far.Close() })
	ways.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, near)
	delete(p.conns, far)
}

func (p *proxy) keep(near, far net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	p.conns[near], p.conns[far] = struct{}{}, struct{}{}
	return true
}
