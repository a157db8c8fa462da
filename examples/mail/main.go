// Command mail sends a message from one address to another and reads it there. Two
// connections stand for two programs, which may be attached to different routers:
//
//	mail [ENDPOINT [ENDPOINT]]
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
	if err := mail(os.Args[1:]); err != nil {
		log.Fatalf("%v (hint: %s)", err, upsycle.Hint(err))
	}
}

func mail(endpoints []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	at := func(i int) string { // "" is the router of this user
		if i < len(endpoints) {
			return endpoints[i]
		}
		return ""
	}

	// Bob keeps his key: it is his address, and his mail waits for it.
	key, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	bob, err := upsycle.Dial(ctx, at(1), key)
	if err != nil {
		return err
	}
	defer bob.Close()
	inbox, err := bob.ListenInbox(ctx)
	if err != nil {
		return err
	}

	ann, err := upsycle.Dial(ctx, at(0), identity.Key{})
	if err != nil {
		return err
	}
	defer ann.Close()
	if err := ann.Send(ctx, bob.Address(), []byte("for you alone")); err != nil {
		return err
	}

	for item, err := range inbox.Items(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%s wrote %q\n", item.From.Text(identity.ServiceText), item.Payload)
		item.Ack()
		break
	}
	return nil
}
