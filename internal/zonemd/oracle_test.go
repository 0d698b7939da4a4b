package zonemd

import (
	"bytes"
	"crypto/sha512"
	"hash"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"geodns/internal/wire"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// slowDigest computes a digest as RFC 8976 3.3 reads, over a list of records, by
// the message packing and the records of miekg/dns.
func slowDigest(t interface{ Fatal(...any) }, list []wire.RR, apex []byte, algorithm uint8) []byte {
	type row struct {
		owner []string // from the right
		typ   wire.Type
		data  string
		whole []byte
	}
	var rows []row
	for i := range list {
		r := &list[i]
		if !wire.HasSuffix(r.Owner, apex) {
			continue
		}
		if bytes.Equal(r.Owner, apex) && (r.Type == Type || r.Type == wire.TypeRRSIG && wire.Covered(r.Data) == Type) {
			continue
		}
		msg := append(bytes.Clone(r.Owner), byte(r.Type>>8), byte(r.Type), 0, 1, byte(r.TTL>>24), byte(r.TTL>>16), byte(r.TTL>>8), byte(r.TTL), byte(len(r.Data)>>8), byte(len(r.Data)))
		rr, _, err := dns.UnpackRR(append(msg, r.Data...), 0)
		if err != nil {
			t.Fatal(err)
		}
		lowerNames(rr)
		whole := make([]byte, 1<<16)
		n, err := dns.PackRR(rr, whole, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{labelsFromRight(r.Owner), r.Type, string(whole[len(r.Owner)+10 : n]), whole[:n]})
	}
	slices.SortFunc(rows, func(a, b row) int {
		if c := slices.Compare(a.owner, b.owner); c != 0 {
			return c
		}
		if a.typ != b.typ {
			return int(a.typ) - int(b.typ)
		}
		return strings.Compare(a.data, b.data)
	})
	rows = slices.CompactFunc(rows, func(a, b row) bool {
		return slices.Equal(a.owner, b.owner) && a.typ == b.typ && a.data == b.data
	})
	h := map[uint8]func() hash.Hash{SHA384: sha512.New384, SHA512: sha512.New}[algorithm]()
	for _, r := range rows {
		h.Write(r.whole)
	}
	return h.Sum(nil)
}

func labelsFromRight(name []byte) (labels []string) {
	for ; len(name) > 1; name = wire.Parent(name) {
		labels = append([]string{string(name[1 : 1+name[0]])}, labels...)
	}
	return labels
}

// lowerNames brings the names in RDATA into the form of RFC 4034 6.2, 3.
func lowerNames(rr dns.RR) {
	low := func(names ...*string) {
		for _, n := range names {
			*n = dns.CanonicalName(*n)
		}
	}
	switch x := rr.(type) {
	case *dns.NS:
		low(&x.Ns)
	case *dns.MD:
		low(&x.Md)
	case *dns.MF:
		low(&x.Mf)
	case *dns.CNAME:
		low(&x.Target)
	case *dns.SOA:
		low(&x.Ns, &x.Mbox)
	case *dns.MB:
		low(&x.Mb)
	case *dns.MG:
		low(&x.Mg)
	case *dns.MR:
		low(&x.Mr)
	case *dns.PTR:
		low(&x.Ptr)
	case *dns.MINFO:
		low(&x.Rmail, &x.Email)
	case *dns.MX:
		low(&x.Mx)
	case *dns.RP:
		low(&x.Mbox, &x.Txt)
	case *dns.AFSDB:
		low(&x.Hostname)
	case *dns.RT:
		low(&x.Host)
	case *dns.SIG:
		low(&x.SignerName)
	case *dns.RRSIG:
		low(&x.SignerName)
	case *dns.PX:
		low(&x.Map822, &x.Mapx400)
	case *dns.NAPTR:
		low(&x.Replacement)
	case *dns.KX:
		low(&x.Exchanger)
	case *dns.SRV:
		low(&x.Target)
	case *dns.DNAME:
		low(&x.Target)
	}
}

const basics = "@ SOA Ns1 Admin.Example. 7 1 1 1 1\n@ NS Ns1\n@ ZONEMD 7 1 1 000000000000000000000000\n"

// someRecords draws records of all types whose names are lower-cased, and of some
// whose names are not, at few owners.
func someRecords(t *rapid.T) string {
	owner := rapid.SampledFrom([]string{"@", "a", "A", "b", "*", "a.b", "Z.a", `\000`, `\001`, `\000.\001`, `\001.a`, "ab", "a-b", `a\000`, "zz.a.b"})
	target := rapid.SampledFrom([]string{".", "Example.", "a", "A", "B.Net.", "b.net.", `x\.Y.z.`})
	small := rapid.IntRange(0, 3)
	covered := rapid.SampledFrom([]string{"A", "SOA", "NS", "ZONEMD", "TXT"})
	text := rapid.SampledFrom([]string{"a", "A", `\000`, `""`})
	var b strings.Builder
	for range rapid.IntRange(0, 12).Draw(t, "records") {
		n := strconv.Itoa(small.Draw(t, "number"))
		x, y := target.Draw(t, "target"), target.Draw(t, "second")
		s := text.Draw(t, "text")
		signature := covered.Draw(t, "covered") + " 8 2 3600 20270101000000 20260101000000 " + n + " " + x + " AAAA"
		b.WriteString(owner.Draw(t, "owner") + " 300 " + rapid.SampledFrom([]string{
			"A 192.0.2." + n, "AAAA 2001:db8::" + n, "NS " + x, "MD " + x, "MF " + x, "MB " + x, "MG " + x, "MR " + x, "PTR " + x,
			"MINFO " + x + " " + y, "MX " + n + " " + x, "RP " + x + " " + y, "AFSDB " + n + " " + x, "RT " + n + " " + x,
			"PX " + n + " " + x + " " + y, "NAPTR " + n + " 1 " + s + " " + s + " " + s + " " + x, "KX " + n + " " + x, "SRV " + n + " 1 1 " + x,
			"RRSIG " + signature, "SIG " + signature, "NSEC " + x + " A RRSIG", "TXT " + s + " Text", "HINFO A b", "SVCB " + n + " " + x,
			"CERT 1 1 1 AA0" + n, "TYPE65400 \\# 2 0" + n + "41", "ZONEMD 7 1 1 0" + n + "0000000000000000000000",
		}).Draw(t, "type") + "\n")
	}
	return b.String()
}

// The digest is that of the oracle, for any records, in any order.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		list := records(t, "$TTL 300\n"+basics+someRecords(r), "example.")
		z := compile(t, list)
		got := digests(z, SHA384, SHA512)
		for i, algorithm := range []uint8{SHA384, SHA512} {
			if want := slowDigest(t, list, z.Apex(), algorithm); !bytes.Equal(got[i], want) {
				r.Fatalf("hash %d: %x, want %x", algorithm, got[i], want)
			}
		}
		seed := rapid.Uint64().Draw(r, "seed")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if again := digests(compile(t, list), SHA384); !bytes.Equal(again[0], got[0]) {
			r.Fatalf("in another order: %x, want %x", again[0], got[0])
		}
	})
}

