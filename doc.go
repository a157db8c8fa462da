// Package upsycle is the SDK for services: programs that publish to groups,
// subscribe to them and send mail to each other through the nearest UPSYCLE
// router.
//
// Dial attaches to a router under a key, which is the service's identity. Publish
// returns when the router has the message in custody; from then on it is the
// routers' business to deliver it, also to those who are away. A loop over
// Subscribe gets the items of a group, in order and once each; what is lost comes
// as a gap that says how much and why.
//
//	conn, err := upsycle.Dial(ctx, "", key) // the router of this user
//	if err != nil {
//		return err
//	}
//	defer conn.Close()
//	err = conn.Publish(ctx, upsycle.GroupKey(groupKey), []byte("chapter 4 tonight"))
//
// Keys are everything: a group, a service and a router each are an Ed25519 public
// key (package identity). Who holds a group's private key may publish in it, and
// may let others do so with a certificate (IssueWriter). Each message is signed,
// and every router on its way checks that it may exist.
//
// Payloads are not encrypted in this version: every router on the way can read
// them, and Item.Encrypted says so.
//
// # What it is not
//
// It is no router: it has one link, to its home. It keeps nothing on disk: what
// was not acknowledged by the router when the program ends is gone, and Publish
// will not have returned for it. It decides nothing about routes.
//
// # Inside
//
// The parts that decide are the pure machine in end.go, which joins the gate, the
// client and the sequencer that routers use, too; a loop runs it and a hub carries
// its frames. Beside it there are the publisher, which signs, and the receiver,
// which holds what the application has not acknowledged. What holds:
//   - A message is in the outbox of the machine until the router has answered,
//     and its number in the stream was never used for another.
//   - A delivery is acknowledged to the router only when the application has
//     acknowledged every item of it in every loop that reads it.
//   - The goroutines of a Conn do not depend on what it carries, and Close ends
//     all of them.
//
// The package upsycletest starts routers inside a test.
package upsycle
