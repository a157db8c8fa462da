package link

import (
	"net"
	"time"

	"upsycle/internal/wire"
)

// greet exchanges hellos on a connection whose peer has proved its key. Nothing
// but hello and close is understood, and neither may exceed 4 KiB (spec §3.3).
func (h *Hub) greet(conn net.Conn, in *frameReader) (*wire.Hello, *ending) {
	conn.SetDeadline(time.Now().Add(helloTime))
	defer conn.SetDeadline(time.Time{})
	if _, err := conn.Write(appendFrame(nil, h.hello())); err != nil {
		return nil, broke(err)
	}
	b, _, err := in.next()
	if err != nil {
		return nil, broke(err)
	}
	f, err := wire.Decode(b, h.keys)
	if err != nil {
		return nil, malformed(err)
	}
	switch f := f.(type) {
	case *wire.Hello:
		return f, h.judge(f)
	case *wire.Close:
		return nil, &ending{code: f.Code, text: f.Text, byPeer: true}
	}
	return nil, fault(wire.Malformed, "a frame of type %d before hello", f.Type())
}

func (h *Hub) hello() *wire.Hello {
	return &wire.Hello{
		Versions: []uint64{wire.Version},
		Role:     h.config.Role,
		Now:      uint64(h.config.Now().UnixMilli()),
		Boot:     h.boot,
		MaxFrame: uint64(h.config.Limits.MaxFrame),
		Agent:    plain(h.config.Agent, 64),
	}
}

// judge holds a hello against what every link needs. Who may link in which role
// is the gate's to say.
func (h *Hub) judge(f *wire.Hello) *ending {
	if !speaks(f.Versions) {
		return fault(wire.BadVersion, "no common version: this side speaks %d", wire.Version)
	}
	skew := h.config.Now().Sub(time.UnixMilli(int64(f.Now))).Abs()
	if skew > skewMax {
		return fault(wire.Clock, "the clocks are %v apart, at most %v are allowed", skew.Round(time.Second), skewMax)
	}
	if skew > skewWarn {
		h.log.Warn("the clock of a peer differs", "by", skew.Round(time.Second), "hint", "set both clocks, for example with NTP")
	}
	least := uint64(wire.FrameMax)
	if f.Role == wire.Service {
		least = wire.FrameMaxService
	}
	if f.MaxFrame < least {
		return fault(wire.Malformed, "max-frame of %d bytes, a %v announces at least %d", f.MaxFrame, f.Role, least)
	}
	return nil
}

// speaks finds the version of this program among the peer's. There is one
// version yet; the highest common one will be chosen here.
func speaks(versions []uint64) bool {
	for _, v := range versions {
		if v == wire.Version {
			return true
		}
	}
	return false
}

// malformed turns a decoder's refusal into what the peer is told.
func malformed(err error) *ending {
	if f, ok := err.(*wire.Fault); ok {
		return fault(f.Code, "%s", f.Text)
	}
	return fault(wire.Malformed, "%v", err)
}