// Every record counts, and every one that is changed; the case of its names does
// not where DNS doesn't look at it; nor does what the RFC leaves out.
func TestEveryRecordCounts(t *testing.T) {
	for _, v := range vectors {
		list := records(t, file(t, v.file), v.origin)
		// A record that stands twice is one.
		slices.SortFunc(list, func(a, b wire.RR) int { return strings.Compare(key(&a), key(&b)) })
		list = slices.CompactFunc(list, func(a, b wire.RR) bool { return key(&a) == key(&b) })
		z := compile(t, list)
		want := digests(z, SHA384)[0]
		for i := range list {
			r := &list[i]
			apex := bytes.Equal(r.Owner, z.Apex())
			counts := wire.HasSuffix(r.Owner, z.Apex()) && !(apex && (r.Type == Type || r.Type == wire.TypeRRSIG && wire.Covered(r.Data) == Type))
			old := r.Data
			check := func(what string, changes bool) {
				t.Helper()
				if got := digests(compile(t, list), SHA384)[0]; bytes.Equal(got, want) == changes {
					t.Errorf("%s, %s type %d: that %s changes the digest is %t", v.file, wire.NameString(r.Owner), r.Type, what, !changes)
				}
				r.Data = old
			}
			r.Data = bytes.Clone(old)
			r.Data[changeable(r)] ^= 1
			check("an octet changes", counts)
			r.Data = upperNames(old, r.Type)
			check("case changes", false)
			if r.Type != wire.TypeSOA {
				owner := r.Owner
				r.Owner = []byte("\x04gone\x00") // out of the zone
				check("it goes", counts)
				r.Owner = owner
			}
		}
	}
}

