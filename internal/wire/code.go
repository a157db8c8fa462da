package wire

import "fmt"

// Code says how something ended: one table for close, published, subscribed,
// attached, fetched and receipts (spec §7).
type Code uint64

// The codes of version 1.
const (
	OK            Code = 0
	Malformed     Code = 1
	BadVersion    Code = 2
	TooLarge      Code = 3
	Clock         Code = 4
	Expired       Code = 5
	BadSignature  Code = 6
	NotAWriter    Code = 7
	CertExpired   Code = 8
	NotAllowed    Code = 9
	Quota         Code = 10
	Rate          Code = 11
	StorageFull   Code = 12
	NoGrant       Code = 13
	Superseded    Code = 14
	ShuttingDown  Code = 15
	InternalFault Code = 16
	codes              = 17
)

var _ fmt.Stringer = Code(0)

// String returns the short name.
func (c Code) String() string {
	if t := c.text(); t.name != "" {
		return t.name
	}
	return fmt.Sprintf("code %d", uint64(c))
}

// Sentence returns what the code means, for a person.
func (c Code) Sentence() string {
	if t := c.text(); t.name != "" {
		return t.sentence
	}
	return "The other side gave a code that this version does not know."
}

// Hint returns what the person can do about it.
func (c Code) Hint() string {
	if t := c.text(); t.name != "" {
		return t.hint
	}
	return "Update this program, or ask the operator of the other side."
}

// Retry reports whether the same publish may succeed later: in published, codes
// 4, 10, 11, 12, 15 and 16 ask for another try, all others are final.
func (c Code) Retry() bool {
	switch c {
	case Clock, Quota, Rate, StorageFull, ShuttingDown, InternalFault:
		return true
	}
	return false
}

type codeText struct{ name, sentence, hint string }

func (c Code) text() codeText {
	switch c {
	case OK:
		return codeText{"ok", "Accepted.", "Nothing to do."}
	case Malformed:
		return codeText{"malformed", "The other side could not read what was sent.", "One of the two programs is damaged or not an UPSYCLE program; update both."}
	case BadVersion:
		return codeText{"version", "The two programs speak no common version of the protocol.", "Update the older of the two programs."}
	case TooLarge:
		return codeText{"too large", "The message is larger than the limit.", "Send smaller items; an envelope holds 1 MiB at most."}
	case Clock:
		return codeText{"clock", "The clocks of the two machines differ by more than five minutes.", "Set the clock of this machine, for example with NTP."}
	case Expired:
		return codeText{"expired", "The message's time to live is over.", "Publish it again."}
	case BadSignature:
		return codeText{"bad signature", "A signature or hash does not hold.", "The message was changed on its way or signed with another key; sign and publish it again."}
	case NotAWriter:
		return codeText{"not a writer", "The key that signed the message may not write to this group.", "Ask the group's owner for a writer certificate, or use the group's own key."}
	case CertExpired:
		return codeText{"certificate expired or revoked", "The writer's certificate has ended or was revoked.", "Ask the group's owner for a new certificate."}
	case NotAllowed:
		return codeText{"not allowed", "The router does not admit this key.", "Ask the router's operator to list the key under services, edges or peers."}
	case Quota:
		return codeText{"quota", "A quota is used up.", "Wait until messages were delivered or expired, or ask the operator for more."}
	case Rate:
		return codeText{"rate", "Too much was sent in too short a time.", "Send more slowly."}
	case StorageFull:
		return codeText{"storage full", "The router's storage is full.", "Wait, or ask the operator to raise limits.custody."}
	case NoGrant:
		return codeText{"no grant", "There is no valid grant for this address.", "Only who holds an address's key can receive its mail; attach with that key."}
	case Superseded:
		return codeText{"superseded", "A newer connection with the same key took over.", "Use a key of its own for each process."}
	case ShuttingDown:
		return codeText{"shutting down", "The other side is shutting down.", "Wait; the connection is made again by itself."}
	case InternalFault:
		return codeText{"internal fault", "The other side met a fault of its own.", "Look into its log and report the fault."}
	}
	return codeText{}
}
