package upsycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/upsycletest"
)

// One service publishes to a group, another one reads it.
func Example() {
	t, done := upsycletest.Example()
	defer done()
	router := upsycletest.NewRouter(t)
	ctx := context.Background()
	club := upsycletest.Key(t, "reading club")

	reader := router.Dial(t)
	sub, err := reader.Listen(ctx, club.Address())
	if err != nil {
		fmt.Println(err)
		return
	}
	writer := router.Dial(t)
	if err := writer.Publish(ctx, upsycle.GroupKey(club), []byte("chapter 4 tonight")); err != nil {
		fmt.Println(err)
		return
	}
	for item, err := range sub.Items(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s (encrypted: %v)\n", item.Payload, item.Encrypted)
		break
	}
	// Output: chapter 4 tonight (encrypted: false)
}

// The usual program: the router of this user, the endless loop.
func ExampleDial() {
	ctx := context.Background()
	var key identity.Key // zero: a fresh one; read a file for one that stays

	conn, err := upsycle.Dial(ctx, "", key)
	if err != nil {
		fmt.Printf("%v\nhint: %s\n", err, upsycle.Hint(err))
		return
	}
	defer conn.Close()
	for item, err := range conn.Inbox(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", item.Payload)
	}
}

// A writer needs a certificate of the group's key. What is forged is refused by
// the first router.
func ExampleWriterOf() {
	t, done := upsycletest.Example()
	defer done()
	conn := upsycletest.NewRouter(t).Dial(t)
	ctx := context.Background()

	club := upsycletest.Key(t, "reading club") // its owner's, who issues the certificate:
	ann := upsycletest.Key(t, "ann")
	certificate, err := upsycle.IssueWriter(club, ann.Address(), time.Now().Add(24*time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}

	group, err := upsycle.WriterOf(club.Address(), ann, certificate) // at ann's
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ann:", conn.Publish(ctx, group, []byte("hello")))

	_, err = upsycle.WriterOf(club.Address(), upsycletest.Key(t, "bob"), certificate)
	fmt.Println("bob:", err)
	// Output:
	// ann: <nil>
	// bob: the certificate is for another writer's key
}

// Many messages from one goroutine: PublishAll does not wait for each.
func ExampleConn_PublishAll() {
	t, done := upsycletest.Example()
	defer done()
	conn := upsycletest.NewRouter(t).Dial(t)
	club := upsycle.GroupKey(upsycletest.Key(t, "reading club"))

	lines := [][]byte{[]byte("one"), []byte("two"), []byte("three")}
	n, err := conn.PublishAll(context.Background(), club, slices.Values(lines))
	fmt.Println(n, err)
	// Output: 3 <nil>
}

// Leaving the loop leaves the item in hand: the next loop begins with it, unless
// it was acknowledged.
func ExampleConn_Subscribe() {
	t, done := upsycletest.Example()
	defer done()
	conn := upsycletest.NewRouter(t).Dial(t)
	ctx := context.Background()
	key := upsycletest.Key(t, "reading club")
	sub, err := conn.Listen(ctx, key.Address())
	if err != nil {
		fmt.Println(err)
		return
	}
	sub.Close() // the subscription stays in force: only this reader goes
	for n := range 3 {
		if err := conn.Publish(ctx, upsycle.GroupKey(key), fmt.Append(nil, "chapter ", n)); err != nil {
			fmt.Println(err)
			return
		}
	}

	for item, err := range conn.Subscribe(ctx, key.Address()) {
		if err != nil || string(item.Payload) == "chapter 1" {
			break // not read yet
		}
		fmt.Printf("first evening: %s\n", item.Payload)
	}
	for item, err := range conn.Subscribe(ctx, key.Address()) {
		if err != nil {
			break
		}
		fmt.Printf("next evening: %s\n", item.Payload)
		if string(item.Payload) == "chapter 2" {
			item.Ack()
			break
		}
	}
	// Output:
	// first evening: chapter 0
	// next evening: chapter 1
	// next evening: chapter 2
}

// Mail goes to the address of a service, wherever that is attached.
func ExampleConn_Send() {
	t, done := upsycletest.Example()
	defer done()
	router := upsycletest.NewRouter(t)
	ctx := context.Background()

	ann := router.DialKey(t, upsycletest.Key(t, "ann"))
	bob := router.DialKey(t, upsycletest.Key(t, "bob"))
	inbox, err := bob.ListenInbox(ctx) // from now on, mail for bob is kept for him
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := ann.Send(ctx, bob.Address(), []byte("see you at eight")); err != nil {
		fmt.Println(err)
		return
	}
	for item, err := range inbox.Items(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s, from ann: %v\n", item.Payload, item.From == ann.Address())
		break
	}
	// Output: see you at eight, from ann: true
}

// Errors have a code where a router said no, and a hint for people.
func ExampleHint() {
	t, done := upsycletest.Example()
	defer done()
	conn := upsycletest.NewRouter(t).Dial(t)

	club := upsycle.GroupKey(upsycletest.Key(t, "reading club"))
	err := conn.Publish(context.Background(), club, make([]byte, 2<<20))
	var refused *upsycle.Refused
	if errors.As(err, &refused) {
		fmt.Println(refused.Code)
	}
	fmt.Println(err)
	fmt.Println("hint:", upsycle.Hint(err))
	// Output:
	// too large
	// the router refused the message: The message is larger than the limit.
	// hint: Send smaller items; an envelope holds 1 MiB at most.
}