func key(r *wire.RR) string {
	return string(r.Owner) + string([]byte{byte(r.Type >> 8), byte(r.Type)}) + string(r.Data)
}

// changeable is an octet of RDATA that can change without making a name invalid.
func changeable(r *wire.RR) int {
	switch r.Type {
	case wire.TypeNS, wire.TypePTR, wire.TypeNSEC:
		return 1
	case wire.TypeMX, typeNAPTR:
		return 0
	}
	return len(r.Data) - 1
}

// upperNames writes the names in RDATA in capitals.
func upperNames(data []byte, t wire.Type) []byte {
	at, count := namesIn(t, data)
	out := bytes.Clone(data)
	for ; count > 0; count-- {
		n := wire.NameLen(data[at:])
		for i, c := range out[at : at+n] {
			if c >= 'a' && c <= 'z' {
				out[at+i] = c - 32
			}
		}
		at += n
	}
	return out
}

// Types of which miekg/dns knows no names, and RDATA that is cut short.
func TestNames(t *testing.T) {
	tests := []struct {
		typ        wire.Type
		data, want string
	}{
		{wire.TypeNXT, "\x01A\x00\x40", "\x01a\x00\x40"},
		{typeA6, "\x00" + strings.Repeat("A", 16), "\x00" + strings.Repeat("A", 16)},
		{typeA6, "\x80\x01A\x00", "\x80\x01a\x00"},
		{typeA6, "\x79A\x01A\x00", "\x79A\x01a\x00"},
		{typeA6, "\xc8A", "\xc8A"},
		{typeA6, "", ""},
		{wire.TypeMX, "", ""},
		{wire.TypeMX, "AA", "AA"},
		{wire.TypeSOA, "\x01A\x00\x05A", "\x01a\x00\x05A"},
		{typeNAPTR, "AAAA\x01A\x01A", "AAAA\x01A\x01A"},
		{typeNAPTR, "AAAA\x01A\x01A\x05A", "AAAA\x01A\x01A\x05A"},
		{typeNAPTR, "AAAA\x01A\x01A\x01A\x01A\x00", "AAAA\x01A\x01A\x01A\x01a\x00"},
		{wire.TypeNSEC, "\x01A\x00\x00", "\x01A\x00\x00"},
		{wire.TypeSVCB, "\x00\x01\x01A\x00", "\x00\x01\x01A\x00"},
		{wire.TypeRRSIG, strings.Repeat("A", 18) + "\x01A\x00A", strings.Repeat("A", 18) + "\x01a\x00A"},
	}
	for _, tt := range tests {
		var d digester
		if got := d.canonical(tt.typ, []byte(tt.data)); string(got) != tt.want {
			t.Errorf("type %d, %q: %q, want %q", tt.typ, tt.data, got, tt.want)
		}
	}
}

// Keys compare as names do, and can be read back.
func TestKeys(t *testing.T) {
	name := rapid.Custom(func(t *rapid.T) []byte {
		label := rapid.OneOf(
			rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', '*', 0xff}), 1, 5),
			rapid.SliceOfN(rapid.Just(byte(0)), 63, 63),
		)
		var rel []byte
		for range rapid.IntRange(0, 5).Draw(t, "labels") {
			l := label.Draw(t, "label")
			if len(rel)+1+len(l) < wire.MaxName {
				rel = append(append(rel, byte(len(l))), l...)
			}
		}
		return rel
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		ka, kb := appendKey(nil, a), appendKey(nil, b)
		want := wire.CompareNames(append(bytes.Clone(a), 0), append(bytes.Clone(b), 0))
		if got := bytes.Compare(ka, kb); got != sign(want) {
			t.Fatalf("%x and %x: %d, want %d", ka, kb, got, want)
		}
		var buf [wire.MaxName + 1]byte
		if back := appendRel(buf[:], ka); !bytes.Equal(back, a) {
			t.Fatalf("%x comes back as %x", a, back)
		}
	})
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func itoa(n int) string { return strconv.Itoa(n) }

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
