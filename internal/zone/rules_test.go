package zone

import (
	"strings"
	"testing"

	"geodns/internal/wire"
)

// TestRules: one zone for each rule that zones are held to, by the Builder, in
// a row and with other names in between, and by Apply.
func TestRules(t *testing.T) {
	apex, a := name("example"), name("a", "example")
	tests := []struct {
		rule    string
		records []wire.RR
	}{
		{"cname-and-other", []wire.RR{rr(a, wire.TypeCNAME, 60, apex), rr(a, wire.TypeA, 60, address(1))}},
		{"cname-and-other", []wire.RR{rr(a, wire.TypeA, 60, address(1)), rr(a, wire.TypeCNAME, 60, apex)}},
		{"cname-and-other", []wire.RR{rr(apex, wire.TypeCNAME, 60, a)}},
		{"single", []wire.RR{rr(a, wire.TypeCNAME, 60, apex), rr(a, wire.TypeCNAME, 60, a)}},
		{"single", []wire.RR{rr(a, wire.TypeDNAME, 60, apex), rr(a, wire.TypeDNAME, 60, a)}},
		{"single", []wire.RR{rr(apex, wire.TypeSOA, 60, soa(2))}},
		{"dname-ns", []wire.RR{rr(a, wire.TypeDNAME, 60, apex), rr(a, wire.TypeNS, 60, apex)}},
		{"soa-below-apex", []wire.RR{rr(a, wire.TypeSOA, 60, soa(2))}},
		{"out-of-zone", []wire.RR{rr(name("a", "other"), wire.TypeA, 60, address(1))}},
		{"out-of-zone", []wire.RR{rr("\x08\x01aexample\x00", wire.TypeA, 60, address(1))}},
		{"meta-type", []wire.RR{rr(a, wire.TypeANY, 60, "")}},
		{"set-too-long", []wire.RR{rr(a, wire.TypeA, 60, address(1)), rr(a, wire.TypeTXT, 60, strings.Repeat("x", 65_535))}},
		{"", []wire.RR{rr(a, wire.TypeCNAME, 60, apex), rr(a, wire.TypeNSEC, 60, "x"), rr(a, wire.TypeRRSIG, 60, "\x00\x05")}},
		{"", []wire.RR{rr(apex, wire.TypeDNAME, 60, a)}},
	}
	for _, test := range tests {
		for _, apart := range []bool{false, true} {
			records := basics(apex)
			for i, r := range test.records {
				if apart {
					records = append(records, rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(i)))
				}
				records = append(records, r)
			}
			rules := rulesOf(NewBuilder(), records)
			if want := strings.Fields(test.rule); strings.Join(rules, " ") != strings.Join(want, " ") {
				t.Errorf("%v, apart %t: rules %q, want %q", test.records, apart, rules, want)
			}
		}
		z := compile(t, NewBuilder(), basics(apex))
		if _, err := z.Apply(&Changeset{Add: test.records}); (err != nil) != (test.rule != "") {
			t.Errorf("Apply of %v: %v", test.records, err)
		}
	}
	for missing, rule := range []string{"no-soa", "no-ns"} {
		records := basics(apex)
		records = append(records[:missing:missing], records[missing+1:]...)
		if rules := rulesOf(NewBuilder(), records); len(rules) != 1 || rules[0] != rule {
			t.Errorf("without its record %d: rules %q, want %q", missing, rules, rule)
		}
		z := compile(t, NewBuilder(), basics(apex))
		if _, err := z.Apply(&Changeset{Del: basics(apex)[missing : missing+1]}); err == nil {
			t.Errorf("Apply takes away record %d", missing)
		}
	}
}

