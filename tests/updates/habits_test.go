package updates

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// update is an empty update of the zone.
func update() *dns.Msg { return new(dns.Msg).SetUpdate(apex) }

// sent sends an update, which has to be done.
func (s *server) sent(k key, network string, m *dns.Msg) {
	s.t.Helper()
	if r := s.signed(k, network, m); r.Rcode != dns.RcodeSuccess {
		s.t.Fatalf("%s for\n%s", dns.RcodeToString[r.Rcode], m)
	}
}

// ExternalDNS (provider rfc2136) reads the zone by a signed AXFR, all of it in
// its types; then sends a message of its own over UDP for each name and type. What
// it made, it knows by a TXT record beside it; a changed name is taken away by its
// old values, in one message, and added in the next one.
func TestExternalDNS(t *testing.T) {
	t.Parallel()
	s := start(t)
	zone := s.axfr(boss, apex)
	if !zone.records[fullOf("www 300 A 192.0.2.10")] || !zone.records[fullOf("www 300 A 198.51.100.10")] {
		t.Errorf("a steered name is not transferred as it is stored: %v", zone.records)
	}
	app := []string{"app 60 A 203.0.113.1", "app 60 A 203.0.113.2"}
	owner := []string{`a-app 60 TXT "heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/web/app"`}
	for _, lines := range [][]string{app, owner} {
		m := update()
		m.Insert(records(t, lines...))
		s.sent(boss, "udp", m)
		zone = s.expect(zone, zone.serial+1, nil, lines)
	}
	moved := []string{"app 120 A 203.0.113.3"}
	m := update()
	m.Remove(records(t, "app 0 A 203.0.113.1", "app 0 A 203.0.113.2")) // the TTL is not looked at (RFC 2136 2.5.4)
	s.sent(boss, "udp", m)
	zone = s.expect(zone, zone.serial+1, app, nil)
	m = update()
	m.Insert(records(t, moved...))
	s.sent(boss, "udp", m)
	zone = s.expect(zone, zone.serial+1, nil, moved)
	for _, lines := range [][]string{moved, owner} {
		m := update()
		m.Remove(records(t, lines...))
		s.sent(boss, "udp", m)
		zone = s.expect(zone, zone.serial+1, lines, nil)
	}
}

// cert-manager (and lego, from which it came) finds the zone by asking for the SOA
// of each level, from the root down or from the name up: the zone is where the
// answer has one. Names above and beside have to be refused, or denied, without
// one; then comes an update that adds the token, and one that takes away that one.
func TestCertManager(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.axfr(boss, apex)
	challenge := "_acme-challenge.shop.eu.zone.example."
	var found []string
	for labels := dns.CountLabel(challenge); labels >= 0; labels-- {
		at := "."
		if labels > 0 {
			at = challenge[dns.Split(challenge)[dns.CountLabel(challenge)-labels]:]
		}
		r := s.ask(at, dns.TypeSOA)
		if len(data(r, dns.TypeSOA)) > 0 {
			found = append(found, at)
		}
		inside := strings.HasSuffix(at, "."+apex)
		switch {
		case at == apex && (r.Rcode != dns.RcodeSuccess || !r.Authoritative):
			t.Errorf("the SOA of %s: %v", at, r)
		case inside && (r.Rcode != dns.RcodeNameError || len(r.Ns) != 1 || r.Ns[0].Header().Name != apex):
			t.Errorf("the SOA of %s: %v", at, r)
		case at != apex && !inside && r.Rcode != dns.RcodeRefused:
			t.Errorf("the SOA of %s, which is not served: %v", at, r)
		}
	}
	if !slices.Equal(found, []string{apex}) {
		t.Fatalf("the zone of %s is found at %q", challenge, found)
	}
	for i, network := range []string{"udp", "tcp"} {
		token := fmt.Sprintf(`_acme-challenge.shop.eu 60 TXT "token%d"`, i)
		m := update()
		m.Insert(records(t, token))
		s.sent(certs, network, m)
		if r := s.ask(challenge, dns.TypeTXT); !slices.Equal(data(r, dns.TypeTXT), []string{fmt.Sprintf(`"token%d"`, i)}) {
			t.Errorf("the token is not there: %v", r)
		}
		m = update()
		m.Remove(records(t, token))
		s.sent(certs, network, m)
		if r := s.ask(challenge, dns.TypeTXT); r.Rcode != dns.RcodeNameError {
			t.Errorf("the token is still there: %v", r)
		}
	}
	s.expect(before, before.serial+4, nil, nil)
}

