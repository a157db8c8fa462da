// Command writer shows how a group lets others write: its owner signs a certificate
// for a writer's key, and every router on the way checks it. Without one, or after
// its end, a message is refused by the first router.
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
	endpoint := "" // the router of this user
	if len(os.Args) > 1 {
		endpoint = os.Args[1]
	}
	if err := write(endpoint); err != nil {
		log.Fatalf("%v (hint: %s)", err, upsycle.Hint(err))
	}
}

func write(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The owner's side: the group's own key signs for a day. The certificate is no
	// secret; it goes to the writer by any way.
	owner, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := identity.GenerateKey(rand.Reader) // the writer's, which never leaves its device
	if err != nil {
		return err
	}
	certificate, err := upsycle.IssueWriter(owner, key.Address(), time.Now().Add(24*time.Hour))
	if err != nil {
		return err
	}

	// The writer's side: it has the group's address, its own key, the certificate.
	group, err := upsycle.WriterOf(owner.Address(), key, certificate)
	if err != nil {
		return err
	}
	conn, err := upsycle.Dial(ctx, endpoint, identity.Key{})
	if err != nil {
		return err
	}
	defer conn.Close()
	sub, err := conn.Listen(ctx, group.Address())
	if err != nil {
		return err
	}
	if err := conn.Publish(ctx, group, []byte("I may write here")); err != nil {
		return err
	}
	for item, err := range sub.Items(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%q, signed by the writer: %v\n", item.Payload, item.From == group.Writer())
		item.Ack()
		break
	}

	// A certificate for somebody else's group opens nothing.
	other, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	_, err = upsycle.WriterOf(other.Address(), key, certificate)
	fmt.Println("another group:", err)
	return nil
}
