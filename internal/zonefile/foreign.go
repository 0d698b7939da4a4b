package zonefile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"geodns/internal/wire"

	"github.com/miekg/dns"
)

// rdataAt is where RDATA begins in a record of the root that stands alone: one
// octet of name, ten of type, class, TTL and length (RFC 1035 4.1.3).
const rdataAt = 11

// isGeneric reports whether a token is the mark of RFC 3597 5.
func (p *parser) isGeneric(t *token) bool {
	return !t.quoted && string(p.text(t)) == `\#`
}

// generic reads RDATA in the form of RFC 3597 5: \# length hexadecimal. For a
// known type it has to be valid RDATA of that type.
func (p *parser) generic(t wire.Type, first int) bool {
	toks := p.lx.toks
	const remedy = `write \#, the length in octets and that many pairs of hexadecimal digits (RFC 3597 5)`
	if first+1 == len(toks) {
		return p.fail(&toks[first], 0, "generic", `there is no length behind \#`, remedy)
	}
	length, ok := number(p.text(&toks[first+1]), maxData)
	if !ok || toks[first+1].quoted {
		return p.fail(&toks[first+1], 0, "generic", quote(p.text(&toks[first+1]))+" is no length from 0 to 65535", remedy)
	}
	p.scratch = p.scratch[:0]
	for j := first + 2; j < len(toks); j++ {
		tok := &toks[j]
		p.scratch = append(p.scratch, p.text(tok)...)
		for i, c := range p.text(tok) {
			if hexDigit(c) < 0 || tok.quoted {
				return p.fail(tok, i, "generic", quote(p.text(tok))+" is not hexadecimal", remedy)
			}
		}
	}
	if len(p.scratch) != int(length)*2 {
		return p.fail(&toks[first+1], 0, "generic", "the data is announced with "+itoa(int(length))+" octets, but has "+itoa(len(p.scratch))+" hexadecimal digits", remedy)
	}
	data, err := hex.AppendDecode(p.data, p.scratch)
	p.data = data
	if err != nil || !validData(t, p.data) {
		return p.fail(&toks[first], 0, "generic", "the data is not valid for the type "+TypeString(t), "correct it, or write it in the type's own form")
	}
	return true
}

// validData reports whether data is what RDATA of type t looks like, names
// uncompressed (RFC 3597 4) and in the one form that is allowed. Of unknown
// types anything is valid.
func validData(t wire.Type, data []byte) bool {
	if _, known := dns.TypeToRR[t]; !known {
		return true
	}
	switch t {
	case dns.TypeNULL, dns.TypeEID, dns.TypeNIMLOC:
		return true
	case dns.TypeAPL:
		if len(data) == 0 {
			return true // RFC 3123 4
		}
	case dns.TypeSVCB, dns.TypeHTTPS:
		if message, _ := checkService(data); message != "" {
			return false
		}
	}
	return len(data) > 0 && roundTrip(t, data)
}