// octoDNS (octodns-bind) reads the zone by AXFR, and sends one message over TCP
// with all that differs: first what goes, record by record, then what comes.
func TestOctoDNS(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.axfr(boss, apex)
	const many = 400
	var old, young []string
	for i := range many {
		old = append(old, fmt.Sprintf("h%d 300 A 192.0.2.%d", i, 1+i%250))
		young = append(young, fmt.Sprintf("h%d 600 A 203.0.113.%d", i+many/2, 1+i%250)) // half of the names are others
	}
	m := update()
	m.Insert(records(t, old...))
	s.sent(boss, "tcp", m)
	zone := s.expect(before, before.serial+1, nil, old)
	m = update()
	m.Remove(records(t, old...))
	m.Insert(records(t, young...))
	s.sent(boss, "tcp", m)
	zone = s.expect(zone, zone.serial+1, old, young)
	m = update()
	m.Remove(records(t, young...))
	s.sent(boss, "tcp", m)
	s.expect(before, zone.serial+1, nil, nil)
}

// dnscontrol (axfrddns) reads by a signed AXFR and sends one message over TCP, in
// which a CNAME comes after the deletion of its name; with changed NS records, one
// of a name that does not exist is added first and taken away last, so that none
// of the others is the last one (RFC 2136 3.4.2.4). Beside it, what others do who
// are careful: prerequisites that nobody has changed the records meanwhile.
func TestDNSControl(t *testing.T) {
	t.Parallel()
	s := start(t)
	zone := s.axfr(boss, apex)
	m := update()
	m.Insert(records(t, "@ 3600 NS dnscontrol.invalid."))
	m.Remove(records(t, "@ 300 NS ns1.zone.example.", "@ 300 NS ns2.zone.example."))
	m.Insert(records(t, "@ 600 NS ns1.zone.example.", "@ 600 NS ns3.zone.example.", "ns3 600 A 127.0.0.1"))
	m.RemoveName(records(t, "old 0 CNAME www.zone.example."))
	m.Insert(records(t, "old 600 CNAME www.zone.example."))
	m.Remove(records(t, "@ 3600 NS dnscontrol.invalid."))
	s.sent(boss, "tcp", m)
	less := []string{
		"@ 300 NS ns1.zone.example.", "@ 300 NS ns2.zone.example.",
		"old 300 A 192.0.2.1", "old 300 A 192.0.2.2", `old 300 TXT "to be deleted"`,
	}
	more := []string{"@ 600 NS ns1.zone.example.", "@ 600 NS ns3.zone.example.", "ns3 600 A 127.0.0.1", "old 600 CNAME www.zone.example."}
	zone = s.expect(zone, zone.serial+1, less, more)

	// RFC 2136 2.4.2: the whole RRset is as it was read. The same message a second
	// time finds that it isn't.
	m = update()
	m.Used(records(t, "mail 0 A 192.0.2.25"))
	m.RRsetNotUsed(records(t, "mail 0 AAAA ::"))
	m.RemoveRRset(records(t, "mail 0 A 192.0.2.25"))
	m.Insert(records(t, "mail 300 A 192.0.2.26"))
	s.sent(boss, "tcp", m.Copy())
	zone = s.expect(zone, zone.serial+1, []string{"mail 300 A 192.0.2.25"}, []string{"mail 300 A 192.0.2.26"})
	if r := s.signed(boss, "tcp", m); r.Rcode != dns.RcodeNXRrset {
		t.Errorf("an update whose prerequisites do not hold any more: %s", dns.RcodeToString[r.Rcode])
	}
	s.expect(zone, zone.serial, nil, nil)
}

