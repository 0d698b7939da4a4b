package syncing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// nsupdate of BIND and of Knot, unchanged: additions, prerequisites, removals,
// over UDP and TCP; what each says, and what the zone holds afterwards.
func TestNsupdate(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	m := newModel(r, "farm.example.")
	s := n.geodns(1, setup{zones: map[string]string{"farm.example": m.text(1)}, notify: []int{bindHost}, more: takesUpdates})
	second := n.peer(harness.BIND, bindHost, role{zones: map[string]string{"farm.example": ""}, primary: 1})
	head := fmt.Sprintf("server %s %d\nzone farm.example.\nkey hmac-sha256:%s %s\n", s.addr(), n.port, updName, updKey)
	steps := []struct {
		lines string
		fails string // what is printed; "": it is done
		does  []step
	}{
		{"update add n1.farm.example. 60 A 192.0.2.1\nupdate add n1.farm.example. 60 A 192.0.2.2\n", "", []step{
			{add, m.record("n1 60 A 192.0.2.1")}, {add, m.record("n1 60 A 192.0.2.2")},
		}},
		{"prereq nxdomain n1.farm.example.\nupdate add n1.farm.example. 60 A 192.0.2.3\n", "YXDOMAIN", nil},
		{"prereq yxdomain n2.farm.example.\nupdate add n2.farm.example. 60 A 192.0.2.3\n", "NXDOMAIN", nil},
		{"prereq yxrrset n1.farm.example. A 192.0.2.1\nupdate add n2.farm.example. 60 A 192.0.2.3\n", "NXRRSET", nil},
		{"prereq nxrrset n1.farm.example. A\nupdate add n2.farm.example. 60 A 192.0.2.3\n", "YXRRSET", nil},
		{"prereq yxrrset n1.farm.example. A 192.0.2.2\nprereq yxrrset n1.farm.example. A 192.0.2.1\nupdate del n1.farm.example. A 192.0.2.1\n", "", []step{
			{drop, m.record("n1 60 A 192.0.2.1")},
		}},
		// RFC 2136 3.4.2.2: no CNAME beside other data, and the other way round; no error.
		{"update add n1.farm.example. 60 CNAME www.farm.example.\n", "", nil},
		{"update add n3.farm.example. 60 CNAME www.farm.example.\nupdate add n3.farm.example. 60 A 192.0.2.1\n", "", []step{
			{add, m.record("n3 60 CNAME www")},
		}},
		// 3.4.2.4: the last NS of the zone stays, and so does its SOA.
		{"update del farm.example. NS\nupdate del farm.example. SOA\n", "", nil},
		{"update add elsewhere.test. 60 A 192.0.2.1\n", "NOTZONE", nil},
		{"update del n1.farm.example.\nupdate del n3.farm.example. CNAME\n", "", []step{
			{dropName, m.record("n1 60 A 192.0.2.1")}, {dropName, m.record("n3 60 A 192.0.2.1")},
		}},
	}
	for _, client := range [][]string{{"nsupdate"}, {"nsupdate", "-v"}, {"knsupdate"}, {"knsupdate", "-v"}} {
		for _, step := range steps {
			out, err := try(t, n.dir, head+step.lines+"send\nanswer\nquit\n", client[0], client[1:]...)
			switch {
			case step.fails == "" && (err != nil || strings.Contains(out, "failed")):
				t.Errorf("%s: %v: %s\n%s", client, err, out, step.lines)
			case !strings.Contains(out, step.fails):
				t.Errorf("%s says this, and not %s:\n%s\n%s", client, step.fails, out, step.lines)
			}
			for _, d := range step.does {
				m.do(d)
			}
			if c := has(t, s, m.zone, m.content()); c == nil || t.Failed() {
				t.Fatalf("after %s with\n%s%s", client, step.lines, out)
			}
		}
	}
	serial := serialOf(s.at(), m.zone)
	reaches(t, second, m.zone, serial)
	has(t, second, m.zone, m.content())
}

