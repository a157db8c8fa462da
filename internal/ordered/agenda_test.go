package ordered

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAgenda(t *testing.T) {
	var a Agenda[string]
	if _, ok := a.Next(); ok || a.Len() != 0 {
		t.Error("an empty agenda has a note")
	}
	if _, ok := a.Pop(1 << 60); ok {
		t.Error("an empty agenda gave a note")
	}
	a.Put(20, "late")
	a.Put(10, "first at ten")
	a.Put(10, "second at ten")
	a.Put(-5, "before the epoch")
	if at, ok := a.Next(); at != -5 || !ok || a.Len() != 4 {
		t.Errorf("next at %d, %v, %d notes", at, ok, a.Len())
	}
	var got []string
	for note, ok := a.Pop(10); ok; note, ok = a.Pop(10) {
		got = append(got, note)
	}
	if want := []string{"before the epoch", "first at ten", "second at ten"}; !slices.Equal(got, want) {
		t.Errorf("popped %q, want %q", got, want)
	}
	if _, ok := a.Pop(19); ok {
		t.Error("a note came before its time")
	}
	if note, ok := a.Pop(20); note != "late" || !ok || a.Len() != 0 {
		t.Errorf("popped %q, %v", note, ok)
	}
}

// Against a model: a stable sort by instant.
func TestAgendaAgainstModel(t *testing.T) {
	type item struct {
		at   int64
		note int
	}
	rapid.Check(t, func(t *rapid.T) {
		var a Agenda[int]
		var model []item
		turn := 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				turn++
				at := rapid.Int64Range(0, 20).Draw(t, "at")
				a.Put(at, turn)
				model = append(model, item{at, turn})
				slices.SortStableFunc(model, func(a, b item) int { return int(a.at - b.at) })
			},
			"pop": func(t *rapid.T) {
				now := rapid.Int64Range(0, 25).Draw(t, "now")
				note, ok := a.Pop(now)
				if due := len(model) > 0 && model[0].at <= now; due != ok || ok && note != model[0].note {
					t.Fatalf("popped %d, %v from %v at %d", note, ok, model, now)
				}
				if ok {
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				at, ok := a.Next()
				if a.Len() != len(model) || ok != (len(model) > 0) || ok && at != model[0].at {
					t.Fatalf("next %d, %v with %d notes; want %v", at, ok, a.Len(), model)
				}
			},
		})
	})
}

// What was popped is not kept alive.
func TestAgendaForgets(t *testing.T) {
	var a Agenda[*int]
	a.Put(1, new(int))
	a.Put(2, new(int))
	a.Pop(5)
	a.Pop(5)
	for _, it := range a.h[:cap(a.h)] {
		if it.note != nil {
			t.Error("a note that was popped is still referred to")
		}
	}
}
