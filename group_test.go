package upsycle

import (
	"testing"
	"time"
)

func TestGroupHandles(t *testing.T) {
	key := testKey(1)
	if g := GroupKey(key); g.Address() != key.Address() || g.Writer() != key.Address() || !g.CanPublish() {
		t.Errorf("group key: %v %v", g.Address(), g.Writer())
	}
	if g := ReadGroup(key.Address()); g.Address() != key.Address() || g.CanPublish() || !g.Writer().IsZero() {
		t.Errorf("read only: %v %v", g.Address(), g.Writer())
	}
	cert := issue(t, 1, 2, time.Hour)
	g, err := WriterOf(key.Address(), testKey(2), cert)
	if err != nil || g.Address() != key.Address() || g.Writer() != testKey(2).Address() || !g.CanPublish() {
		t.Errorf("writer: %v %v %v", g.Address(), g.Writer(), err)
	}
}

func issue(t *testing.T, group, writer byte, life time.Duration) []byte {
	t.Helper()
	cert, err := IssueWriter(testKey(group), testKey(writer).Address(), time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A certificate that every router would refuse is refused here.
func TestWriterOfRefuses(t *testing.T) {
	good := issue(t, 1, 2, time.Hour)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		caption string
		cert    []byte
	}{
		{"empty", nil},
		{"cut", good[:len(good)-1]},
		{"trailing", append(append([]byte(nil), good...), 0)},
		{"for another group", issue(t, 3, 2, time.Hour)},
		{"for another writer", issue(t, 1, 4, time.Hour)},
		{"a flipped bit in the signature", flipped},
		{"ended", issue(t, 1, 2, -time.Minute)},
	} {
		_, err := WriterOf(testKey(1).Address(), testKey(2), c.cert)
		if err == nil || Hint(err) == "" {
			t.Errorf("%s: %v (hint: %s)", c.caption, err, Hint(err))
		}
	}
}

func TestIssueWriterRefuses(t *testing.T) {
	for caption, life := range map[string]time.Duration{"past": -time.Hour, "401 days": 401 * 24 * time.Hour} {
		if _, err := IssueWriter(testKey(1), testKey(2).Address(), time.Now().Add(life)); err == nil || Hint(err) == "" {
			t.Errorf("%s: accepted", caption)
		}
	}
}
