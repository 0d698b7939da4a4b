package zone

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// TestMain runs more rounds than rapid's 100, which take but an instant, unless
// a number is asked for.
func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("600"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// Few labels, so that names meet; odd ones, since any octet is allowed
// (RFC 2181 11).
var (
	someLabels = rapid.SampledFrom([]string{"a", "b", "*", "\x00", ".", "\xff", "www", strings.Repeat("l", 63)})
	someTypes  = rapid.SampledFrom([]wire.Type{
		wire.TypeA, wire.TypeA, wire.TypeA, wire.TypeTXT, wire.TypeNS, wire.TypeCNAME, wire.TypePTR, wire.TypeDNAME, wire.TypeMX, wire.TypeSRV,
		wire.TypeRRSIG, wire.TypeRRSIG, wire.TypeSIG, wire.TypeKEY, wire.TypeNSEC, wire.TypeNSEC3, wire.TypeNSEC3, wire.TypeNSEC3PARAM, wire.TypeDS, 65400,
	})
	coverable = rapid.SampledFrom([]string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\x02", "\x00\x05", "\x00\x2f", "\x00\x32"})
	someApex  = rapid.SampledFrom([]string{name(), name("example"), name("a", "example"), name("b", "a", "b")})
	someTTL   = rapid.SampledFrom([]uint32{0, 60, 300, 1<<31 - 1})
	mixedCase = rapid.SampledFrom([]string{name(), name("a"), name("A"), name("b", "Example"), name("B", "example")})
)

func drawOwner(t *rapid.T, apex string) string {
	for range rapid.IntRange(0, 4).Draw(t, "depth") {
		l := someLabels.Draw(t, "label")
		if len(apex)+1+len(l) > wire.MaxName {
			break
		}
		apex = string([]byte{byte(len(l))}) + l + apex
	}
	return apex
}

func drawData(t *rapid.T, typ wire.Type) string {
	few := func(n int) string {
		b := make([]byte, n)
		if n > 0 {
			b[n-1] = rapid.SampledFrom([]byte{0, 1, 'A', 'a'}).Draw(t, "octet")
		}
		return string(b)
	}
	switch typ {
	case wire.TypeA:
		return few(4)
	case wire.TypeNS, wire.TypeCNAME, wire.TypePTR, wire.TypeDNAME:
		return mixedCase.Draw(t, "target")
	case wire.TypeMX:
		return few(2) + mixedCase.Draw(t, "target")
	case wire.TypeSRV:
		return few(6) + mixedCase.Draw(t, "target")
	case wire.TypeSOA:
		return soa(rapid.Uint32().Draw(t, "serial"))
	case wire.TypeRRSIG, wire.TypeSIG:
		covered := coverable.Draw(t, "covered")
		if len(covered) < 2 {
			return covered
		}
		return covered + few(3)
	}
	return few(rapid.IntRange(0, 3).Draw(t, "length"))
}

func drawRR(t *rapid.T, apex string) wire.RR {
	typ := someTypes.Draw(t, "type")
	return rr(drawOwner(t, apex), typ, someTTL.Draw(t, "ttl"), drawData(t, typ))
}

// drawOddRR may draw a record that no zone takes.
func drawOddRR(t *rapid.T, apex string) wire.RR {
	r := drawRR(t, apex)
	switch rapid.IntRange(0, 60).Draw(t, "oddity") {
	case 0:
		r.Type = rapid.SampledFrom([]wire.Type{0, wire.TypeOPT, wire.TypeAXFR, wire.TypeANY}).Draw(t, "meta")
	case 1:
		r.Owner = []byte(drawOwner(t, name("elsewhere")))
	case 2:
		r.Type, r.Data = wire.TypeSOA, []byte(drawData(t, wire.TypeSOA))
	case 3:
		r = rr(apex, wire.TypeSOA, 60, drawData(t, wire.TypeSOA))
	case 4:
		r = rr(apex, wire.TypeNS, 60, name("ns1"))
	}
	return r
}

func drawNames(t *rapid.T, apex string, m *model) (names []string) {
	for range 20 {
		names = append(names, drawOwner(t, apex))
	}
	for n := range m.names {
		names = append(names, n)
	}
	return names
}

// drawModel draws a valid zone.
func drawModel(t *rapid.T) *model {
	m := newModel(someApex.Draw(t, "apex"))
	for _, r := range basics(m.apex) {
		must(t, m.add(&r, false))
	}
	switch rapid.IntRange(0, 3).Draw(t, "chain") {
	case 0:
		r := rr(m.apex, wire.TypeNSEC3PARAM, 0, "\x01\x00\x00\x00\x00")
		must(t, m.add(&r, false))
	case 1:
		r := rr(m.apex, wire.TypeNSEC, 300, m.apex)
		must(t, m.add(&r, false))
	}
	for range rapid.IntRange(0, 30).Draw(t, "records") {
		r := drawRR(t, m.apex)
		if n, err := m.apply(&Changeset{Add: []wire.RR{r}}); err == nil {
			m = n
		}
	}
	return m
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBuilderEqualsModel: the records of a valid zone, in any order and some of
// them twice, compile to what the model says.
func TestBuilderEqualsModel(t *testing.T) {
	b := NewBuilder()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		records := m.records()
		if rapid.Bool().Draw(t, "twice") {
			records = append(records, records[:len(records)/2]...)
		}
		records = rapid.Permutation(records).Draw(t, "order")
		compare(t, compile(t, b, records), m, drawNames(t, m.apex, m))
	})
}

// TestBuilderRefuses: whatever comes, the Builder either says what is wrong, or
// makes the zone that the records that it took make.
func TestBuilderRefuses(t *testing.T) {
	b := NewBuilder()
	rapid.Check(t, func(t *rapid.T) {
		apex := someApex.Draw(t, "apex")
		records := basics(apex)
		if rapid.IntRange(0, 9).Draw(t, "bare") == 0 {
			records = records[:1]
		}
		for range rapid.IntRange(0, 25).Draw(t, "records") {
			records = append(records, drawOddRR(t, apex))
		}
		// The first SOA says what the apex is: it stays in front of others.
		tail := rapid.Permutation(records[1:]).Draw(t, "order")
		records = append(records[:1:1], tail...)

		b.Reset(0)
		all, kept := newModel(apex), newModel(apex)
		allFine, keptFine, complained := true, true, false
		for i := range records {
			r := &records[i]
			allFine = all.add(r, true) == nil && allFine
			if p := b.Add(r); p != nil && !p.Warning {
				complained = true
				continue
			}
			keptFine = kept.add(r, true) == nil && keptFine
		}
		allFine = allFine && all.check() == nil
		keptFine = keptFine && kept.check() == nil
		z, problems := b.Finish()
		for _, p := range problems {
			complained = complained || !p.Warning
		}
		if complained == allFine {
			t.Fatalf("the Builder complained: %t; the model is content: %t (%v)", complained, allFine, problems)
		}
		if (z != nil) != keptFine {
			t.Fatalf("a zone: %t; the model is content with what was taken: %t (%v)", z != nil, keptFine, problems)
		}
		if z != nil {
			compare(t, z, kept, nil)
		}
	})
}

// drawChange draws a changeset, mostly one that m takes.
func drawChange(t *rapid.T, m *model) *Changeset {
	c := &Changeset{}
	have := m.records()
	sortRecords(have)
	now := m.clone()
	for range rapid.IntRange(0, 6).Draw(t, "dels") {
		r := rapid.SampledFrom(have).Draw(t, "del")
		if odd := rapid.IntRange(0, 40).Draw(t, "oddity") == 0; odd {
			r = drawOddRR(t, m.apex)
		} else if now.del(&r) != nil {
			continue
		}
		r.TTL++ // of no importance
		r.Data = swapCase(r)
		c.Del = append(c.Del, r)
	}
	if s := now.names[m.apex][setID{typ: wire.TypeSOA}]; s == nil {
		r := rr(m.apex, wire.TypeSOA, 60, drawData(t, wire.TypeSOA))
		c.Add = append(c.Add, r)
	}
	for range rapid.IntRange(0, 8).Draw(t, "adds") {
		r := drawRR(t, m.apex)
		if rapid.IntRange(0, 40).Draw(t, "oddity") == 0 {
			r = drawOddRR(t, m.apex)
		} else if now.add(&r, false) != nil || rapid.IntRange(0, 40).Draw(t, "unchecked") > 0 && conflicts(now, &r) {
			continue
		}
		c.Add = append(c.Add, r)
	}
	return c
}

// conflicts reports whether a record that was just added breaks a rule, and
// then takes it out again.
func conflicts(m *model, r *wire.RR) bool {
	one := newModel(m.apex)
	for _, b := range basics(m.apex) {
		if one.add(&b, true) != nil {
			return true
		}
	}
	if string(r.Owner) != m.apex {
		one.names[string(r.Owner)] = m.names[string(r.Owner)]
	} else {
		for id, s := range m.names[m.apex] {
			one.names[m.apex][id] = s
		}
	}
	if one.check() == nil {
		return false
	}
	_ = m.del(r)
	return true
}

func sortRecords(list []wire.RR) { copy(list, sorted(list)) }

// swapCase writes names in RDATA in the other case: they stay the same.
func swapCase(r wire.RR) []byte {
	if r.Type != wire.TypeNS && r.Type != wire.TypePTR && r.Type != wire.TypeDNAME {
		return r.Data
	}
	return []byte(strings.ToUpper(string(r.Data)))
}

// TestApplyEqualsCompile: a tree of versions, any of them changed again; each
// equals a fresh compile of its model, and stays what it was.
func TestApplyEqualsCompile(t *testing.T) {
	type version struct {
		z     *Zone
		m     *model
		whole string
	}
	b := NewBuilder()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		z := compile(t, b, m.records())
		versions := []version{{z, m, dump(z)}}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			from := versions[len(versions)-1]
			if rapid.IntRange(0, 3).Draw(t, "fork") == 0 {
				from = rapid.SampledFrom(versions).Draw(t, "from")
			}
			c := drawChange(t, from.m)
			next, refused := from.m.apply(c)
			z, err := from.z.Apply(c)
			if (err != nil) != (refused != nil) {
				t.Fatalf("Apply(%v): %v; the model: %v", c, err, refused)
			}
			if err == nil {
				compare(t, z, next, drawNames(t, next.apex, next))
				versions = append(versions, version{z, next, dump(z)})
			}
		}
		for i, v := range versions {
			if now := dump(v.z); now != v.whole {
				t.Fatalf("version %d became\n%s\nit was\n%s", i, now, v.whole)
			}
			audit(t, v.z)
		}
	})
}

