package zonefile

import (
	"bytes"
	"strings"
	"testing"

	"geodns/internal/wire"

	"github.com/miekg/dns"
)

// roadTypes are the types that have a road of their own.
func roadTypes() []wire.Type {
	types := []wire.Type{wire.TypeA, wire.TypeAAAA}
	for t := range 65536 {
		if kinds, _ := shape(wire.Type(t)); kinds != "" {
			types = append(types, wire.Type(t))
		}
	}
	return types
}

// mayRefuse says where our road is stricter than miekg/dns on purpose: the rule
// that refuses, for the type, in words of why.
func mayRefuse(t wire.Type, rule string) bool {
	switch rule {
	case "string-length": // the library splits a string over 255 in silence
	case "escape": // it reads \12 as 1 and 2, and \999 modulo 256
	case "name-length": // it takes names of 256 octets and more
	case "syntax": // where it awaits a blank, a quote passes for one
	case "caa-tag": // it takes any tag
	case "digest-length": // it takes any digest
	case "hex", "base64", "base32": // it takes no digits at all for a TLSA or a key
	case "rdata-missing": // it takes a record cut short before hex or base 64
	case "generic": // it does not insist on the length of known types
	case "rdata-extra": // HINFO: a third string is joined to the second
		return t == wire.TypeHINFO || t == dns.TypeUINFO || t == dns.TypeURI || t == dns.TypeCAA
	case "number": // SOA: a unit without a number, numbers that overflow; dates out of the calendar
		if t == dns.TypeL32 {
			return true // it makes 0.0.0.0 of an IPv6 address
		}
		if t == dns.TypeNID || t == dns.TypeL64 {
			return true // it looks at one of the three colons only, and not behind the last digit
		}
		return t == wire.TypeSOA || t == wire.TypeRRSIG || t == wire.TypeSIG
	case "type": // a word of five letters and more ending in digits passes for TYPEnnn
		return t == wire.TypeNSEC || t == wire.TypeNSEC3 || t == dns.TypeCSYNC
	default:
		return false
	}
	return true
}

// mayAccept says where our road accepts on purpose what miekg/dns refuses.
func mayAccept(t wire.Type, data []byte) bool {
	switch t {
	case dns.TypeCAA, dns.TypeURI:
		return len(data) > 255 // it splits the value, and then has two; RFC 8659 4.1 sets no bound
	case wire.TypeNSEC, wire.TypeNSEC3, dns.TypeCSYNC:
		return true // it wants the types in order and once each, and an NSEC3's hash of 20 octets
	case dns.TypeNAPTR, dns.TypeX25, dns.TypeUINFO:
		return true // it wants quotes, or wants none; RFC 1035 5.1 leaves that to the author
	case wire.TypeDNSKEY, dns.TypeCDNSKEY, wire.TypeKEY, dns.TypeRKEY, wire.TypeRRSIG, wire.TypeSIG:
		return true // it knows no mnemonics of algorithms there, or in capitals only
	case dns.TypeNID, dns.TypeL64:
		return true // it wants leading zeros, which BIND does not write
	case wire.TypeHINFO:
		return true // RFC 1035 3.3.2: strings may be empty
	}
	return false
}

// FuzzRoads holds that our road and the library's give the same data for the
// same entry, and refuse the same ones, but for what mayRefuse and mayAccept
// list.
func FuzzRoads(f *testing.F) {
	types := roadTypes()
	index := map[wire.Type]uint16{}
	for i, t := range types {
		index[t] = uint16(i)
	}
	for _, s := range roadSeeds() {
		f.Add(index[s.t], s.data)
	}
	f.Fuzz(func(t *testing.T, which uint16, data string) {
		typ := types[int(which)%len(types)]
		compareRoads(t, typ, data)
	})
}

func compareRoads(t *testing.T, typ wire.Type, data string) {
	t.Helper()
	var own []byte
	var found []Finding
	p := &parser{
		rec:    func(rr *wire.RR, _ Pos) error { own = append([]byte{}, rr.Data...); return nil },
		report: func(f Finding) { found = append(found, f) },
	}
	p.source = source{lx: newLexer(nil, []byte(". 0 IN "+TypeString(typ)+" "+data)), origin: mustName("Example."), originLower: mustName("example.")}
	if !p.lx.next() || p.lx.bad.rule != "" || p.lx.pos != p.lx.end || len(p.lx.toks) < 5 || p.isGeneric(&p.lx.toks[4]) {
		return
	}
	if kinds, _ := shape(typ); kinds != "S" && hasGlued(p.lx.toks) {
		return // where the library awaits a blank it drops whatever stands there
	}
	line, _, stoodIn := p.libraryLine(typ, 4)
	line = bytes.Clone(line)
	p.entry()
	library, err := p.throughLibrary(line)
	if err == nil && stoodIn != 0 {
		library = realKeys(library, stoodIn)
	}
	switch {
	case own == nil && len(found) != 1:
		t.Fatalf("%s: no record and %d findings", line, len(found))
	case own == nil && err == nil && !mayRefuse(typ, found[0].Rule):
		t.Fatalf("%s: we refuse (%v: %v), the library gives %x", line, found[0].Rule, found[0], library)
	case own != nil && err != nil && !mayAccept(typ, own):
		t.Fatalf("%s: we give %x, the library refuses: %v", line, own, err)
	case own != nil && err == nil && !bytes.Equal(own, library) && !sameButFor(typ, own, library):
		t.Fatalf("%s: we give %x, the library %x", line, own, library)
	}
}

