package resolver_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/health"
	"geodns/internal/resolver"
)

// Where a writer is looked for, none is known and none was, there is nothing that
// may be kept: SERVFAIL, whatever alias led there, and nothing beside an answer.
func TestNoWriter(t *testing.T) {
	z := parsed(t, "example.", `w._check TXT "v=check1; type=mysql; use=db; role=writable"
db A 10.0.0.1
db A 10.0.0.2
alias CNAME db
_x._tcp SRV 1 1 3306 db
db._steer TXT "v=steer1; policy=failover; order=10.0.0.1,10.0.0.2; check=w"
`)
	p := newSteeredPath(t, z, steeredWorld(t, 10))
	says := func(one, two health.State) {
		p.judge(func(addr string) health.State {
			return map[string]health.State{"10.0.0.1": one, "10.0.0.2": two}[addr]
		})
	}
	for _, tt := range []struct {
		one, two health.State
		name     string
		typ      uint16
		want     string
		outcome  resolver.Outcome
		ede      int
	}{
		{health.Down, health.Unknown, "db.example.", dns.TypeA, "SERVFAIL 0 0 0", resolver.NoWriter, int(dns.ExtendedErrorCodeInvalidData)},
		{health.Down, health.Down, "alias.example.", dns.TypeA, "SERVFAIL 0 0 0", resolver.NoWriter, int(dns.ExtendedErrorCodeInvalidData)},
		{health.Down, health.Down, "db.example.", dns.TypeTXT, "NOERROR aa 0 1 0", resolver.NoData, -1},
		{health.Down, health.Down, "db.example.", dns.TypeAAAA, "NOERROR aa 0 1 0", resolver.NoData, -1},
		{health.Down, health.Down, "_x._tcp.example.", dns.TypeSRV, "NOERROR aa 1 0 0", resolver.Answered, -1},
		{health.Unknown, health.Down, "db.example.", dns.TypeA, "NOERROR aa 1 0 0", resolver.Answered, -1},
		{health.Up, health.Up, "db.example.", dns.TypeA, "NOERROR aa 1 0 0", resolver.Answered, -1},
	} {
		says(tt.one, tt.two)
		r, _ := p.ask(t, question(tt.name, tt.typ, dns.ClassINET, 1232, false), resolver.Asked{})
		if got := summary(r); got != tt.want || p.outcome != tt.outcome || extended(r) != tt.ede {
			t.Errorf("%s %s, %v, %v: %s, %s, error %d; want %s, %s, %d", tt.name, dns.TypeToString[tt.typ], tt.one, tt.two, got, p.outcome, extended(r), tt.want, tt.outcome, tt.ede)
		}
		if len(r.Answer) == 1 && tt.typ == dns.TypeA && !strings.HasSuffix(r.Answer[0].String(), "10.0.0.1") {
			t.Errorf("%v is answered, want the first step", r.Answer)
		}
	}
}
