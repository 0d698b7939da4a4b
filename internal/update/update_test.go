package update

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// updateTest is an update of a zone that has the records zone beside base: what is
// answered, and what there is then beside base and, if nothing else changed, the
// records that keeps says are still there.
type updateTest struct {
	name  string
	zone  []string
	ops   []string
	rcode wire.Rcode
	want  []string // nil: as before; else the records beside base
}

func (test *updateTest) run(t *testing.T) {
	z := zoneOf(t, test.zone...)
	req := requestOf(t, test.ops...)
	if test.rcode != wire.RcodeNoError {
		next, changes, err := Do(z, req, all)
		if got := rcodeOf(t, err); got != test.rcode {
			t.Fatalf("RCODE %d, want %d: %v", got, test.rcode, err)
		}
		if next != nil || changes != nil {
			t.Fatal("a refused update has a result")
		}
		return
	}
	next, changes := done(t, z, req, all)
	want, serial := test.want, uint32(2)
	if want == nil {
		want, serial = test.zone, 1
	}
	if got := next.Serial(); got != serial {
		t.Errorf("serial %d, want %d: %v", got, serial, changes)
	}
	lines := slices.Concat([]string{fmt.Sprintf(soaFormat, serial)}, base, want)
	if got, want := textsOf(next), textsOf(zoneWith(t, lines)); !slices.Equal(got, want) {
		t.Errorf("the zone is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// zoneWith compiles a zone of nothing but lines.
func zoneWith(t *testing.T, lines []string) *zone.Zone {
	t.Helper()
	b := zone.NewBuilder()
	for _, l := range lines {
		r := recordOf(t, l)
		if p := b.Add(&wire.RR{Owner: r.Name, Type: r.Type, TTL: r.TTL, Data: r.Data}); p != nil {
			t.Fatalf("%s: %v", l, p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	return z
}

// some is what most zones of the tables have.
var some = []string{
	"a.example. 60 A 192.0.2.1", "a.example. 60 A 192.0.2.2", "a.example. 60 TXT \"x\"",
	"c.example. 60 CNAME a.example.", "host.ent.example. 60 A 192.0.2.3", "m.example. 60 MX 10 a.example.",
}

// TestPrerequisites: the five kinds (RFC 2136 2.4), holding and not (3.2).
func TestPrerequisites(t *testing.T) {
	const add = "+ new.example. 60 A 192.0.2.9"
	added := append(slices.Clone(some), "new.example. 60 A 192.0.2.9")
	for _, test := range []updateTest{
		{name: "name in use", ops: []string{"? a.example."}},
		{name: "name in use, of any type", ops: []string{"? c.example."}},
		{name: "apex in use", ops: []string{"? example."}},
		{name: "name in use isn't", ops: []string{"? no.example."}, rcode: wire.RcodeNXDomain},
		{name: "ENT is not in use", ops: []string{"? ent.example."}, rcode: wire.RcodeNXDomain},
		{name: "name not in use", ops: []string{"! no.example."}},
		{name: "ENT is free", ops: []string{"! ent.example."}},
		{name: "name not in use is", ops: []string{"! a.example."}, rcode: wire.RcodeYXDomain},
		{name: "RRset exists", ops: []string{"? a.example. A"}},
		{name: "RRset exists, not that type", ops: []string{"? a.example. AAAA"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset exists, no name", ops: []string{"? no.example. A"}, rcode: wire.RcodeNXRRSet},
		{name: "a CNAME is not followed", ops: []string{"? c.example. A"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset doesn't exist", ops: []string{"! a.example. AAAA"}},
		{name: "RRset doesn't exist, no name", ops: []string{"! no.example. AAAA"}},
		{name: "RRset doesn't exist, does", ops: []string{"! a.example. TXT"}, rcode: wire.RcodeYXRRSet},
		{name: "RRset is", ops: []string{"= a.example. A 192.0.2.2", "= a.example. A 192.0.2.1"}},
		{name: "RRset is, said twice", ops: []string{"= a.example. A 192.0.2.2", "= a.example. A 192.0.2.1", "= a.example. A 192.0.2.2"}},
		{name: "RRset is, case of names", ops: []string{"= m.example. MX 10 A.eXample."}},
		{name: "RRset is, case of text differs", ops: []string{"= a.example. TXT X"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset is more", ops: []string{"= a.example. A 192.0.2.2"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset is less", ops: []string{"= a.example. A 192.0.2.1", "= a.example. A 192.0.2.2", "= a.example. A 192.0.2.3"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset is other", ops: []string{"= a.example. A 192.0.2.1", "= a.example. A 192.0.2.3"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset is, no type", ops: []string{"= a.example. AAAA 2001:db8::"}, rcode: wire.RcodeNXRRSet},
		{name: "RRset is, no name", ops: []string{"= no.example. A 192.0.2.1"}, rcode: wire.RcodeNXRRSet},
		{name: "two RRsets are", ops: []string{"= a.example. A 192.0.2.2", "= a.example. TXT x", "= a.example. A 192.0.2.1"}},
		{name: "the second RRset isn't", ops: []string{"= a.example. TXT x", "= a.example. A 192.0.2.1"}, rcode: wire.RcodeNXRRSet},
		{name: "the last of several", ops: []string{"? a.example.", "! no.example.", "? a.example. MX"}, rcode: wire.RcodeNXRRSet},
		{name: "existence before content", ops: []string{"= a.example. A 192.0.2.3", "! a.example."}, rcode: wire.RcodeYXDomain},
		{name: "outside the zone", ops: []string{"! www.example.net."}, rcode: wire.RcodeNotZone},
		{name: "outside, of the parent", ops: []string{"= . NS a."}, rcode: wire.RcodeNotZone},
		{name: "not quite the zone", ops: []string{"! notexample."}, rcode: wire.RcodeNotZone},
	} {
		test.zone, test.ops = some, append(test.ops, add)
		if test.rcode == wire.RcodeNoError {
			test.want = added
		}
		t.Run(test.name, test.run)
	}
}

// TestUpdates: what records of updates do (RFC 2136 3.4.2).
func TestUpdates(t *testing.T) {
	without := func(gone ...string) []string {
		return slices.DeleteFunc(slices.Clone(some), func(s string) bool { return slices.Contains(gone, s) })
	}
	with := func(more ...string) []string { return append(slices.Clone(some), more...) }
	a1, a2, x := some[0], some[1], some[2]
	for _, test := range []updateTest{
		{name: "nothing to do"},
		{name: "add", ops: []string{"+ n.example. 60 A 192.0.2.1"}, want: with("n.example. 60 A 192.0.2.1")},
		{name: "add a wildcard", ops: []string{"+ *.n.example. 60 A 192.0.2.1"}, want: with("*.n.example. 60 A 192.0.2.1")},
		{name: "add to an RRset", ops: []string{"+ a.example. 60 A 192.0.2.3"}, want: with("a.example. 60 A 192.0.2.3")},
		{name: "add what is there", ops: []string{"+ a.example. 60 A 192.0.2.1"}},
		{name: "add twice", ops: []string{"+ n.example. 60 A 192.0.2.1", "+ n.example. 60 A 192.0.2.1"}, want: with("n.example. 60 A 192.0.2.1")},
		{
			name: "TTL of the RRset", ops: []string{"+ a.example. 90 A 192.0.2.1"},
			want: append(without(a1, a2), "a.example. 90 A 192.0.2.1", "a.example. 90 A 192.0.2.2"),
		},
		{name: "TTL there and back", ops: []string{"+ a.example. 90 A 192.0.2.1", "+ a.example. 60 A 192.0.2.2"}},
		{
			name: "TTL by a new record", ops: []string{"+ a.example. 90 A 192.0.2.3"},
			want: append(without(a1, a2), "a.example. 90 A 192.0.2.1", "a.example. 90 A 192.0.2.2", "a.example. 90 A 192.0.2.3"),
		},
		{name: "TTL too large", ops: []string{"+ n.example. 4294967295 A 192.0.2.1"}, want: with("n.example. 0 A 192.0.2.1")},
		{name: "other case of a name", ops: []string{"+ m.example. 60 MX 10 A.example."}, want: append(without(some[5]), "m.example. 60 MX 10 A.example.")},
		{name: "unknown type", ops: []string{`+ n.example. 60 TYPE65280 \# 2 abcd`}, want: with(`n.example. 60 TYPE65280 \# 2 abcd`)},

		{name: "delete a record", ops: []string{"- a.example. A 192.0.2.1"}, want: without(a1)},
		{name: "delete a record, case", ops: []string{"- m.example. MX 10 A.EXAMPLE."}, want: without(some[5])},
		{name: "delete a record that isn't", ops: []string{"- a.example. A 192.0.2.3"}},
		{name: "delete a record of no name", ops: []string{"- no.example. A 192.0.2.3"}},
		{name: "delete an RRset", ops: []string{"- a.example. A"}, want: without(a1, a2)},
		{name: "delete an RRset that isn't", ops: []string{"- a.example. AAAA"}},
		{name: "delete a name", ops: []string{"- a.example."}, want: without(a1, a2, x)},
		{name: "delete no name", ops: []string{"- no.example."}},
		{name: "delete an ENT", ops: []string{"- ent.example."}},
		{name: "delete below an ENT", ops: []string{"- host.ent.example."}, want: without(some[4])},

		{name: "delete, then add", ops: []string{"- a.example. A", "+ a.example. 60 A 192.0.2.7"}, want: append(without(a1, a2), "a.example. 60 A 192.0.2.7")},
		{name: "delete, then add the same", ops: []string{"- a.example. A 192.0.2.1", "+ a.example. 60 A 192.0.2.1"}},
		{name: "delete all, then add the same", ops: []string{"- a.example.", "+ a.example. 60 A 192.0.2.1", "+ a.example. 60 TXT x", "+ a.example. 60 A 192.0.2.2"}},
		{name: "delete, then add with another TTL", ops: []string{"- a.example. TXT", "+ a.example. 61 TXT x"}, want: append(without(x), "a.example. 61 TXT x")},
		{name: "add, then delete", ops: []string{"+ n.example. 60 A 192.0.2.1", "- n.example. A 192.0.2.1"}},
		{name: "add, then delete all", ops: []string{"+ a.example. 60 A 192.0.2.3", "- a.example. A"}, want: without(a1, a2)},
		{name: "add, delete, add", ops: []string{"+ n.example. 60 A 192.0.2.1", "- n.example.", "+ n.example. 60 A 192.0.2.2"}, want: with("n.example. 60 A 192.0.2.2")},

		{name: "CNAME beside other data", ops: []string{"+ a.example. 60 CNAME b.example."}},
		{name: "other data beside CNAME", ops: []string{"+ c.example. 60 A 192.0.2.1"}},
		{name: "CNAME at the apex", ops: []string{"+ example. 60 CNAME b.example."}},
		{name: "CNAME replaces CNAME", ops: []string{"+ c.example. 60 CNAME b.example."}, want: append(without(some[3]), "c.example. 60 CNAME b.example.")},
		{name: "the last CNAME stays", ops: []string{"+ n.example. 60 CNAME a.", "+ n.example. 60 CNAME b."}, want: with("n.example. 60 CNAME b.")},
		{name: "CNAME after deletion", ops: []string{"- a.example.", "+ a.example. 60 CNAME b.example."}, want: append(without(a1, a2, x), "a.example. 60 CNAME b.example.")},
		{name: "CNAME before deletion", ops: []string{"+ a.example. 60 CNAME b.example.", "- a.example."}, want: without(a1, a2, x)},
		{name: "other data after deletion of CNAME", ops: []string{"- c.example. CNAME", "+ c.example. 60 A 192.0.2.1"}, want: append(without(some[3]), "c.example. 60 A 192.0.2.1")},
		{name: "KEY beside CNAME", ops: []string{"+ c.example. 60 KEY 512 3 8 AQ=="}, want: with("c.example. 60 KEY 512 3 8 AQ==")},
		{name: "DNAME replaces DNAME", ops: []string{"+ d.example. 60 DNAME a.", "+ d.example. 60 DNAME b."}, want: with("d.example. 60 DNAME b.")},

		{name: "NS of the apex as RRset", ops: []string{"- example. NS"}},
		{name: "SOA as RRset", ops: []string{"- example. SOA"}},
		{name: "all of the apex", zone: []string{"example. 60 MX 1 a.", "example. 60 TXT x"}, ops: []string{"- example."}, want: []string{}},
		{name: "last NS", ops: []string{"- example. NS ns1.example."}},
		{name: "last NS, added again", ops: []string{"+ example. 300 NS ns1.example.", "- example. NS ns1.example."}},
		{name: "NS that isn't there", ops: []string{"- example. NS ns2.example."}},
		{name: "last but one NS", zone: []string{"example. 300 NS ns2.example."}, ops: []string{"- example. NS ns2.example."}, want: []string{}},
		{name: "last two NS", zone: []string{"example. 300 NS ns2.example."}, ops: []string{"- example. NS ns2.example.", "- example. NS ns1.example."}, want: []string{}},
		{name: "last NS of a delegation", zone: []string{"sub.example. 300 NS ns2.example."}, ops: []string{"- sub.example. NS ns2.example."}, want: []string{}},
		{name: "NS RRset of a delegation", zone: []string{"sub.example. 300 NS ns2.example."}, ops: []string{"- sub.example. NS"}, want: []string{}},
		{name: "SOA below the apex", ops: []string{"+ a.example. 60 SOA a. b. 9 1 1 1 1"}},
		{name: "SOA as record", ops: []string{"- example. SOA ns1.example. host.example. 1 3600 600 604800 60"}},
		{
			name: "one address and protocol of WKS", zone: []string{`w.example. 60 TYPE11 \# 6 c0000201 06 80`, `w.example. 60 TYPE11 \# 6 c0000201 11 80`},
			ops:  []string{`+ w.example. 60 TYPE11 \# 7 c0000201 06 0040`},
			want: []string{`w.example. 60 TYPE11 \# 7 c0000201 06 0040`, `w.example. 60 TYPE11 \# 6 c0000201 11 80`},
		},
		{name: "DNAME beside NS", ops: []string{"+ n.example. 60 A 192.0.2.1", "+ d.example. 60 DNAME a.", "+ d.example. 60 NS a."}, rcode: wire.RcodeRefused},
	} {
		if test.zone == nil {
			test.zone = some
		}
		t.Run(test.name, test.run)
	}
}

// TestSigned: what an update can't keep signed, or would sign, it leaves alone.
func TestSigned(t *testing.T) {
	sign := []string{
		"example. 300 RRSIG SOA 8 1 300 20300101000000 20200101000000 1 example. AQ==",
		"example. 60 NSEC a.example. SOA NS RRSIG NSEC",
		"a.example. 60 NSEC example. NSEC",
	}
	add := requestOf(t, "+ n.example. 60 A 192.0.2.1")
	if _, _, err := Do(zoneOf(t, sign...), add, all); rcodeOf(t, err) != wire.RcodeRefused {
		t.Errorf("a signed zone: %v", err)
	}
	var ops []string
	for _, s := range sign {
		ops = append(ops, "+ "+s)
	}
	if _, _, err := Do(zoneOf(t), requestOf(t, ops...), all); rcodeOf(t, err) != wire.RcodeRefused {
		t.Errorf("an update that signs: %v", err)
	}
	// Signatures alone do no harm; each type that is covered has a TTL of its own.
	z, _ := done(t, zoneOf(t), requestOf(t,
		"+ a.example. 60 RRSIG A 8 1 300 20300101000000 20200101000000 1 example. AQ==",
		"+ a.example. 90 RRSIG TXT 8 1 300 20300101000000 20200101000000 1 example. AQ=="), all)
	z, changes := done(t, z, requestOf(t, "+ a.example. 90 RRSIG TXT 8 1 300 20300101000000 20200101000000 1 example. Ag=="), all)
	if len(changes.Del) != 1 || len(changes.Add) != 2 {
		t.Errorf("%v", changes)
	}
	if z, _ = done(t, z, requestOf(t, "- a.example. RRSIG"), all); z.Records() != 3 {
		t.Errorf("%q", textsOf(z))
	}
}

// TestSerial: an SOA in an update counts if its serial is newer (RFC 2136 3.4.2.2,
// RFC 1982); else a change gets the next one.
func TestSerial(t *testing.T) {
	soa := func(serial uint32) string { return "+ " + fmt.Sprintf(soaFormat, serial) }
	const add = "+ n.example. 60 A 192.0.2.1"
	for _, test := range []struct {
		name string
		from uint32
		ops  []string
		want uint32
	}{
		{"next", 7, []string{add}, 8},
		{"next of the last", 1<<32 - 1, []string{add}, 0},
		{"newer", 7, []string{soa(20)}, 20},
		{"newer, and a change", 7, []string{add, soa(20)}, 20},
		{"newer round the end", 1<<32 - 5, []string{soa(3), add}, 3},
		{"equal", 7, []string{soa(7)}, 7},
		{"equal, and a change", 7, []string{soa(7), add}, 8},
		{"older, and a change", 7, []string{soa(6), add}, 8},
		{"older", 7, []string{soa(6)}, 7},
		{"older round the end", 3, []string{soa(1<<32 - 5), add}, 4},
		{"undefined", 0, []string{soa(1 << 31), add}, 1},
		{"the newest that is newer", 0, []string{soa(1<<31 - 1), add}, 1<<31 - 1},
		{"two, rising", 7, []string{soa(9), soa(11), add}, 11},
		{"two, falling", 7, []string{soa(11), soa(9), add}, 11},
		{"with a number changed", 7, []string{"+ example. 300 SOA ns1.example. host.example. 9 1 600 604800 60"}, 9},
		{"with a number changed, old", 7, []string{"+ example. 300 SOA ns1.example. host.example. 7 1 600 604800 60"}, 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			z := zoneWith(t, append([]string{fmt.Sprintf(soaFormat, test.from)}, base...))
			next, changes := done(t, z, requestOf(t, test.ops...), all)
			if next.Serial() != test.want || changes.Empty() != (test.want == test.from) {
				t.Errorf("serial %d, want %d: %v", next.Serial(), test.want, changes)
			}
		})
	}
}

// TestTwice: an update that is done again does nothing (RFC 2136 3.4.2.2, 5.1).
func TestTwice(t *testing.T) {
	req := requestOf(t, "- a.example. A", "+ a.example. 30 A 192.0.2.7", "+ n.example. 60 CNAME a.example.")
	z, _ := done(t, zoneOf(t, some...), req, all)
	if again, changes := done(t, z, req, all); again != z {
		t.Errorf("the second time: %v", changes)
	}
}

// TestMany: 1,000 changes in one message, which is one version; and many records of
// one name, in which each is looked for.
func TestMany(t *testing.T) {
	var ops, want []string
	for i := range 1000 {
		ops = append(ops, fmt.Sprintf("+ h%d.example. 60 A 192.0.2.%d", i, i%250))
		want = append(want, ops[i][2:])
	}
	z, changes := done(t, zoneOf(t), requestOf(t, ops...), all)
	if z.Serial() != 2 || z.Records() != 1000+3 || len(changes.Add) != 1001 {
		t.Fatalf("serial %d, %d records, %d come", z.Serial(), z.Records(), len(changes.Add))
	}
	if got := textsOf(z); !slices.Equal(got, textsOf(zoneWith(t, slices.Concat(want, base, []string{fmt.Sprintf(soaFormat, 2)})))) {
		t.Fatalf("%q", got)
	}
	ops = ops[:0]
	for i := range 2000 {
		ops = append(ops, fmt.Sprintf("+ big.example. 60 NS n%d.Example.", i))
	}
	ops = slices.Concat(ops, ops) // the second time they are there
	if z, _ = done(t, z, requestOf(t, ops...), all); z.Records() != 3000+3 {
		t.Fatalf("%d records", z.Records())
	}
	ops = ops[:2000]
	for i := range ops {
		if i%2 == 0 {
			ops[i] = strings.Replace("= "+strings.ToUpper(ops[i][2:]), " 60 ", " ", 1)
		} else {
			ops[i] = fmt.Sprintf("- big.example. NS N%d.example.", i)
		}
	}
	// All of them are there, and not only every other one.
	if _, _, err := Do(z, requestOf(t, ops...), all); rcodeOf(t, err) != wire.RcodeNXRRSet {
		t.Fatal(err)
	}
	ops = slices.DeleteFunc(ops, func(s string) bool { return s[0] == '=' })
	z, changes = done(t, z, requestOf(t, ops...), all)
	if z.Records() != 2000+3 || len(changes.Del) != 1001 || len(changes.Add) != 1 {
		t.Fatalf("%d records, %d go, %d come", z.Records(), len(changes.Del), len(changes.Add))
	}
}
