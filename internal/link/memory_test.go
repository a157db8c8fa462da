package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// ends connects node a to a listener of node b.
func ends(t *testing.T, m *Memory) (near, far net.Conn) {
	t.Helper()
	l, err := m.Node("b").Listen(mem("listener"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = m.Node("a").Dial(context.Background(), mem("listener"))
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestMemoryCarries(t *testing.T) {
	near, far := ends(t, NewMemory())
	sent := bytes.Repeat([]byte("0123456789"), 100_000) // more than the buffer holds
	go func() { near.Write(sent); near.Close() }()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
	if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to an end that is closed: %v", err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading what oneself has closed: %v", err)
	}
	if near.RemoteAddr().String() != "listener" || far.RemoteAddr().String() != "a" {
		t.Errorf("named %v and %v", near.RemoteAddr(), far.RemoteAddr())
	}
}

// A half-closed connection still carries the other direction.
func TestMemoryHalfClose(t *testing.T) {
	near, far := ends(t, NewMemory())
	near.(*pipe).CloseWrite()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("want EOF, got %v", err)
	}
	far.Write([]byte("answer"))
	far.Close()
	if b, err := io.ReadAll(near); string(b) != "answer" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// Deadlines pass for calls under way, and can be moved.
func TestMemoryDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := ends(t, NewMemory())
		began := time.Now()
		near.SetReadDeadline(began.Add(time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		near.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := near.Write(make([]byte, 2*pipeBuffer)); !errors.Is(err, os.ErrDeadlineExceeded) || n != pipeBuffer {
			t.Errorf("write: %d, %v", n, err)
		}
		near.SetDeadline(time.Time{})
		go func() { time.Sleep(time.Minute); far.Write([]byte("x")) }()
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
		go func() { time.Sleep(time.Minute); near.SetReadDeadline(time.Unix(1, 0)) }()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline set in the past: %v", err)
		}
	})
}

// Cut breaks at once and refuses dials; Heal lets new ones in.
func TestMemoryCut(t *testing.T) {
	m := NewMemory()
	near, far := ends(t, m)
	near.Write([]byte("lost"))
	m.Cut("b", "a")
	for name, conn := range map[string]net.Conn{"near": near, "far": far} {
		if _, err := conn.Read(make([]byte, 4)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, _ := m.Node("b").Listen(mem("x"))
	defer l.Close()
	if _, err := m.Node("a").Dial(context.Background(), mem("x")); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("a dial over a cut way: %v", err)
	}
	if conn, err := m.Node("c").Dial(context.Background(), mem("x")); err != nil {
		t.Errorf("another node: %v", err)
	} else {
		conn.Close()
	}
	m.Heal("a", "b")
	conn, err := m.Node("a").Dial(context.Background(), mem("x"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// Freeze holds everything back and tells nobody; Heal lets it go on.
func TestMemoryFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		near, far := ends(t, m)
		m.Freeze("a", "b")
		near.Write([]byte("late"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l, _ := m.Node("b").Listen(mem("x"))
		defer l.Close()
		if _, err := m.Node("a").Dial(ctx, mem("x")); err != context.DeadlineExceeded {
			t.Errorf("a dial over a frozen way: %v", err)
		}
		go func() { time.Sleep(time.Minute); m.Heal("a", "b") }()
		began, b := time.Now(), make([]byte, 10)
		if n, err := far.Read(b); string(b[:n]) != "late" || err != nil || time.Since(began) != time.Minute {
			t.Errorf("%q, %v after %v", b[:n], err, time.Since(began))
		}
	})
}

func TestMemoryNames(t *testing.T) {
	m := NewMemory()
	l, err := m.Listen(mem("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Listen(mem("x")); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a name that is taken: %v", err)
	}
	conn, err := m.Dial(context.Background(), mem("x"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that nobody accepted went on")
	}
	conn.Close()
	if _, err := m.Dial(context.Background(), mem("x")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := m.Dial(context.Background(), mem("x").WithPin(keyOf(1).Address())); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a pin is not the network's: %v", err)
	}
	free, _ := m.Listen(mem(""))
	other, _ := m.Listen(mem(""))
	if free.Addr().String() == other.Addr().String() {
		t.Error("one free name was given out twice")
	}
	free.Close()
	other.Close()
	if len(m.conns) != 0 {
		t.Errorf("%d connections are remembered after their end", len(m.conns))
	}
}
