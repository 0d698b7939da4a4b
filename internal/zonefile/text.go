package zonefile

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"geodns/internal/wire"

	"github.com/miekg/dns"
)

// AppendRR appends a record as one line of a master file, without the newline:
// owner, TTL in seconds, IN, type and data, all names absolute. Parse gives the
// same record back. Data that has no text form for its type, or none that would
// be read back the same, is written as RFC 3597 5 says.
func AppendRR(dst []byte, rr *wire.RR) []byte {
	dst = wire.AppendNameText(dst, rr.Owner)
	dst = append(dst, '\t')
	dst = strconv.AppendUint(dst, uint64(rr.TTL), 10)
	dst = append(append(dst, "\tIN\t"...), TypeString(rr.Type)...)
	dst = append(dst, '\t')
	return appendData(dst, rr)
}

// appendData appends a record's data as text.
func appendData(dst []byte, rr *wire.RR) []byte {
	switch {
	case rr.Type == wire.TypeA && len(rr.Data) == 4:
		return netip.AddrFrom4([4]byte(rr.Data)).AppendTo(dst)
	case rr.Type == wire.TypeAAAA && len(rr.Data) == 16:
		return netip.AddrFrom16([16]byte(rr.Data)).AppendTo(dst)
	}
	if text, ok := ownForm(rr); ok {
		return append(dst, text...)
	}
	dst = append(dst, `\# `...)
	dst = strconv.AppendInt(dst, int64(len(rr.Data)), 10)
	if len(rr.Data) > 0 {
		dst = append(dst, ' ')
	}
	return hex.AppendEncode(dst, rr.Data)
}

// ownForm gives the data in the form of its type, through miekg/dns, if Parse
// reads that as the same data.
func ownForm(rr *wire.RR) (text string, ok bool) {
	if _, known := dns.TypeToRR[rr.Type]; !known || len(rr.Data) == 0 {
		return "", false
	}
	defer func() { ok = ok && recover() == nil }()
	h := dns.RR_Header{Name: ".", Rrtype: rr.Type, Class: wire.ClassIN, Rdlength: uint16(len(rr.Data))}
	r, off, err := dns.UnpackRRWithHeader(h, rr.Data, 0)
	if err != nil || off != len(rr.Data) {
		return "", false
	}
	text = strings.TrimPrefix(r.String(), r.Header().String())
	return text, readsAs(rr, text)
}

// readsAs reports whether Parse reads text as the data of rr.
func readsAs(rr *wire.RR, text string) bool {
	line := ". 0 IN " + TypeString(rr.Type) + " " + text
	same := false
	p := &parser{
		rec:    func(got *wire.RR, _ Pos) error { same = string(got.Data) == string(rr.Data); return nil },
		report: func(Finding) {},
	}
	p.source = source{lx: newLexer(nil, []byte(line))}
	if !p.lx.next() || p.lx.bad.rule != "" || p.lx.pos != p.lx.end {
		return false
	}
	p.entry()
	return same && p.stats.Errors == 0
}
