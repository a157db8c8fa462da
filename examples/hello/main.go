// Command hello publishes to a group and reads what it published, over the router
// of this user (upsycle run) or the one that $UPSYCLE_ROUTER names.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	"upsycle"
	"upsycle/identity"
)

func main() {
	if err := hello(); err != nil {
		log.Printf("%v", err)
		if hint := upsycle.Hint(err); hint != "" {
			log.Printf("hint: %s", hint)
		}
		os.Exit(1)
	}
}

func hello() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// "" is the router of this user; the zero key lets Dial make a fresh one.
	conn, err := upsycle.Dial(ctx, "", identity.Key{})
	if err != nil {
		return err
	}
	defer conn.Close()

	// A group is a key. Who has it can publish; who knows its address can read.
	key, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	group := upsycle.GroupKey(key)
	fmt.Println("the group is", group.Address().Text(identity.GroupText))

	// Listen returns once the subscription is in force: nothing is missed.
	sub, err := conn.Listen(ctx, group.Address())
	if err != nil {
		return err
	}
	defer sub.Close()

	// Publish returns once the router has custody.
	if err := conn.Publish(ctx, group, []byte("hello, group")); err != nil {
		return err
	}
	for item, err := range sub.Items(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("item %d from %s: %q (encrypted: %v)\n", item.Seq, item.From.Text(identity.ServiceText), item.Payload, item.Encrypted)
		item.Ack() // the loop is left here, so nobody asks for the next one
		break
	}
	return nil
}
