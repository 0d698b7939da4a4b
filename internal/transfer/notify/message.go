package notify

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/tsig"
	"geodns/internal/wire"
)

const (
	// notifyFlags are opcode NOTIFY and AA (RFC 1996 3.7 and 4).
	notifyFlags = uint16(wire.OpcodeNotify)<<11 | 0x0400
	// maxDatagram is what every peer takes over UDP, in octets (RFC 1035 4.2.1).
	maxDatagram = 512
)

// message composes a target's NOTIFY. A further attempt is the same octets, so
// that an answer to any of them will do.
func (n *Notifier) message(t *target) ([]byte, *tsig.Exchange, error) {
	msg, x, err := n.signed(t, true)
	if err == nil && len(msg) > maxDatagram {
		// RFC 1996 3.7: the SOA is a hint, which may be left out.
		return n.signed(t, false)
	}
	return msg, x, err
}

func (n *Notifier) signed(t *target, hint bool) ([]byte, *tsig.Exchange, error) {
	z := t.zone
	msg := make([]byte, 0, maxDatagram)
	msg = binary.BigEndian.AppendUint16(msg, t.id)
	msg = binary.BigEndian.AppendUint16(msg, notifyFlags)
	msg = append(msg, 0, 1, 0, 0, 0, 0, 0, 0)
	msg = append(append(msg, z.apex...), 0, byte(wire.TypeSOA), 0, byte(wire.ClassIN))
	if hint {
		msg[7] = 1
		msg = append(msg, 0xc0, wire.HeaderLen, 0, byte(wire.TypeSOA), 0, byte(wire.ClassIN))
		msg = binary.BigEndian.AppendUint32(msg, z.soa.TTL)
		msg = binary.BigEndian.AppendUint16(msg, uint16(len(z.soa.Data)))
		msg = append(msg, z.soa.Data...)
	}
	if t.peer.Key == "" {
		return msg, nil, nil
	}
	return n.o.Keys().Ask(msg, t.peer.Key, t.signed)
}

// receive takes a message that came from somewhere.
func (n *Notifier) receive(msg []byte, from netip.AddrPort, now time.Time) {
	if len(msg) < wire.HeaderLen || msg[2]&0xf8 != 0x80|wire.OpcodeNotify<<3 {
		return // no response to a NOTIFY
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.asked[question{from, binary.BigEndian.Uint16(msg)}]
	if t == nil || !t.asks(msg) {
		return
	}
	if t.exchange != nil {
		plain, _, err := t.exchange.Verify(msg, now)
		if err != nil {
			// It may be forged: the right one is still waited for.
			t.state.Error = err.Error()
			return
		}
		msg = plain
	}
	t.state.Error = ""
	if code := int(msg[3] & 15); code != int(wire.RcodeNoError) {
		// RFC 1996 3.6: an answer of whatever kind ends it.
		n.fail(t, now, "the peer answered "+rcode(code), "")
		return
	}
	t.state.Known, t.state.Acked, t.state.AckedAt = true, t.zone.serial, now
	n.drop(t)
}

// asks reports whether a response is to this NOTIFY. Some peers leave the
// question out.
func (t *target) asks(msg []byte) bool {
	if binary.BigEndian.Uint16(msg[4:]) == 0 {
		return true
	}
	name := len(t.zone.apex)
	body := msg[wire.HeaderLen:]
	return len(body) >= name+4 && wire.EqualFold(body[:name], t.zone.apex) && binary.BigEndian.Uint32(body[name:]) == uint32(wire.TypeSOA)<<16|uint32(wire.ClassIN)
}

// rcode names an RCODE, with what to do about the usual ones.
func rcode(code int) string {
	name, ok := dns.RcodeToString[code]
	if !ok {
		name = "RCODE " + strconv.Itoa(code)
	}
	switch wire.Rcode(code) {
	case wire.RcodeRefused, wire.RcodeNotAuth:
		return fmt.Sprintf("%s: make it a secondary of the zone that takes NOTIFY from this server", name)
	case wire.RcodeNotImp:
		return fmt.Sprintf("%s: it knows no NOTIFY; take it out of notify:", name)
	}
	return name
}