// TestDiff: what Diff says, applied to the old version, makes the new one, and
// is no longer than needed.
func TestDiff(t *testing.T) {
	b, b2 := NewBuilder(), NewBuilder()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		n := m
		for range 3 {
			if next, err := n.apply(drawChange(t, n)); err == nil {
				n = next
			}
		}
		from, to := compile(t, b, m.records()), compile(t, b2, n.records())
		c := Diff(from, to)
		z, err := from.Apply(c)
		if err != nil {
			t.Fatalf("Diff gives %v, which Apply refuses: %v", c, err)
		}
		compare(t, z, n, nil)
		if d := Diff(z, to); !d.Empty() {
			t.Fatalf("what was made differs by %v", d)
		}
		if del, add := differing(m, n), differing(n, m); len(c.Del) != del || len(c.Add) != add {
			t.Fatalf("Diff has %d and %d records to go and to come, it takes %d and %d", len(c.Del), len(c.Add), del, add)
		}
	})
}

// differing counts the records of m that n doesn't hold with the same TTL.
func differing(m, n *model) int {
	count := 0
	for _, r := range m.records() {
		s := n.names[string(r.Owner)][idOf(&r)]
		if s != nil && s.ttl == r.TTL {
			if same, there := s.records[sameKey(r.Type, r.Data)]; there && same == string(r.Data) {
				continue
			}
		}
		count++
	}
	return count
}

