package upsycletest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle"
	"upsycle/upsycletest"
)

func ctx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestKeyIsTheNames(t *testing.T) {
	if first, again := upsycletest.Key(t, "a"), upsycletest.Key(t, "a"); first.Address() != again.Address() {
		t.Error("one name, two keys")
	}
	if upsycletest.Key(t, "a").Address() == upsycletest.Key(t, "b").Address() {
		t.Error("two names, one key")
	}
}

// Everything ends with the test, also what was cut.
func TestNothingIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	tb, done := upsycletest.Example()
	n := upsycletest.NewNetwork(tb, "A-B")
	n.Router("A").Dial(tb)
	n.Cut("A", "B")
	n.Router("B").Stop()
	n.Router("B").Stop() // twice is harmless
	done()
}

// A link is cut while messages cross it, and healed: all of them arrive.
func TestCutAndHeal(t *testing.T) {
	n := upsycletest.NewNetwork(t, "A-B")
	club := upsycletest.Key(t, "club")
	sub, err := n.Router("B").Dial(t).Listen(ctx(t), club.Address())
	if err != nil {
		t.Fatal(err)
	}
	writer := n.Router("A").Dial(t)
	send := func(text string) {
		if err := writer.Publish(ctx(t), upsycle.GroupKey(club), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	send("before")
	n.Cut("A", "B")
	send("while it is cut")
	n.Heal("A", "B")
	send("after")
	var got []string
	for item, err := range sub.Items(ctx(t)) {
		if err != nil || item.Gap != nil {
			t.Fatalf("%v, gap %v", err, item.Gap)
		}
		if got = append(got, string(item.Payload)); len(got) == 3 {
			break
		}
	}
	if !slices.Equal(got, []string{"before", "while it is cut", "after"}) {
		t.Errorf("%q", got)
	}
}

// A router that was stopped comes back under its own key.
func TestStopAndStart(t *testing.T) {
	r := upsycletest.NewRouter(t)
	conn := r.Dial(t)
	club := upsycletest.Key(t, "club")
	r.Stop()
	r.Start(t)
	if err := conn.Publish(ctx(t), upsycle.GroupKey(club), []byte("again")); err != nil {
		t.Fatal(err)
	}
}

func TestAdmit(t *testing.T) {
	ann := upsycletest.Key(t, "ann")
	r := upsycletest.NewRouter(t, upsycletest.Admit(ann.Address()))
	r.DialKey(t, ann)
	if conn, err := r.TryDial(ctx(t), upsycletest.Key(t, "bob")); err == nil {
		conn.Close()
		t.Error("bob was admitted")
	}
}

func TestUnknownRouterPanics(t *testing.T) {
	n := upsycletest.NewNetwork(t, "alone")
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n.Router("nobody")
}

// Two lines of setting up, as the documentation promises.
func ExampleNewRouter() {
	t, done := upsycletest.Example() // in a test, t is the test's own
	defer done()

	r := upsycletest.NewRouter(t)
	conn := r.Dial(t)

	fmt.Println(conn.Router() == r.Address())
	// Output: true
}

// A network whose links can be cut.
func ExampleNewNetwork() {
	t, done := upsycletest.Example()
	defer done()

	n := upsycletest.NewNetwork(t, "A-B", "B-C", "C-A")
	ann, bob := n.Router("A").Dial(t), n.Router("C").Dial(t)
	club := upsycletest.Key(t, "reading club")
	sub, err := bob.Listen(t.Context(), club.Address())
	if err != nil {
		fmt.Println(err)
		return
	}
	n.Cut("A", "C") // there is still the way over B
	if err := ann.Publish(t.Context(), upsycle.GroupKey(club), []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	for item, err := range sub.Items(t.Context()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", item.Payload)
		break
	}
	// Output: hello
}