// roundTrip reports whether data comes back as it is from miekg/dns. A pointer
// of name compression, trailing octets and wrong lengths do not.
func roundTrip(t wire.Type, data []byte) (same bool) {
	// Data may come from anywhere, and the library is not ours: what makes it
	// panic is not valid.
	defer func() { same = same && recover() == nil }()
	h := dns.RR_Header{Name: ".", Rrtype: t, Class: wire.ClassIN, Rdlength: uint16(len(data))}
	rr, off, err := dns.UnpackRRWithHeader(h, data, 0)
	if err != nil || off != len(data) {
		return false
	}
	buf := make([]byte, rdataAt+len(data)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	return err == nil && bytes.Equal(buf[rdataAt:n], data)
}

// foreign hands the data of a record to miekg/dns, as an entry of one line.
func (p *parser) foreign(t wire.Type, first int) bool {
	toks := p.lx.toks
	if _, known := dns.TypeToRR[t]; !known || t == dns.TypeNULL {
		return p.fail(&toks[first], 0, "type-generic", "there is no text form for data of type "+TypeString(t), `write it as \#, its length and hexadecimal digits (RFC 3597 5)`)
	}
	if !p.foreignTokens(t, first) {
		return false
	}
	line, starts, stoodIn := p.libraryLine(t, first)
	if t == dns.TypeAPL && first == len(toks) {
		return true
	}
	data, err := p.throughLibrary(line)
	if err != nil {
		at, detail := locate(err, starts)
		return p.foreignFault(t, first+at, detail)
	}
	if stoodIn != 0 {
		data = realKeys(data, stoodIn)
	}
	p.data = append(p.data, data...)
	if t == dns.TypeSVCB || t == dns.TypeHTTPS {
		if message, remedy := checkService(p.data); message != "" {
			return p.fail(&toks[first], 0, "service", message, remedy)
		}
	}
	if !roundTrip(t, p.data) {
		return p.fail(&toks[first], 0, "rdata", "the data of this "+TypeString(t)+" record does not fit together", "correct its lengths and fields")
	}
	if (t == dns.TypeSVCB || t == dns.TypeHTTPS) && aliasWithKeys(p.data) {
		p.warn(&toks[first], "service", "a record of priority 0 is an alias, whose keys are ignored", "remove the keys, or write a priority from 1 to 65535 (RFC 9460 2.4.2)")
	}
	return true
}

// libraryLine writes the data of a record, from token first on, as a line that
// the library reads, says where in it each token begins, and by bits which
// keys of SVCB others stand in for.
func (p *parser) libraryLine(t wire.Type, first int) (line []byte, starts []int, stoodIn uint16) {
	toks := p.lx.toks[first:]
	line = append(append(p.scratch[:0], ". 0 IN "...), TypeString(t)...)
	starts = make([]int, 0, len(toks))
	for i := range toks {
		tok := &toks[i]
		if i == 0 || !tok.glued {
			line = append(line, ' ')
		}
		starts = append(starts, len(line))
		if tok.quoted {
			line = append(line, '"')
		}
		text := p.text(tok)
		if (t == dns.TypeSVCB || t == dns.TypeHTTPS) && i > 1 && !tok.quoted && !tok.glued {
			if key, length, ok := standInKey(text); ok {
				line = strconv.AppendInt(append(line, "key"...), int64(key), 10)
				text = text[length:]
				stoodIn |= 1 << (key - standIn)
			}
		}
		line = append(line, text...)
		if tok.quoted {
			line = append(line, '"')
		}
	}
	p.scratch = append(line, '\n')
	return p.scratch, starts, stoodIn
}

// foreignTokens refuses what the library would read as something else than it
// says.
func (p *parser) foreignTokens(t wire.Type, first int) bool {
	toks := p.lx.toks
	most := len(toks)
	if t == dns.TypeISDN { // it joins a third string to the second
		most = first + 2
	}
	for i := range toks[first:] {
		tok := &toks[first+i]
		data, at := appendString(p.scratch[:0], p.text(tok), tok.escaped)
		p.scratch = data
		if at >= 0 {
			message, remedy := faultEscape.text()
			return p.fail(tok, at, "escape", quote(p.text(tok))+" "+message, remedy)
		}
		if first+i >= most {
			return p.fail(tok, 0, "rdata-extra", quote(p.text(tok))+" is too much for a record of type "+TypeString(t), "remove it")
		}
		if (t == dns.TypeISDN || t == dns.TypeGPOS) && len(data) > 255 {
			return p.fail(tok, 0, "string-length", "a string of this "+TypeString(t)+" record has "+itoa(len(data))+" octets, but a string has at most 255", "shorten it (RFC 1035 3.3)")
		}
	}
	if at := first + gatewayType(t); at > first && at < len(toks) {
		// It leaves out the gateway of a type that it does not know (RFC 4025
		// 2.3, RFC 8777 4.2.3).
		if _, ok := number(p.text(&toks[at]), 3); !ok || toks[at].quoted {
			return p.fail(&toks[at], 0, "number", "the gateway type "+quote(p.text(&toks[at]))+" of this "+TypeString(t)+" record is not a number from 0 to 3", "write 0 for none, 1 for IPv4, 2 for IPv6 or 3 for a name")
		}
	}
	if (t == dns.TypeSVCB || t == dns.TypeHTTPS) && first+1 < len(toks) {
		target := &toks[first+1]
		data, f, at := appendName(p.scratch[:0], p.text(target), p.origin, &letters.kept)
		p.scratch = data
		if f != 0 {
			return p.nameFault(target, f, at, "the target "+quote(p.text(target))+" of this "+TypeString(t)+" record")
		}
	}
	return true
}

// gatewayType is which field of a type says what kind of gateway follows, 0 for
// types without one.
func gatewayType(t wire.Type) int {
	switch t {
	case dns.TypeIPSECKEY:
		return 1
	case dns.TypeAMTRELAY:
		return 2
	}
	return 0
}

// throughLibrary parses one line with miekg/dns and packs it. The result is
// valid until the next call.
func (p *parser) throughLibrary(line []byte) (data []byte, err error) {
	// Its parser is not ours: what makes it panic cannot be read.
	defer func() {
		if recover() != nil {
			data, err = nil, errors.New("it cannot be read")
		}
	}()
	if !bytes.Equal(p.foreignFor, p.origin) {
		p.foreignFor = append(p.foreignFor[:0], p.origin...)
		p.foreignOrigin = ""
		if len(p.origin) > 0 {
			p.foreignOrigin = wire.NameString(p.origin)
		}
	}
	zp := dns.NewZoneParser(bytes.NewReader(line), p.foreignOrigin, "")
	rr, ok := zp.Next()
	if err := zp.Err(); err != nil {
		return nil, err
	}
	if !ok || rr == nil {
		return nil, errors.New("it cannot be read")
	}
	if _, more := zp.Next(); more || zp.Err() != nil {
		return nil, errors.New("it is followed by something")
	}
	if p.foreignBuf == nil {
		p.foreignBuf = make([]byte, rdataAt+maxData+1)
	}
	n, err := dns.PackRR(rr, p.foreignBuf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return p.foreignBuf[rdataAt:n], nil
}

// locate takes an error of the library apart: which token it is about, counted
// from the first of the data, and what it says.
func locate(err error, starts []int) (at int, detail string) {
	detail = err.Error()
	var pe *dns.ParseError
	if !errors.As(err, &pe) {
		return 0, strings.TrimPrefix(detail, "dns: ")
	}
	// It writes: dns: detail: "token" at line: 1:column, the column behind the
	// token.
	if i := strings.LastIndex(detail, " at line: "); i >= 0 {
		_, column, _ := strings.Cut(detail[i+len(" at line: "):], ":")
		if n, err := strconv.Atoi(column); err == nil {
			for at+1 < len(starts) && starts[at+1] < n {
				at++
			}
		}
		detail = detail[:i]
		if q := strings.LastIndex(detail, `: "`); q >= 0 {
			detail = detail[:q]
		}
	}
	if i := strings.Index(detail, "dns: "); i >= 0 {
		detail = detail[i+len("dns: "):]
	}
	return at, detail
}

// foreignFault reports what the library did not like, in plain words.
func (p *parser) foreignFault(t wire.Type, at int, detail string) bool {
	tok := &p.lx.toks[min(at, len(p.lx.toks)-1)]
	name := TypeString(t)
	if strings.HasPrefix(detail, "garbage") {
		return p.fail(tok, 0, "rdata-extra", quote(p.text(tok))+" is too much for a record of type "+name, "remove it")
	}
	message := "the data of this " + name + " record cannot be read at " + quote(p.text(tok))
	field, bad := strings.CutPrefix(detail, "bad ")
	// The library knows HTTPS by the name of SVCB.
	field = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(field, name+" "), "SVCB "))
	switch {
	case bad:
		message += ", where its " + field + " should stand"
	case field != "":
		message += ": " + field
	}
	return p.fail(tok, 0, "rdata", message, "correct it")
}
