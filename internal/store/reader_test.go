package store

import (
	"errors"
	"testing"

	"upsycle/internal/machine"
)

func TestReaderAnswersInOrder(t *testing.T) {
	engine := NewMemory(0)
	if err := engine.Apply([]machine.Row{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	answers := make(chan machine.Loaded, 100)
	r := NewReader(engine, func(ev machine.Event) { answers <- ev.(machine.Loaded) })
	for i := range 50 {
		r.Load(machine.Load{Token: machine.Token(i + 1), Keys: [][]byte{[]byte("a"), []byte("none"), []byte("b")}})
	}
	for i := range 50 {
		got := <-answers
		if got.Token != machine.Token(i+1) || got.Err != nil {
			t.Fatalf("answer %d: %v", i, got)
		}
		if string(got.Values[0]) != "1" || got.Values[1] != nil || got.Values[2] == nil {
			t.Fatalf("values %q", got.Values)
		}
	}
	r.Close()
	r.Load(machine.Load{Token: 99})
	if got := <-answers; !errors.Is(got.Err, ErrClosed) || got.Token != 99 {
		t.Errorf("after Close: %v", got)
	}
}

func TestReaderTellsOfTheEngine(t *testing.T) {
	engine := NewMemory(0)
	engine.Close()
	answers := make(chan machine.Loaded, 1)
	r := NewReader(engine, func(ev machine.Event) { answers <- ev.(machine.Loaded) })
	defer r.Close()
	r.Load(machine.Load{Token: 1, Keys: [][]byte{[]byte("a")}})
	if got := <-answers; got.Err == nil || got.Values != nil {
		t.Errorf("got %v", got)
	}
}