// FuzzApply reads a run of changesets out of octets, and holds Apply against
// the model.
func FuzzApply(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x80\x11\x01\x02\x80\x21\x03\x00\xff\x11\x01\x02"))
	f.Add(bytes.Repeat([]byte{0x82, 0x34, 0x0b, 0x61, 0xff}, 12))
	apex := name("example")
	labels := []string{"a", "b", "*", "\x00", "www"}
	types := []wire.Type{wire.TypeA, wire.TypeNS, wire.TypeCNAME, wire.TypeSOA, wire.TypeTXT, wire.TypeMX, wire.TypeDNAME, wire.TypeRRSIG, wire.TypeNSEC, wire.TypeNSEC3, wire.TypeNSEC3PARAM, wire.TypeANY}
	b := NewBuilder()
	f.Fuzz(func(t *testing.T, in []byte) {
		in = in[:min(len(in), 400)] // the model is slow
		m := newModel(apex)
		for _, r := range basics(apex) {
			must(t, m.add(&r, false))
		}
		z := compile(t, b, basics(apex))
		for len(in) > 0 {
			c := &Changeset{}
			// Four octets a record: what to do and how deep, two labels, type, data.
			for len(in) >= 4 && in[0] != 0xff {
				owner := apex
				for i := range int(in[0] & 3) {
					l := labels[int(in[1]>>(4*(i%2))&15)%len(labels)]
					owner = string([]byte{byte(len(l))}) + l + owner
				}
				typ := types[int(in[2])%len(types)]
				r := rr(owner, typ, uint32(in[0]>>2&3), fuzzData(typ, in[3]))
				if in[0]&0x80 != 0 {
					c.Add = append(c.Add, r)
				} else {
					c.Del = append(c.Del, r)
				}
				in = in[4:]
			}
			if len(in) > 0 {
				in = in[1:]
			}
			before := dump(z)
			next, refused := m.apply(c)
			got, err := z.Apply(c)
			if (err != nil) != (refused != nil) {
				t.Fatalf("Apply(%v): %v; the model: %v", c, err, refused)
			}
			if dump(z) != before {
				t.Fatal("the old version changed")
			}
			if err == nil {
				z, m = got, next
				compare(t, z, m, []string{apex, name("a", "example"), name("x", "b", "example"), name("a", "*", "b", "example")})
			}
		}
	})
}

func fuzzData(t wire.Type, b byte) string {
	target := name(string([]byte{'A' + b&0x21, 'x'}))
	switch t {
	case wire.TypeNS, wire.TypeCNAME, wire.TypeDNAME:
		return target
	case wire.TypeMX:
		return string([]byte{0, b >> 6}) + target
	case wire.TypeSOA:
		return soa(uint32(b))
	case wire.TypeRRSIG:
		return string([]byte{0, b & 3, b >> 2})[:b%4]
	}
	return string([]byte{b, b, 0, b})[:b%5]
}