// The wire habits of ExternalDNS, cert-manager, octoDNS, dnscontrol and Terraform:
// a zone read by AXFR, many changes in one message, signed ordinary questions,
// SOA questions on the way from the name to the zone, updates over UDP, NS at the
// apex.
func TestClientsHabits(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	m := newModel(r, "farm.example.")
	s := n.geodns(1, setup{zones: map[string]string{"farm.example": m.text(1)}, more: takesUpdates})

	// lego and cert-manager look for the zone of a name by its SOA.
	name := "_acme-challenge.very.deep.name.farm.example."
	for at := name; at != m.zone; at = at[strings.IndexByte(at, '.')+1:] {
		a := asked(t, s, "udp", at, dns.TypeSOA, false)
		if len(a.Answer) != 0 || len(a.Ns) != 1 || a.Ns[0].Header().Name != m.zone || a.Ns[0].Header().Rrtype != dns.TypeSOA {
			t.Errorf("the SOA question for %s is answered with\n%v", at, a)
		}
	}
	if a := asked(t, s, "udp", m.zone, dns.TypeSOA, true); a.IsTsig() == nil || len(a.Answer) != 1 {
		t.Errorf("a signed question for the SOA is answered with\n%v", a)
	}
	// An ACME challenge comes and goes, by UDP; the answer is there at once.
	challenge := step{add, m.record("_acme-challenge.very.deep.name 120 TXT token")}
	for _, kind := range []int{add, drop} {
		if rcode, err := send(s.at(), "udp", update(m.zone, []step{{kind, challenge.rr}})); err != nil || rcode != dns.RcodeSuccess {
			t.Fatalf("over UDP: %d, %v", rcode, err)
		}
		if a := asked(t, s, "udp", name, dns.TypeTXT, true); len(a.Answer) != 1-kind {
			t.Errorf("%d times TXT after the update:\n%v", len(a.Answer), a)
		}
	}
	// 1,000 changes in one message, and another 1,000 that undo them: one serial each.
	before := serialOf(s.at(), m.zone)
	for _, kind := range []int{add, drop} {
		var steps []step
		for i := range 1000 {
			steps = append(steps, step{kind, m.record(fmt.Sprintf("bulk%d 60 A 192.0.2.%d", i, i%250))})
		}
		sent(t, s, update(m.zone, steps))
		if kind == add {
			if c, err := axfr(s.at(), m.zone); err != nil || len(c.records) != len(m.content())+1000 {
				t.Errorf("after 1,000 additions: %v", err)
			}
		}
	}
	if after := serialOf(s.at(), m.zone); after != before+2 {
		t.Errorf("two messages took the serial from %d to %d", before, after)
	}
	// Terraform and dnscontrol manage the NS of the apex, too.
	ns := step{add, m.record("@ 300 NS ns2.example.net.")}
	sent(t, s, update(m.zone, []step{ns}))
	m.do(ns)
	has(t, s, m.zone, m.content())
	ns.kind = drop
	sent(t, s, update(m.zone, []step{ns}))
	m.do(ns)
	has(t, s, m.zone, m.content())
	// dnscontrol replaces an RRset in one message, by TCP.
	replace := []step{{dropSet, m.record("www 60 A 192.0.2.10")}, {add, m.record("www 60 A 192.0.2.99")}, {add, m.record("www 60 A 198.51.100.99")}}
	sent(t, s, update(m.zone, replace))
	for _, step := range replace {
		m.do(step)
	}
	has(t, s, m.zone, m.content())
}

// asked asks an ordinary question, signed or not.
func asked(t *testing.T, s *server, network, name string, typ uint16, signed bool) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	client := &dns.Client{Net: network, Timeout: 5 * time.Second, TsigSecret: secrets}
	if signed {
		m.SetTsig(updName, dns.HmacSHA256, 300, time.Now().Unix())
	}
	r, _, err := client.Exchange(m, s.at())
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.Type(typ), err)
	}
	return r
}
