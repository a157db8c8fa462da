package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"

	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// mutants writes n lines "kind verdict hex": frames and envelopes of the vectors,
// each changed in one to three places, and what this code says of them. The
// independent reader compares: the two must agree on what nobody thought of, too.
func mutants(w io.Writer, list []vector, n int, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 1))
	var from []vector
	for _, v := range list {
		if (v.kind == "frame" || v.kind == "envelope") && len(v.data) > 0 && len(v.data) < 2048 {
			from = append(from, v)
		}
	}
	out := bufio.NewWriter(w)
	for range n {
		v := from[random.IntN(len(from))]
		b := append([]byte(nil), v.data...)
		for range 1 + random.IntN(3) {
			b = mutate(random, b)
		}
		if len(b) > 0 {
			fmt.Fprintf(out, "%s %s %x\n", v.kind, verdict(v.kind, b), b)
		}
	}
	return out.Flush()
}

func mutate(random *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := random.IntN(len(b))
	if random.IntN(3) == 0 {
		at = random.IntN(min(len(b), 12)) // heads are where the rules are
	}
	switch random.IntN(6) {
	case 0:
		b[at] ^= 1 << random.IntN(8)
	case 1:
		b[at] = byte(random.Uint32())
	case 2:
		b[at]++
	case 3:
		b = append(b[:at], b[at+1:]...)
	case 4:
		b = append(b[:at:at], append([]byte{byte(random.Uint32())}, b[at:]...)...)
	case 5:
		b = b[:at]
	}
	return b
}

func verdict(kind string, b []byte) string {
	if kind == "envelope" {
		if _, f := envelope.Check(b, nil); f != nil {
			return strconv.Itoa(int(wire.CodeOf(f)))
		}
		return "ok"
	}
	f, err := wire.Decode(b, nil)
	if _, unknown := f.(*wire.Unknown); unknown {
		return "unknown"
	}
	var fault *wire.Fault
	if errors.As(err, &fault) {
		return strconv.Itoa(int(fault.Code))
	}
	return "ok"
}
