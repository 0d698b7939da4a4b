package syncing

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

const other = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=" // a secret that nobody has

// signed is a message of a client whose key, secret or clock may be wrong.
type signed struct {
	name, key, secret string
	late              time.Duration
	rcode, tsig       int // of the answer
}

var signers = []signed{
	{name: "right", key: keyName, secret: secret},
	{name: "none", rcode: dns.RcodeRefused},
	{name: "wrong secret", key: keyName, secret: other, rcode: dns.RcodeNotAuth, tsig: dns.RcodeBadSig},
	{name: "wrong name", key: "nobody.example.", secret: secret, rcode: dns.RcodeNotAuth, tsig: dns.RcodeBadKey},
	{name: "too late", key: keyName, secret: secret, late: -time.Hour, rcode: dns.RcodeNotAuth, tsig: dns.RcodeBadTime},
	{name: "too early", key: keyName, secret: secret, late: time.Hour, rcode: dns.RcodeNotAuth, tsig: dns.RcodeBadTime},
	{name: "a key for something else", key: updName, secret: updKey, rcode: dns.RcodeRefused},
}

// exchange sends a message over TCP, and returns the first message of the answer
// and what its TSIG says. The answer's own signature is not looked at.
func exchange(t *testing.T, at string, m *dns.Msg, by signed) (rcode, tsig int) {
	t.Helper()
	conn, err := dns.DialTimeout("tcp", at, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if by.key != "" {
		m.SetTsig(by.key, dns.HmacSHA256, 300, time.Now().Add(by.late).Unix())
		conn.TsigSecret = map[string]string{by.key: by.secret}
	}
	if err := conn.WriteMsg(m); err != nil {
		t.Fatal(err)
	}
	r, err := conn.ReadMsg()
	if r == nil {
		t.Fatalf("%s: no answer: %v", by.name, err)
	}
	if by.rcode == 0 && err != nil {
		t.Errorf("%s: the answer's signature: %v", by.name, err)
	}
	if s := r.IsTsig(); s != nil {
		tsig = int(s.Error)
		// RFC 8945 5.2.3: signed, with the server's time, so that the client can tell.
		if by.tsig == dns.RcodeBadTime && (s.MACSize == 0 || s.OtherLen != 6) {
			t.Errorf("%s: BADTIME is not signed, or is without the server's time: %v", by.name, s)
		}
		if (by.tsig == dns.RcodeBadSig || by.tsig == dns.RcodeBadKey) && s.MACSize != 0 {
			t.Errorf("%s: the answer is signed: %v", by.name, s)
		}
	}
	if by.rcode != 0 && len(r.Answer) > 0 {
		t.Errorf("%s: the answer tells something:\n%v", by.name, r)
	}
	return r.Rcode, tsig
}

// AXFR, IXFR, UPDATE and NOTIFY by right, wrong and no signatures.
func TestSignatures(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	m := newModel(r, "farm.example.")
	main := n.geodns(1, setup{zones: map[string]string{"farm.example": m.text(1)}, more: takesUpdates})
	second := n.geodns(2, setup{secondary: map[string][]int{m.zone: {1}}})
	reaches(t, second, m.zone, 1)
	kinds := map[string]func() *dns.Msg{
		"AXFR":   func() *dns.Msg { return new(dns.Msg).SetAxfr(m.zone) },
		"IXFR":   func() *dns.Msg { return new(dns.Msg).SetIxfr(m.zone, 0, "ns1."+m.zone, "h."+m.zone) },
		"UPDATE": func() *dns.Msg { return update(m.zone, []step{{add, m.record("new 300 A 192.0.2.1")}}) },
	}
	for kind, make := range kinds {
		for _, by := range signers {
			if kind == "UPDATE" {
				// The keys change places.
				switch by.key {
				case keyName:
					if by.secret == secret {
						by.secret = updKey
					}
					by.key = updName
				case updName:
					by.key, by.secret = keyName, secret
				}
			}
			rcode, tsig := exchange(t, main.at(), make(), by)
			if rcode != by.rcode || tsig != by.tsig {
				t.Errorf("%s, %s: %s/%s, want %s/%s", kind, by.name, dns.RcodeToString[rcode], dns.RcodeToString[tsig], dns.RcodeToString[by.rcode], dns.RcodeToString[by.tsig])
			}
		}
	}
	m.do(step{add, m.record("new 300 A 192.0.2.1")})
	has(t, main, m.zone, m.content())
	if serial := serialOf(main.at(), m.zone); serial != 2 {
		t.Errorf("after one update that was right, the serial is %d", serial)
	}
	notifies(t, n, m.zone, second)
}

// notifies: NOTIFY is taken from the primary's address, and refused from others.
func notifies(t *testing.T, n *network, zone string, second *server) {
	t.Helper()
	m := new(dns.Msg).SetNotify(zone)
	if rcode, _ := exchange(t, second.at(), m, signed{name: "NOTIFY of a stranger", rcode: dns.RcodeRefused}); rcode != dns.RcodeRefused {
		t.Errorf("NOTIFY of a stranger was answered with %s", dns.RcodeToString[rcode])
	}
	m = new(dns.Msg).SetNotify(zone)
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	client := &dns.Client{Timeout: 5 * time.Second, TsigSecret: secrets, Dialer: dialFrom(n.addr(1))}
	r, _, err := client.Exchange(m, second.at())
	if err != nil || r.Rcode != dns.RcodeSuccess || r.Opcode != dns.OpcodeNotify || !r.Authoritative || len(r.Question) != 1 {
		t.Errorf("NOTIFY of the primary: %v\n%v", err, r)
	}
	m = new(dns.Msg).SetNotify(zone)
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	client.TsigSecret = map[string]string{keyName: other}
	r, _, err = client.Exchange(m, second.at())
	if r == nil || r.Rcode != dns.RcodeNotAuth {
		t.Errorf("NOTIFY with a wrong secret: %v\n%v", err, r)
	}
}

// A geodns whose secret is wrong gets nothing, says so, and gets the zone once the
// secret has been set right; a peer with a wrong secret gets nothing from geodns.
func TestWrongSecretBetweenServers(t *testing.T) {
	t.Parallel()
	for host, kind := range []harness.Kind{bindHost: harness.BIND, 1: harness.NSD, 2: harness.Knot} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			n, r := newNetwork(t), random(t)
			m := newModel(r, "example.org.")
			own := newModel(r, "own.example.")
			n.peer(kind, host, role{zones: map[string]string{"example.org": m.text(7), "own.example": ""}, tell: []int{5}, primary: 5})
			s := setup{
				zones: map[string]string{"own.example": own.text(3)}, secondary: map[string][]int{"example.org": {host}},
				notify: []int{host}, key: other,
			}
			g := n.geodns(5, s)
			until(t, "geodns says that the key is wrong", func() bool {
				for line := range lines(t, g) {
					text := fmt.Sprint(line["error"], line["msg"])
					if line["zone"] == m.zone && line["level"] != "INFO" && (strings.Contains(text, "BADSIG") || strings.Contains(text, "NOTAUTH")) {
						return true
					}
				}
				return false
			}, g.log)
			if rcode, err := rcodeOf(g.at(), m.zone); err != nil || rcode != dns.RcodeServerFailure {
				t.Errorf("a zone that has not come is answered with %s, %v", dns.RcodeToString[rcode], err)
			}
			if rcode, err := rcodeOf(n.at(host), own.zone); err != nil || rcode == dns.RcodeSuccess {
				t.Errorf("%s got the zone with a wrong secret: %s, %v", kind, dns.RcodeToString[rcode], err)
			}
			s.key = ""
			n.configure(5, s)
			g.signal(syscall.SIGHUP)
			reaches(t, g, m.zone, 7)
			has(t, g, m.zone, m.content())
			g.control("zone", "status", m.zone)
		})
	}
}

func rcodeOf(at, zone string) (int, error) {
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(new(dns.Msg).SetQuestion(zone, dns.TypeSOA), at)
	if r == nil {
		return 0, errors.Join(errors.New("no answer"), err)
	}
	return r.Rcode, err
}