// Terraform (provider dns) signs its ordinary questions too. It reads an RRset,
// changes it record by record over UDP, and reads it back, after which it must be
// what was wanted, at once and for a steered name too; the whole RRset is deleted
// by class ANY. To import a name it asks for the SOA from the name up. The NS
// records of a delegation it takes from the authority section.
func TestTerraform(t *testing.T) {
	t.Parallel()
	s := start(t)
	zone := s.axfr(boss, apex)
	read := func(name string, qtype uint16) *dns.Msg {
		t.Helper()
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.RecursionDesired = false
		return s.signed(boss, "udp", m)
	}
	if r := read("tf.zone.example.", dns.TypeA); r.Rcode != dns.RcodeNameError {
		t.Errorf("what is not there: %v", r)
	}
	for at, rcode := range map[string]int{"new.tf.zone.example.": dns.RcodeNameError, "old.zone.example.": dns.RcodeSuccess} {
		if r := read(at, dns.TypeSOA); r.Rcode != rcode || len(r.Answer) > 0 {
			t.Errorf("the SOA of %s: %v", at, r)
		}
	}
	if r := read(apex, dns.TypeSOA); len(data(r, dns.TypeSOA)) != 1 {
		t.Errorf("the SOA of the zone: %v", r)
	}
	for _, name := range []string{"tf", "www"} { // www is steered, and answers one address
		var had []string
		for line := range zone.records {
			if f := strings.Fields(line); f[0] == name+"."+apex {
				had = append(had, strings.Join(append([]string{name, f[1]}, f[3:]...), " "))
			}
		}
		wanted := []string{name + " 300 A 192.0.2.7", name + " 300 A 192.0.2.8", name + " 300 A 198.51.100.9"}
		m := update()
		m.Remove(records(t, had...))
		m.Insert(records(t, wanted...))
		s.sent(boss, "udp", m)
		r := read(name+"."+apex, dns.TypeA)
		if !slices.Equal(data(r, dns.TypeA), []string{"192.0.2.7", "192.0.2.8", "198.51.100.9"}) || r.Answer[0].Header().Ttl != 300 {
			t.Errorf("%s is read back as %v", name, r)
		}
		zone = s.expect(zone, zone.serial+1, had, wanted)
	}
	// A policy by place without a record at any site is none: nothing is done.
	lost := update()
	lost.RemoveRRset(records(t, "www 0 A 192.0.2.0"))
	lost.Insert(records(t, "www 300 A 203.0.113.7", "tf 300 A 192.0.2.77"))
	if r := s.signed(boss, "udp", lost); r.Rcode != dns.RcodeRefused {
		t.Errorf("an update that makes the steering invalid: %s", dns.RcodeToString[r.Rcode])
	}
	s.expect(zone, zone.serial, nil, nil)
	delegation := []string{"sub 3600 NS ns.elsewhere.test.", "sub 3600 NS ns.other.test."}
	m := update()
	m.Insert(records(t, delegation...))
	s.sent(boss, "udp", m)
	if r := read("sub."+apex, dns.TypeNS); len(r.Ns) != 2 || len(r.Answer) > 0 || r.Ns[0].Header().Rrtype != dns.TypeNS {
		t.Errorf("the delegation is read back as %v", r)
	}
	m = update()
	m.RemoveRRset(records(t, "sub 0 NS ."))
	m.RemoveRRset(records(t, "tf 0 A 192.0.2.0"))
	s.sent(boss, "udp", m)
	s.expect(zone, zone.serial+2, []string{"tf 300 A 192.0.2.7", "tf 300 A 192.0.2.8", "tf 300 A 198.51.100.9"}, nil)
}

// An NS record of the zone's own name comes and goes, with its address: the
// answers for NS follow, and who is not granted NS by name may not do it.
func TestApexNS(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.axfr(boss, apex)
	more := []string{"@ 300 NS ns9.zone.example.", "ns9 300 A 127.0.0.1"}
	add, remove := update(), update()
	add.Insert(records(t, more...))
	remove.Remove(records(t, more...))
	names := func(want ...string) {
		t.Helper()
		if got := data(s.ask(apex, dns.TypeNS), dns.TypeNS); !slices.Equal(got, want) {
			t.Errorf("the name servers are %q, not %q", got, want)
		}
	}
	if r := s.signed(certs, "udp", add.Copy()); r.Rcode != dns.RcodeRefused {
		t.Errorf("NS by a key of TXT: %s", dns.RcodeToString[r.Rcode])
	}
	s.sent(boss, "udp", add)
	names("ns1.zone.example.", "ns2.zone.example.", "ns9.zone.example.")
	zone := s.expect(before, before.serial+1, nil, more)
	s.sent(boss, "udp", remove)
	names("ns1.zone.example.", "ns2.zone.example.")
	zone = s.expect(zone, zone.serial+1, more, nil)

	// RFC 2136 3.4.2.3: deleting all NS records of the apex at once is passed over,
	// as is deleting its SOA; the other records of the apex go.
	m := update()
	m.RemoveRRset(records(t, "@ 0 NS ."))
	m.RemoveRRset(records(t, "@ 0 MX 0 ."))
	s.sent(boss, "udp", m)
	names("ns1.zone.example.", "ns2.zone.example.")
	s.expect(zone, zone.serial+1, []string{"@ 300 MX 10 mail.zone.example."}, nil)
}
