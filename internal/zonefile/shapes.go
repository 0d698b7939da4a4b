package zonefile

import (
	"encoding/binary"
	"strings"

	"geodns/internal/wire"

	"github.com/miekg/dns"
)

// The kinds of fields, as shape writes them.
//
//	n  a name (RFC 1035 3.3)
//	1  a number of 8 bits; 2 of 16; 4 of 32
//	p  a time in seconds of 32 bits, units allowed
//	a  a DNSSEC algorithm, number or mnemonic (RFC 4034 A.1)
//	i  an IPv4 address
//	g  64 bits as four groups of hexadecimal digits (RFC 6742 2.1.2)
//	y  a record type (RRSIG)
//	d  a date of RRSIG (RFC 4034 3.2)
//	s  a character-string (RFC 1035 3.3)
//	S  one or more of them, to the end
//	r  one string without length octet, to the end (RFC 7553, RFC 8659)
//	t  a tag of CAA (RFC 8659 4.1)
//	h  hexadecimal digits, to the end
//	b  base 64, to the end
//	x  a salt of NSEC3: hexadecimal digits or - for none (RFC 5155 3.3)
//	k  a hash of NSEC3: base 32 with extended hex alphabet (RFC 5155 3.3)
//	m  a bitmap of types, to the end (RFC 4034 4.1.2)
//
// shape gives the fields of a type whose RDATA is a plain sequence of them, and
// their names for messages, separated by commas. Types that are not in it go
// through miekg/dns (foreign.go).
func shape(t wire.Type) (kinds, names string) {
	switch t {
	case wire.TypeNS:
		return "n", "name server"
	case wire.TypeCNAME, wire.TypeDNAME:
		return "n", "target"
	case wire.TypePTR, wire.TypeMB, wire.TypeMD, wire.TypeMF, wire.TypeMG, wire.TypeMR, dns.TypeNSAPPTR:
		return "n", "name"
	case wire.TypeSOA:
		return "nn4pppp", "primary,mailbox,serial,refresh,retry,expire,minimum"
	case wire.TypeMX:
		return "2n", "preference,mail server"
	case dns.TypeAFSDB:
		return "2n", "subtype,host"
	case dns.TypeKX, dns.TypeRT, dns.TypeLP:
		return "2n", "preference,host"
	case dns.TypeNID:
		return "2g", "preference,node ID"
	case dns.TypeL32:
		return "2i", "preference,locator"
	case dns.TypeL64:
		return "2g", "preference,locator"
	case dns.TypePX:
		return "2nn", "preference,RFC 822 name,X.400 name"
	case dns.TypeRP, wire.TypeMINFO:
		return "nn", "mailbox,second name"
	case dns.TypeTALINK:
		return "nn", "previous name,next name"
	case wire.TypeSRV:
		return "222n", "priority,weight,port,target"
	case wire.TypeTXT, dns.TypeSPF, dns.TypeAVC, dns.TypeNINFO, dns.TypeRESINFO:
		return "S", "string"
	case wire.TypeHINFO:
		return "ss", "CPU,operating system"
	case dns.TypeX25:
		return "s", "address"
	case dns.TypeUINFO:
		return "s", "string"
	case dns.TypeUID, dns.TypeGID:
		return "4", "number"
	case dns.TypeNAPTR:
		return "22sssn", "order,preference,flags,services,regular expression,replacement"
	case dns.TypeURI:
		return "22r", "priority,weight,target"
	case dns.TypeCAA:
		return "1tr", "flags,tag,value"
	case wire.TypeDS, dns.TypeCDS, dns.TypeDLV, dns.TypeTA:
		return "2a1h", "key tag,algorithm,digest type,digest"
	case dns.TypeSSHFP:
		return "11h", "algorithm,fingerprint type,fingerprint"
	case dns.TypeTLSA, dns.TypeSMIMEA:
		return "111h", "usage,selector,matching type,certificate data"
	case dns.TypeOPENPGPKEY:
		return "b", "key"
	case dns.TypeDHCID:
		return "b", "digest"
	case dns.TypeZONEMD:
		return "411h", "serial,scheme,hash algorithm,digest"
	case wire.TypeDNSKEY, dns.TypeCDNSKEY, wire.TypeKEY, dns.TypeRKEY:
		return "21ab", "flags,protocol,algorithm,public key"
	case wire.TypeRRSIG, wire.TypeSIG:
		return "ya14dd2nb", "type covered,algorithm,labels,original TTL,expiration,inception,key tag,signer,signature"
	case wire.TypeNSEC:
		return "nm", "next name,types"
	case wire.TypeNSEC3:
		return "112xkm", "hash algorithm,flags,iterations,salt,next hash,types"
	case wire.TypeNSEC3PARAM:
		return "112x", "hash algorithm,flags,iterations,salt"
	case dns.TypeCSYNC:
		return "42m", "serial,flags,types"
	}
	return "", ""
}

