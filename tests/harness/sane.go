package harness

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"
)

// sane checks what holds for every reply, whatever was asked: it is a response
// to this id and opcode, every octet belongs to a record, and names are
// compressed only where RFC 3597 4 allows it.
func sane(raw []byte, id, flags uint16) error {
	if len(raw) < 12 {
		return fmt.Errorf("the reply has %d octets only", len(raw))
	}
	got := binary.BigEndian.Uint16(raw[2:])
	switch {
	case binary.BigEndian.Uint16(raw) != id:
		return fmt.Errorf("the reply has id %d, the request %d", binary.BigEndian.Uint16(raw), id)
	case got&0x8000 == 0:
		return fmt.Errorf("the reply is a request: flags %#x", got)
	case got&0x7800 != flags&0x7800:
		return fmt.Errorf("the reply has opcode %d, the request %d", got>>11&15, flags>>11&15)
	}
	return records(raw)
}

// records walks over all records of a message.
func records(raw []byte) error {
	at := 12
	var err error
	for range binary.BigEndian.Uint16(raw[4:]) {
		if _, at, err = dns.UnpackDomainName(raw, at); err != nil {
			return fmt.Errorf("the reply's question: %w", err)
		}
		at += 4
	}
	n := 0
	for i := 6; i < 12; i += 2 {
		n += int(binary.BigEndian.Uint16(raw[i:]))
	}
	for i := range n {
		rr, next, err := dns.UnpackRR(raw, at)
		if err != nil {
			return fmt.Errorf("record %d of the reply: %w", i+1, err)
		}
		if err := compression(rr); err != nil {
			return err
		}
		at = next
	}
	if at != len(raw) {
		return fmt.Errorf("the reply has %d octets after its last record", len(raw)-at)
	}
	return nil
}

// compression checks that RDATA is as long as it is without compression, for
// all types but those of RFC 1035 (RFC 3597 4).
func compression(rr dns.RR) error {
	switch rr.Header().Rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypeSOA, dns.TypePTR, dns.TypeMX, dns.TypeMD, dns.TypeMF,
		dns.TypeMB, dns.TypeMG, dns.TypeMR, dns.TypeMINFO, dns.TypeOPT:
		return nil
	}
	wire := rr.Header().Rdlength
	// PackRR notes the length of what it packed in the header.
	if _, err := dns.PackRR(rr, make([]byte, 2*dns.MaxMsgSize), 0, nil, false); err != nil {
		return fmt.Errorf("%s: %w", rr, err)
	}
	if plain := rr.Header().Rdlength; plain != wire {
		return fmt.Errorf("%s: RDATA of %d octets where %d are due: it is compressed", rr, wire, plain)
	}
	return nil
}