func hasGlued(toks []token) bool {
	for _, t := range toks {
		if t.glued {
			return true
		}
	}
	return false
}

// sameButFor is where both give data, and the library's is wrong.
func sameButFor(t wire.Type, own, library []byte) bool {
	switch t {
	case wire.TypeNSEC3: // it writes the length of any hash as 20
		return len(own) == len(library)
	case wire.TypeHINFO: // it splits one string at its blanks
		return true
	}
	return false
}

type roadSeed struct {
	t    wire.Type
	data string
}

func roadSeeds() []roadSeed {
	const soa = "ns Host.Master 1 1h 600 604800 60"
	return []roadSeed{
		{wire.TypeA, "192.0.2.1"},
		{wire.TypeA, "192.0.2.01"},
		{wire.TypeA, "192.0.2"},
		{wire.TypeA, "192.0.2.1 x"},
		{wire.TypeA, "\"192.0.2.1\""},
		{wire.TypeAAAA, "2001:DB8::1"},
		{wire.TypeAAAA, "::"},
		{wire.TypeAAAA, "::ffff:192.0.2.1"},
		{wire.TypeAAAA, "1:2:3:4:5:6:7::"},
		{wire.TypeAAAA, "1:2:3:4:5:6:7:8::"},
		{wire.TypeAAAA, "1:2:3:4:5:6:192.0.2.1"},
		{wire.TypeAAAA, ":::"},
		{wire.TypeAAAA, "fe80::1%eth0"},
		{wire.TypeNS, "ns1"},
		{wire.TypeNS, "Ns1.Example.COM."},
		{wire.TypeNS, "a..b"},
		{wire.TypeNS, "@"},
		{wire.TypeNS, "\\@"},
		{wire.TypeNS, "a\\.b\\046c\\\\.d"},
		{wire.TypeNS, "."},
		{wire.TypeNS, strings.Repeat("a", 64)},
		{wire.TypeNS, strings.Repeat("abcdefg.", 31) + "ab."},
		{wire.TypeNS, strings.Repeat("abcdefg.", 31) + "abcdefg."},
		{wire.TypeCNAME, "*.x"},
		{wire.TypePTR, "host.example."},
		{wire.TypeDNAME, "b.example."},
		{wire.TypeSOA, soa},
		{wire.TypeSOA, "( " + soa + " ) ; done"},
		{wire.TypeMX, "10 mail"},
		{wire.TypeMX, "65536 mail"},
		{wire.TypeSRV, "1 2 3 ."},
		{wire.TypeTXT, `"v=spf1 -all" plain "" "a\"b\\c\010;"`},
		{wire.TypeTXT, `"a""b"c"d"`},
		{wire.TypeTXT, strings.Repeat("x", 255)},
		{wire.TypeTXT, strings.Repeat("x", 256)},
		{dns.TypeCAA, `0 issue "ca.example; account=1"`},
		{dns.TypeCAA, `128 tbs unknown`},
		{wire.TypeDS, "60485 5 1 2BB183AF5F22588179A53B0A 98631FAD1A292118"},
		{wire.TypeDS, "60485 ECDSAP256SHA256 2 00"},
		{wire.TypeHINFO, `"PC" "Linux 6"`},
		{dns.TypeNAPTR, `100 10 "S" "SIP+D2U" "!^.*$!sip:x@example!" _sip._udp`},
		{dns.TypeURI, `10 1 "https://example/a b"`},
		{dns.TypeSSHFP, "4 2 123456789abcdef67890123456789abcdef67890"},
		{dns.TypeTLSA, "3 1 1 d2abde240d7cd3ee6b4b28c54df034b9 7983a1d16e8a410e4561cb106618e971"},
		{wire.TypeDNSKEY, "257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexT BAvkMgJzkKTOiW1vkIbzxeF3"},
		{wire.TypeRRSIG, "SOA 8 0 86400 20260904170000 20260822160000 20326 . AwEAAQ=="},
		{wire.TypeNSEC, "aaa. NS SOA RRSIG NSEC DNSKEY ZONEMD TYPE1234"},
		{wire.TypeNSEC3, "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG"},
		{wire.TypeNSEC3, "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr"},
		{wire.TypeNSEC3PARAM, "1 0 0 -"},
		{dns.TypeZONEMD, "2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE"},
		{dns.TypeCSYNC, "66 3 A NS AAAA"},
		{dns.TypeRP, "louie.trantor.umd.edu. LAM1.people"},
		{dns.TypePX, "10 net2.it. PRMD-net2.ADMD-p400.C-it."},
		{dns.TypeUID, "4294967295"},
		{dns.TypeNID, "10 0014:4fff:ff20:ee64"},
		{dns.TypeL32, "10 10.1.2.0"},
		{dns.TypeL64, "10 2001:0DB8:1140:1000"},
		{dns.TypeOPENPGPKEY, "AQID"},
	}
}
