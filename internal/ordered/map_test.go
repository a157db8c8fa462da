package ordered

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newInts() *Map[int, string] { return NewMap[int, string](cmp.Compare[int]) }

func keysOf(m *Map[int, string]) []int {
	var got []int
	for k := range m.All() {
		got = append(got, k)
	}
	return got
}

func TestMapOrder(t *testing.T) {
	for _, c := range []struct {
		caption string
		in      []int
		want    []int
	}{
		{"nothing", nil, nil},
		{"in order", []int{1, 2, 3}, []int{1, 2, 3}},
		{"backwards", []int{3, 2, 1}, []int{1, 2, 3}},
		{"twice the same", []int{2, 1, 2}, []int{1, 2}},
		{"deleted (negative numbers delete)", []int{3, 1, 2, -1}, []int{2, 3}},
		{"deleted and put again", []int{3, 1, -3, 2, 3}, []int{1, 2, 3}},
		{"all deleted", []int{1, 2, -1, -2}, nil},
	} {
		m := newInts()
		for _, k := range c.in {
			if k < 0 {
				m.Delete(-k)
			} else {
				m.Set(k, "")
			}
		}
		if got := keysOf(m); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.caption, got, c.want)
		}
	}
}

func TestMapValues(t *testing.T) {
	m := newInts()
	m.Set(1, "one")
	m.Set(1, "uno")
	if v, ok := m.Get(1); v != "uno" || !ok || m.At(1) != "uno" || !m.Has(1) || m.Len() != 1 {
		t.Errorf("1 is %q, %v; %d keys", v, ok, m.Len())
	}
	if v, ok := m.Get(2); v != "" || ok || m.At(2) != "" || m.Has(2) {
		t.Errorf("2 is %q, %v", v, ok)
	}
	if m.Delete(2) || !m.Delete(1) || m.Delete(1) || m.Len() != 0 {
		t.Error("Delete says the wrong thing")
	}
	m.Set(5, "five")
	m.Clear()
	if m.Len() != 0 || m.Has(5) || keysOf(m) != nil {
		t.Error("Clear left something")
	}
	m.Set(6, "six")
	if got := keysOf(m); !slices.Equal(got, []int{6}) {
		t.Errorf("after Clear: %v", got)
	}
}

// Keys belongs to the caller.
func TestKeysIsACopy(t *testing.T) {
	m := newInts()
	m.Set(1, "")
	m.Set(2, "")
	m.Keys()[0] = 99
	if got := m.Keys(); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("keys %v", got)
	}
}

// What happens to a map while it is visited.
func TestMapChangedDuringIteration(t *testing.T) {
	build := func() *Map[int, string] {
		m := newInts()
		for _, k := range []int{5, 3, 1, 4, 2} {
			m.Set(k, "old")
		}
		return m
	}
	for _, c := range []struct {
		caption string
		at      int
		do      func(*Map[int, string])
		want    []int
		last    string
	}{
		{"delete what was visited", 3, func(m *Map[int, string]) { m.Delete(1) }, []int{1, 2, 3, 4, 5}, "old"},
		{"delete what is visited", 3, func(m *Map[int, string]) { m.Delete(3) }, []int{1, 2, 3, 4, 5}, "old"},
		{"delete what comes", 3, func(m *Map[int, string]) { m.Delete(4) }, []int{1, 2, 3, 5}, "old"},
		{"add before and after", 3, func(m *Map[int, string]) { m.Set(0, ""); m.Set(9, "") }, []int{1, 2, 3, 4, 5}, "old"},
		{"change what comes", 3, func(m *Map[int, string]) { m.Set(5, "new") }, []int{1, 2, 3, 4, 5}, "new"},
		{"delete and put again what comes", 3, func(m *Map[int, string]) { m.Delete(5); m.Set(5, "new") }, []int{1, 2, 3, 4, 5}, "new"},
		{"clear", 3, func(m *Map[int, string]) { m.Clear() }, []int{1, 2, 3}, "old"},
		{"visit inside of the visit", 3, func(m *Map[int, string]) { m.Delete(1); keysOf(m) }, []int{1, 2, 3, 4, 5}, "old"},
	} {
		m := build()
		var got []int
		var last string
		for k, v := range m.All() {
			got, last = append(got, k), v
			if k == c.at {
				c.do(m)
			}
		}
		if !slices.Equal(got, c.want) || last != c.last {
			t.Errorf("%s: visited %v, the last %q; want %v, %q", c.caption, got, last, c.want, c.last)
		}
	}
	for range build().All() {
		break // a visit may end early
	}
}

// Against a model: a Go map and a sort.
func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, model := newInts(), map[int]string{}
		key := rapid.IntRange(0, 120)
		check := func(t *rapid.T) {
			if m.Len() != len(model) {
				t.Fatalf("%d keys, want %d", m.Len(), len(model))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": check,
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), rapid.StringN(0, 3, 9).Draw(t, "v")
				m.Set(k, v)
				model[k] = v
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "k")
				_, had := model[k]
				delete(model, k)
				if m.Delete(k) != had {
					t.Fatalf("Delete(%d) does not say %v", k, had)
				}
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "k")
				want, had := model[k]
				if got, ok := m.Get(k); got != want || ok != had {
					t.Fatalf("Get(%d) = %q, %v; want %q, %v", k, got, ok, want, had)
				}
			},
			"visit": func(t *rapid.T) {
				want := make([]int, 0, len(model))
				for k := range model {
					want = append(want, k)
				}
				slices.Sort(want)
				if got := m.Keys(); !slices.Equal(got, want) {
					t.Fatalf("keys %v, want %v", got, want)
				}
				for k, v := range m.All() {
					if model[k] != v {
						t.Fatalf("%d is %q, want %q", k, v, model[k])
					}
				}
			},
			"delete many": func(t *rapid.T) {
				for k := range 100 {
					m.Delete(k)
					delete(model, k)
				}
			},
		})
	})
}

// A map that is filled and emptied again and again does not grow.
func TestMapForgetsItsDead(t *testing.T) {
	m := newInts()
	for i := range 100_000 {
		m.Set(i, "x")
		if i >= 10 {
			m.Delete(i - 10)
		}
	}
	if m.Len() != 10 || len(m.entries) > 200 {
		t.Errorf("%d keys in %d entries", m.Len(), len(m.entries))
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	m := newInts()
	for i := range 100 {
		m.Set(i, "x")
	}
	if n := testing.AllocsPerRun(100, func() { m.Get(5); m.Has(500); m.Set(7, "y"); m.At(9) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