// rdata reads the data of a record, from token first on, into p.data.
func (p *parser) rdata(t wire.Type, first int) bool {
	toks := p.lx.toks
	// RFC 3123 4: an empty APL is one; nothing else comes without data in text.
	if first == len(toks) && t != dns.TypeAPL {
		last := &toks[len(toks)-1]
		return p.fail(last, int(last.end-last.start), "rdata-missing", "the "+TypeString(t)+" record has no data", expected(t))
	}
	if first < len(toks) && p.isGeneric(&toks[first]) {
		return p.generic(t, first)
	}
	switch t {
	case wire.TypeA:
		a, ok := ipv4(p.text(&toks[first]))
		if !ok || toks[first].quoted {
			return p.fail(&toks[first], 0, "address", quote(p.text(&toks[first]))+" is no IPv4 address", "write four numbers up to 255, without leading zeros, such as 192.0.2.1")
		}
		p.data = append(p.data, a[:]...)
		return p.nothingBehind(t, first+1)
	case wire.TypeAAAA:
		a, ok := ipv6(p.text(&toks[first]))
		if !ok || toks[first].quoted {
			return p.fail(&toks[first], 0, "address", quote(p.text(&toks[first]))+" is no IPv6 address", "write it as in RFC 4291 2.2, such as 2001:db8::1")
		}
		p.data = append(p.data, a[:]...)
		return p.nothingBehind(t, first+1)
	case dns.TypeLOC:
		return p.location(first)
	}
	kinds, _ := shape(t)
	if kinds == "" {
		return p.foreign(t, first)
	}
	return p.fields(t, kinds, first)
}

// expected is a remedy that names the fields of a type.
func expected(t wire.Type) string {
	switch t {
	case wire.TypeA:
		return "write an IPv4 address behind it"
	case wire.TypeAAAA:
		return "write an IPv6 address behind it"
	case dns.TypeLOC:
		return locForm
	}
	if _, names := shape(t); names != "" {
		return "write " + strings.ReplaceAll(names, ",", ", ")
	}
	return "write what its RFC asks for"
}

// fields reads a sequence of fields.
func (p *parser) fields(t wire.Type, kinds string, at int) bool {
	toks := p.lx.toks
	for k := 0; k < len(kinds); k++ {
		// RFC 5155 7.1: the bitmap of an empty non-terminal's NSEC3 is empty.
		if at == len(toks) && kinds[k] != 'm' {
			last := &toks[len(toks)-1]
			return p.fail(last, int(last.end-last.start), "rdata-missing", "the "+TypeString(t)+" record ends before its "+fieldName(t, k), expected(t))
		}
		var ok bool
		switch kinds[k] {
		case 'S':
			return p.stringsField(t, k, at)
		case 'h':
			return p.hexField(t, k, at) && p.digestLength(t, at)
		case 'b':
			return p.base64Field(t, k, at)
		case 'm':
			return p.bitmapField(at)
		case 's', 'r', 't':
			ok = p.stringField(t, kinds[k], k, at)
		case 'n':
			ok = p.nameField(t, k, at)
		case 'x':
			ok = p.saltField(t, k, at)
		case 'k':
			ok = p.hashField(t, k, at)
		default:
			ok = p.numberField(t, kinds[k], k, at)
		}
		if !ok {
			return false
		}
		at++
	}
	return p.nothingBehind(t, at)
}

// nothingBehind refuses what follows the last field.
func (p *parser) nothingBehind(t wire.Type, at int) bool {
	if at == len(p.lx.toks) {
		return true
	}
	extra := &p.lx.toks[at]
	return p.fail(extra, 0, "rdata-extra", quote(p.text(extra))+" is too much for a record of type "+TypeString(t), expected(t))
}

// fieldName is what messages call field k of a type.
func fieldName(t wire.Type, k int) string {
	_, names := shape(t)
	return strings.Split(names, ",")[k]
}

