package zonemd

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// records reads the records of a master file.
func records(t testing.TB, text, origin string) (list []wire.RR) {
	t.Helper()
	apex, err := zonefile.ParseNameLower(origin, []byte{0})
	if err != nil {
		t.Fatal(err)
	}
	_, err = zonefile.Parse(strings.NewReader(text), zonefile.Options{File: "test.zone", Origin: apex}, func(rr *wire.RR, _ zonefile.Pos) error {
		list = append(list, wire.RR{Owner: bytes.Clone(rr.Owner), Type: rr.Type, TTL: rr.TTL, Data: bytes.Clone(rr.Data)})
		return nil
	}, func(f zonefile.Finding) {
		if f.Severity == zonefile.Error {
			t.Errorf("%+v", f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// compile makes a zone of records. Those out of the zone are left out; whatever
// else is wrong fails the test.
func compile(t testing.TB, list []wire.RR) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	for i := range list {
		if p := b.Add(&list[i]); p != nil && !p.Warning && p.Rule != "out-of-zone" {
			t.Fatalf("%s: %v", wire.NameString(list[i].Owner), p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	return z
}

func load(t testing.TB, text, origin string) *zone.Zone {
	t.Helper()
	return compile(t, records(t, text, origin))
}

func file(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// vectors are the zones of RFC 8976 appendix A.
var vectors = []struct{ file, origin string }{
	{"testdata/a1.zone", "example."},
	{"testdata/a2.zone", "example."},
	{"testdata/a3.zone", "example."},
	{"testdata/a4.zone", "uri.arpa."},
	{"testdata/a5.zone", "root-servers.net."},
}

// published are the digests that a zone's apex carries, by hash algorithm.
func published(z *zone.Zone) map[uint8][]byte {
	set, _ := z.ApexNode().Set(Type)
	m := map[uint8][]byte{}
	for _, d := range parseSet(set.Records) {
		if unsupported(d.scheme, d.algorithm) == "" {
			m[d.algorithm] = d.sum
		}
	}
	return m
}

func TestVectors(t *testing.T) {
	digests := 0
	for _, v := range vectors {
		z := load(t, file(t, v.file), v.origin)
		if r := Verify(z); r.Status != OK {
			t.Errorf("%s: %s: %s", v.file, r.Status, r.Text)
		}
		for algorithm, want := range published(z) {
			got, err := Digest(z, SchemeSimple, algorithm)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, hash %d: %x, %v; want %x", v.file, algorithm, got, err, want)
			}
			digests++
		}
	}
	if digests != 6 {
		t.Errorf("%d digests compared; the RFC has 6", digests)
	}
}

// A record made for each vector's zone says what the RFC's does, whatever of the
// old one stands in the zone.
func TestRecord(t *testing.T) {
	for _, v := range vectors {
		all := records(t, file(t, v.file), v.origin)
		full := compile(t, all)
		bare := compile(t, without(all, func(r *wire.RR) bool {
			return bytes.Equal(r.Owner, full.Apex()) && (r.Type == Type || r.Type == wire.TypeRRSIG && wire.Covered(r.Data) == Type)
		}))
		for algorithm, want := range published(full) {
			rr, err := Record(bare, algorithm)
			if err != nil {
				t.Fatal(err)
			}
			got := parseSet(wire.AppendRecord(nil, rr.Data))
			if len(got) != 1 || got[0].serial != full.Serial() || got[0].scheme != SchemeSimple || got[0].algorithm != algorithm || !bytes.Equal(got[0].sum, want) {
				t.Errorf("%s: %x", v.file, rr.Data)
			}
			soa, _ := full.ApexNode().Set(wire.TypeSOA)
			if rr.Type != 63 || rr.TTL != soa.TTL || !bytes.Equal(rr.Owner, full.Apex()) {
				t.Errorf("%s: %+v", v.file, rr)
			}
			next, err := bare.Apply(&zone.Changeset{Add: []wire.RR{rr}})
			if err != nil {
				t.Fatal(err)
			}
			if r := Verify(next); r.Status != OK {
				t.Errorf("%s: %s: %s", v.file, r.Status, r.Text)
			}
		}
	}
}

func without(list []wire.RR, drop func(*wire.RR) bool) (out []wire.RR) {
	for i := range list {
		if !drop(&list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

func TestDigestRefuses(t *testing.T) {
	z := load(t, file(t, "testdata/a1.zone"), "example.")
	for _, c := range []struct {
		scheme, algorithm uint8
		want              string
	}{{2, 1, "scheme 2"}, {1, 0, "hash algorithm 0"}, {1, 240, "hash algorithm 240"}} {
		_, err := Digest(z, c.scheme, c.algorithm)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "example.") {
			t.Errorf("%d %d: %v", c.scheme, c.algorithm, err)
		}
	}
	if _, err := Record(z, 3); err == nil {
		t.Error("a record with hash algorithm 3")
	}
}

// The zone of RFC 8976 A.1, with other ZONEMD records.
func TestVerify(t *testing.T) {
	const (
		right = "c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c"
		wrong = "c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044d"
		base  = "@ 86400 SOA ns1 admin 2018031900 1800 900 604800 86400\n@ 86400 NS ns1\n@ 86400 NS ns2\nns1 3600 A 203.0.113.63\nns2 3600 AAAA 2001:db8::63\n"
	)
	short := `@ ZONEMD \# 17 78499d3c 01 01 ` + strings.Repeat("00", 11)
	tests := []struct {
		name, records string
		want          Status
		text          string
	}{
		{"none", "", None, "no ZONEMD"},
		{"below the apex only", "ns1 ZONEMD 2018031900 1 1 " + right, None, "no ZONEMD"},
		{"right", "@ ZONEMD 2018031900 1 1 " + right, OK, "SHA-384"},
		{"wrong", "@ ZONEMD 2018031900 1 1 " + wrong, Mismatch, "SHA-384 digest"},
		{"older", "@ ZONEMD 2018031899 1 1 " + right, SerialMismatch, "serial 2018031899, the SOA's is 2018031900"},
		{"scheme", "@ ZONEMD 2018031900 2 1 " + right, Unsupported, "scheme 2"},
		{"hash", "@ ZONEMD 2018031900 1 240 " + right, Unsupported, "hash algorithm 240"},
		{"too short to be one", short, Mismatch, "shorter than 18 octets"},
		{"too short for its hash", "@ ZONEMD 2018031900 1 1 " + right[:40], Mismatch, "20 octets instead of 48"},
		{"longer than its hash", "@ ZONEMD 2018031900 1 1 " + right + "00", Mismatch, "49 octets instead of 48"},
		{"that of the other hash", "@ ZONEMD 2018031900 1 2 " + right, Mismatch, "48 octets instead of 64"},
		// RFC 8976 4: those with the same scheme and hash are not looked at.
		{"twice", "@ ZONEMD 2018031900 1 1 " + right + "\n@ ZONEMD 2018031900 1 1 " + wrong, Unsupported, "2 ZONEMD records have scheme 1 and hash algorithm 1"},
		{"right, and unknown", "@ ZONEMD 2018031900 9 9 " + right + "\n@ ZONEMD 2018031900 1 1 " + right, OK, "SHA-384"},
		{"right, and short", short + "\n@ ZONEMD 2018031900 1 2 " + wrong + "\n@ ZONEMD 2018031900 1 1 " + right, OK, "SHA-384"},
		{"older, and unknown", "@ ZONEMD 2018031900 9 9 " + right + "\n@ ZONEMD 1 1 1 " + right, SerialMismatch, "serial 1,"},
		{"older, and wrong", "@ ZONEMD 2018031900 1 1 " + wrong + "\n@ ZONEMD 1 1 2 " + right, Mismatch, "do not match"},
	}
	for _, tt := range tests {
		z := compile(t, quiet(t, base+tt.records+"\n"))
		r := Verify(z)
		if r.Status != tt.want || !strings.Contains(r.Text, tt.text) {
			t.Errorf("%s: %s: %s; want %s: ..%s..", tt.name, r.Status, r.Text, tt.want, tt.text)
		}
	}
}

// quiet reads records of which some are meant to be wrong: ZONEMD as the type of
// unknown form, in which nobody looks at its digest.
func quiet(t *testing.T, text string) []wire.RR {
	t.Helper()
	var out []string
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 6 && f[1] == "ZONEMD" {
			var data [6]byte
			for i, max := range []int{4, 1, 1} {
				n := number(t, f[2+i])
				for k := range max {
					data[[]int{0, 4, 5}[i]+k] = byte(n >> (8 * (max - 1 - k)))
				}
			}
			sum, err := hex.DecodeString(f[5])
			if err != nil {
				t.Fatal(err)
			}
			line = f[0] + ` TYPE63 \# ` + itoa(len(data)+len(sum)) + " " + hex.EncodeToString(data[:]) + f[5]
		}
		out = append(out, line)
	}
	return records(t, "$TTL 300\n"+strings.Join(out, "\n"), "example.")
}

// The root zone as the tests keep it has no signatures (see
// tests/testdata/README.md), which IANA's digest covers: it cannot match, and
// what is said tells why. A digest made for what there is does match.
func TestRootZone(t *testing.T) {
	list := rootZone(t)
	z := compile(t, list)
	if r := Verify(z); r.Status != Mismatch || !strings.Contains(r.Text, "RRSIG records are missing") {
		t.Errorf("%s: %s", r.Status, r.Text)
	}
	for _, algorithm := range []uint8{SHA384, SHA512} {
		if got, want := digests(z, algorithm)[0], slowDigest(t, list, z.Apex(), algorithm); !bytes.Equal(got, want) {
			t.Errorf("hash %d: %x, want %x", algorithm, got, want)
		}
	}
	set, _ := z.ApexNode().Set(Type)
	old, _, _ := wire.NextRecord(set.Records)
	rr, err := Record(z, SHA384)
	if err != nil {
		t.Fatal(err)
	}
	c := &zone.Changeset{Del: []wire.RR{{Owner: z.Apex(), Type: Type, TTL: set.TTL, Data: old}}, Add: []wire.RR{rr}}
	next, err := z.Apply(c)
	if err != nil {
		t.Fatal(err)
	}
	if r := Verify(next); r.Status != OK {
		t.Errorf("%s: %s", r.Status, r.Text)
	}
}

func rootZone(t testing.TB) []wire.RR {
	t.Helper()
	f, err := os.Open("../../tests/testdata/root.zone.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return records(t, string(text), ".")
}
