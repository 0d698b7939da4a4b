package resolver_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/resolver"
	"geodns/internal/world"
)

// versioned asks for the version of the zone as well (RFC 9660).
func versioned(m *dns.Msg) *dns.Msg {
	if m.IsEdns0() == nil {
		m.SetEdns0(1232, false)
	}
	o := m.IsEdns0()
	o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0ZONEVERSION})
	return m
}

// version is what a reply says: the count of labels, the type and the serial; empty
// if it has no such option.
func version(t *testing.T, m *dns.Msg) (found string) {
	t.Helper()
	if m.IsEdns0() == nil {
		return ""
	}
	for _, o := range m.IsEdns0().Option {
		if v, ok := o.(*dns.EDNS0_ZONEVERSION); ok {
			if found != "" || len(v.Version) != 4 {
				t.Errorf("%+v", m.IsEdns0().Option)
				continue
			}
			found = fmt.Sprintf("%d %d %d", v.LabelCount, v.Type, binary.BigEndian.Uint32([]byte(v.Version)))
		}
	}
	return found
}

// atSerial gives a zone another serial.
func atSerial(serial uint32, z *plainZone) *plainZone {
	for _, rr := range z.rrs {
		if soa, ok := rr.(*dns.SOA); ok {
			soa.Serial = serial
		}
	}
	return z
}

// TestZoneVersion: the serial of the zone that answers, and how many labels of the
// question's name are that zone's, whatever the answer is.
func TestZoneVersion(t *testing.T) {
	p := newPath(t,
		atSerial(1<<32-1, parsed(t, "example.", "www A 192.0.2.1\nto CNAME www.a.b.example.\nout CNAME www.invalid.\nold DNAME new\nsub NS ns.sub\nns.sub A 192.0.2.2\n*.wild A 192.0.2.3\na.b NS ns.invalid.\na.b DS 1 13 2 "+fmt.Sprintf("%064d", 0)+"\n")),
		atSerial(7, parsed(t, "a.b.example.", "www A 192.0.2.4\n")),
	)
	// One that is known and can't be served now.
	p.world.Zones = p.world.Zones.With(world.Change{Put: []*world.Served{world.Vacant([]byte("\x07waiting\x00"))}})
	tests := []struct {
		name string
		typ  uint16
		want string
	}{
		{"www.example.", dns.TypeA, "1 0 4294967295"},
		{"www.example.", dns.TypeMX, "1 0 4294967295"},
		{"no.example.", dns.TypeA, "1 0 4294967295"},
		{"example.", dns.TypeSOA, "1 0 4294967295"},
		{"x.wild.example.", dns.TypeA, "1 0 4294967295"},
		{"x.old.example.", dns.TypeA, "1 0 4294967295"},
		{"x.sub.example.", dns.TypeA, "1 0 4294967295"}, // a referral
		{"out.example.", dns.TypeA, "1 0 4294967295"},
		{"to.example.", dns.TypeA, "1 0 4294967295"}, // not the target's
		{"www.a.b.example.", dns.TypeA, "3 0 7"},
		{"a.b.example.", dns.TypeDS, "1 0 4294967295"}, // the parent's
		{"www.elsewhere.", dns.TypeA, ""},
		{"www.waiting.", dns.TypeA, ""},
		{"version.bind.", dns.TypeTXT, ""},
	}
	for _, tt := range tests {
		class := uint16(dns.ClassINET)
		if tt.typ == dns.TypeTXT {
			class = dns.ClassCHAOS
		}
		r, _ := p.ask(t, versioned(question(tt.name, tt.typ, class, 1232, false)), resolver.Asked{})
		if got := version(t, r); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.name, dns.TypeToString[tt.typ], got, tt.want)
		}
		// Who did not ask is not told; nor is what was told before still there.
		r, _ = p.ask(t, question(tt.name, tt.typ, class, 1232, false), resolver.Asked{})
		if got := version(t, r); got != "" {
			t.Errorf("%s %s: %q was not asked for", tt.name, dns.TypeToString[tt.typ], got)
		}
	}
	root := newPath(t, atSerial(3, parsed(t, ".", "")))
	r, _ := root.ask(t, versioned(question("www.example.", dns.TypeA, dns.ClassINET, 0, false)), resolver.Asked{})
	if got := version(t, r); got != "0 0 3" {
		t.Errorf("the root: %q", got)
	}
}