// rulesOf lists what rules records break: what is refused, at Add or at Finish.
func rulesOf(b *Builder, records []wire.RR) (rules []string) {
	note := func(p *Problem) {
		if p != nil && !p.Warning {
			rules = append(rules, p.Rule)
		}
	}
	for i := range records {
		note(b.Add(&records[i]))
	}
	z, problems := b.Finish()
	for _, p := range problems {
		note(p)
	}
	if z == nil && len(rules) == 0 {
		rules = append(rules, "no zone, and nothing said")
	}
	return rules
}

// TestLongSetForgets: a record that went out of a long set, whose keys are
// kept, can come again.
func TestLongSetForgets(t *testing.T) {
	var d draft
	record := func(i int) *wire.RR {
		r := rr("", wire.TypeA, 60, address(i))
		return &r
	}
	for i := range 100 {
		if p := d.add(record(i), true); p != nil {
			t.Fatal(p)
		}
	}
	if d.sets[0].seen == nil {
		t.Fatal("the keys of a set of 100 are not kept")
	}
	for i := range 100 {
		if p := d.add(record(i), true); p != duplicate {
			t.Fatalf("record %d twice: %v", i, p)
		}
		if i%2 == 0 {
			if !d.del(record(i)) || d.del(record(i)) {
				t.Fatalf("record %d cannot go, or twice", i)
			}
			if p := d.add(record(i), true); p != nil {
				t.Fatalf("record %d cannot come again: %v", i, p)
			}
		}
	}
	if d.sets[0].count != 100 || len(d.sets[0].records) != 600 {
		t.Errorf("%d records in %d octets", d.sets[0].count, len(d.sets[0].records))
	}
}

// TestEarlyRecords: those before the SOA are kept until it comes, but not
// without end, and what is wrong with them is told with their owner.
func TestEarlyRecords(t *testing.T) {
	apex := name("example")
	b := NewBuilder()
	for i := range maxEarly {
		r := rr(string(appendHost(nil, i, apex)), wire.TypeA, 60, address(i))
		if p := b.Add(&r); p != nil || b.Apex() != nil {
			t.Fatal(p)
		}
	}
	r := rr(apex, wire.TypeA, 60, address(1))
	if p := b.Add(&r); p == nil || p.Rule != "no-soa" {
		t.Fatalf("one too many before the SOA: %v", p)
	}
	for _, r := range basics(apex) {
		if p := b.Add(&r); p != nil {
			t.Fatal(p)
		}
	}
	if z, problems := b.Finish(); z == nil || z.Records() != maxEarly+2 {
		t.Fatal(problems)
	}

	b.Reset(0)
	r = rr(name("elsewhere"), wire.TypeA, 60, address(1))
	b.Add(&r)
	r = basics(apex)[0]
	if p := b.Add(&r); p == nil || p.Rule != "out-of-zone" || !strings.Contains(p.Error(), "elsewhere.") {
		t.Errorf("a record of another zone before the SOA: %v", p)
	}
}

// TestRefusedAside: what comes of a name that was left, and is refused, is told
// at once, and leaves no trace.
func TestRefusedAside(t *testing.T) {
	apex, a := name("example"), name("a", "example")
	b := NewBuilder()
	add := func(r wire.RR) *Problem { return b.Add(&r) }
	for _, r := range append(basics(apex), rr(a, wire.TypeA, 60, address(1)), rr(apex, wire.TypeA, 60, address(1))) {
		if p := add(r); p != nil {
			t.Fatal(p)
		}
	}
	if p := add(rr(a, wire.TypeCNAME, 60, apex)); p != cnameConflict {
		t.Errorf("a CNAME: %v", p)
	}
	if p := add(rr(a, wire.TypeTXT, 60, strings.Repeat("x", 65_534))); p != setTooLong {
		t.Errorf("a record of 65534 octets: %v", p)
	}
	if p := add(rr(a, wire.TypeA, 60, address(2))); p != nil {
		t.Errorf("an address after what was refused: %v", p)
	}
	z, problems := b.Finish()
	if z == nil || len(problems) > 0 || z.Records() != 5 {
		t.Fatal(problems)
	}
}