// fieldText is "the digest of this DS record", to begin a message.
func fieldText(t wire.Type, k int) string {
	return "the " + fieldName(t, k) + " of this " + TypeString(t) + " record"
}

// fieldValue is `the preference "x" of this MX record`, to begin a message.
func fieldValue(t wire.Type, k int, text []byte) string {
	return "the " + fieldName(t, k) + " " + quote(text) + " of this " + TypeString(t) + " record"
}

// unquoted refuses a quoted token for anything but strings.
func (p *parser) unquoted(t wire.Type, k, at int) bool {
	if tok := &p.lx.toks[at]; tok.quoted {
		return p.fail(tok, 0, "syntax", fieldValue(t, k, p.text(tok))+" is quoted", "remove the quotes")
	}
	return true
}

// nameField reads a name; its case is kept (RFC 4343 4.1, RFC 6840 5.1).
func (p *parser) nameField(t wire.Type, k, at int) bool {
	tok := &p.lx.toks[at]
	if tok.quoted {
		return p.unquoted(t, k, at)
	}
	data, f, where := appendName(p.data, p.text(tok), p.origin, &letters.kept)
	p.data = data
	if f != 0 {
		return p.nameFault(tok, f, where, fieldValue(t, k, p.text(tok)))
	}
	return true
}

// numberField reads the kinds 1, 2, 4, p, a, i, g, y and d.
func (p *parser) numberField(t wire.Type, kind byte, k, at int) bool {
	if !p.unquoted(t, k, at) {
		return false
	}
	text := p.text(&p.lx.toks[at])
	var v uint64
	var ok bool
	octets, want := 4, "a number from 0 to 4294967295"
	switch kind {
	case '1':
		octets, want = 1, "a number from 0 to 255"
		v, ok = number(text, 255)
	case '2':
		octets, want = 2, "a number from 0 to 65535"
		v, ok = number(text, 65535)
	case '4':
		v, ok = number(text, 1<<32-1)
	case 'p':
		var tooLarge bool
		want = "a number of seconds up to 4294967295, or a time such as 1h30m"
		v, ok, tooLarge = period(text)
		ok = ok && !tooLarge
	case 'a':
		octets, want = 1, "a number from 0 to 255, or a mnemonic such as ECDSAP256SHA256"
		v, ok = algorithm(text)
	case 'i':
		var a [4]byte
		want = "an IPv4 address"
		a, ok = ipv4(text)
		v = uint64(binary.BigEndian.Uint32(a[:]))
	case 'g':
		octets, want = 8, "four groups of hexadecimal digits with colons between, such as 0014:4fff:ff20:ee64"
		v, ok = groups(text)
	case 'y':
		var typ wire.Type
		octets, want = 2, "a record type"
		typ, ok = typeOf(text)
		v = uint64(typ)
	case 'd':
		var when uint32
		want = "a time as YYYYMMDDHHmmSS, or seconds since 1970"
		when, ok = signatureTime(text)
		v = uint64(when)
	}
	if !ok {
		return p.fail(&p.lx.toks[at], 0, "number", fieldValue(t, k, text)+" is not "+want, "correct it")
	}
	for i := octets - 1; i >= 0; i-- {
		p.data = append(p.data, byte(v>>(8*i)))
	}
	return true
}

// algorithm reads a DNSSEC algorithm.
func algorithm(text []byte) (uint64, bool) {
	if isDigit(text[0]) {
		return number(text, 255)
	}
	v, ok := dns.StringToAlgorithm[strings.ToUpper(string(text))]
	return uint64(v), ok
}

// digestLength checks a digest against its type, as BIND does: a truncated one
// makes the zone below bogus.
func (p *parser) digestLength(t wire.Type, at int) bool {
	if t != wire.TypeDS && t != dns.TypeCDS && t != dns.TypeDLV && t != dns.TypeTA {
		return true
	}
	want := 0
	switch p.data[3] {
	case dns.SHA1: // RFC 3658 2.4
		want = 20
	case dns.SHA256, dns.GOST94: // RFC 4509 2.1, RFC 5933 3
		want = 32
	case dns.SHA384: // RFC 6605 2
		want = 48
	}
	if got := len(p.data) - 4; want != 0 && got != want {
		return p.fail(&p.lx.toks[at], 0, "digest-length", "the digest of this "+TypeString(t)+" record has "+itoa(got)+" octets, but one of type "+itoa(int(p.data[3]))+" has "+itoa(want), "copy it whole")
	}
	return true
}
