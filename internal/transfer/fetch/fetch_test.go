package fetch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// TestAXFR: the zone comes whole, in whatever messages.
func TestAXFR(t *testing.T) {
	want := build(base(7))
	for _, size := range []int{1, 2, 100} {
		p := listen(t, func(c *conversation) {
			if c.isIXFR() || c.req.RecursionDesired || c.req.Question[0].Name != apexText {
				t.Errorf("asked for %v", c.req)
			}
			for part := range slices.Chunk(axfr(7), size) {
				_ = c.reply(part...)
			}
		})
		got, err := fetchFrom(p, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		equalZones(t, got.Zone, want)
		if got.Kind != KindAXFR || got.Serial != 7 || got.UpToDate || got.Changes != nil || got.Records != 7 {
			t.Errorf("%+v", got)
		}
		if messages := (7 + size - 1) / size; got.Messages != messages || got.Octets == 0 {
			t.Errorf("%d messages of %d octets, want %d messages", got.Messages, got.Octets, messages)
		}
	}
}

// TestAXFRWithoutQuestion: messages behind the first may lack it (RFC 5936
// 2.2.2).
func TestAXFRWithoutQuestion(t *testing.T) {
	p := listen(t, func(c *conversation) {
		all := axfr(7)
		_ = c.reply(all[:2]...)
		_ = c.replyWith(func(m *dns.Msg) { m.Question = nil }, all[2:]...)
	})
	got, err := fetchFrom(p, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	equalZones(t, got.Zone, build(base(7)))
}

// TestIXFR: the changes come, lead to the new version, and say what changed;
// the old one is as it was.
func TestIXFR(t *testing.T) {
	have := build(base(5))
	before := contents(have)
	all := slices.Concat([]dns.RR{soa(8)}, step(5), step(6), step(7), []dns.RR{soa(8)})
	for _, size := range []int{1, 3, 100} {
		p := listen(t, func(c *conversation) {
			if !c.isIXFR() || len(c.req.Ns) != 1 || c.req.Ns[0].(*dns.SOA).Serial != 5 {
				t.Errorf("asked for %v", c.req)
			}
			for part := range slices.Chunk(all, size) {
				_ = c.reply(part...)
			}
		})
		got, err := fetchFrom(p, have, Options{})
		if err != nil {
			t.Fatal(err)
		}
		equalZones(t, got.Zone, build(base(8)))
		if got.Kind != KindIXFR || got.Serial != 8 || len(got.Changes) != 3 || got.Fallback != nil {
			t.Errorf("%+v", got)
		}
		z := have
		for i, c := range got.Changes {
			if z, err = z.Apply(c); err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
		}
		equalZones(t, z, got.Zone)
	}
	if after := contents(have); len(after) != len(before) || have.Serial() != 5 {
		t.Errorf("the copy changed: %v", after)
	}
}

// TestIXFRCase: compression may change the case of names, of the SOA's too.
func TestIXFRCase(t *testing.T) {
	p := listen(t, func(c *conversation) {
		old := soa(5).(*dns.SOA)
		old.Ns, old.Mbox = "NS1.Example.", "HostMaster.example."
		del := rr("EXAMPLE. 300 IN NS ns2.eXample.")
		_ = c.reply(soa(6), old, del, soa(6), rr("example. 300 IN NS ns3.example."), soa(6))
	})
	got, err := fetchFrom(p, build(base(5)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != KindIXFR || got.Zone.Serial() != 6 {
		t.Errorf("%+v", got)
	}
}

// TestIXFRKnown: what comes and is there already is no harm, and no part of the
// change, unless it also goes.
func TestIXFRKnown(t *testing.T) {
	p := listen(t, func(c *conversation) {
		ns1 := rr("ns1.example. 300 IN A 192.0.2.53")
		_ = c.reply(soa(7), soa(5), soa(6), ns1, rr("x.example. 60 IN A 192.0.2.9"), soa(6), ns1, soa(7), ns1, soa(7))
	})
	have := build(base(5))
	got, err := fetchFrom(p, have, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != KindIXFR || len(got.Changes) != 2 || len(got.Changes[0].Add) != 2 || len(got.Changes[1].Add) != 2 {
		t.Errorf("%+v", got)
	}
	want := append(base(5), rr("x.example. 60 IN A 192.0.2.9"))
	want[0] = soa(7)
	equalZones(t, got.Zone, build(want))
}

// TestIXFRAnswers: what else an IXFR may be answered with, without asking again.
func TestIXFRAnswers(t *testing.T) {
	tests := []struct {
		name    string
		records []dns.RR
		kind    string
		serial  uint32
	}{
		{"whole zone", axfr(7), KindAXFR, 7},
		{"same serial", []dns.RR{soa(5)}, KindSOA, 5},
		{"older", []dns.RR{soa(4)}, KindSOA, 4},
		{"older by RFC 1982", []dns.RR{soa(5 + 1<<31)}, KindSOA, 5 + 1<<31},
		{"same serial, whole zone", axfr(5), KindSOA, 5},
	}
	for _, test := range tests {
		p := listen(t, func(c *conversation) { _ = c.reply(test.records...) })
		have := build(base(5))
		got, err := fetchFrom(p, have, Options{})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got.Kind != test.kind || got.Serial != test.serial || got.UpToDate != (test.kind == KindSOA) || p.asked.Load() != 1 {
			t.Errorf("%s: %+v, asked %d times", test.name, got, p.asked.Load())
		}
		if got.UpToDate && got.Zone != have {
			t.Errorf("%s: another zone", test.name)
		}
	}
}

// TestIXFRWraps: serials go round (RFC 1982).
func TestIXFRWraps(t *testing.T) {
	const last = 1<<32 - 1
	p := listen(t, func(c *conversation) {
		_ = c.reply(slices.Concat([]dns.RR{soa(0)}, step(last), []dns.RR{soa(0)})...)
	})
	got, err := fetchFrom(p, build(base(last)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != KindIXFR || got.Zone.Serial() != 0 {
		t.Errorf("%+v", got)
	}
}

// TestFallback: an IXFR that is refused, wrong or too large is followed by an
// AXFR.
func TestFallback(t *testing.T) {
	big := []dns.RR{soa(6), soa(5), soa(6)}
	for i := range 200 {
		big = append(big, rr("h"+string(rune('a'+i%26))+".example. 60 IN AAAA 2001:db8::"+big4(i)))
	}
	big = append(big, soa(6))
	tests := []struct {
		name  string
		cause Cause
		serve func(*conversation)
	}{
		{"NOTIMP", Denied, func(c *conversation) { _ = c.rcode(dns.RcodeNotImplemented) }},
		{"FORMERR", Denied, func(c *conversation) { _ = c.rcode(dns.RcodeFormatError) }},
		{"SERVFAIL", Denied, func(c *conversation) { _ = c.rcode(dns.RcodeServerFailure) }},
		{"closed", Unreachable, func(*conversation) {}},
		{"closed in the middle", Broken, func(c *conversation) { _ = c.reply(soa(6), soa(5)) }},
		{"a lone newer SOA", Stalled, func(c *conversation) { _ = c.reply(soa(6)); c.hang() }},
		{"another version", OutOfSync, func(c *conversation) {
			_ = c.reply(slices.Concat([]dns.RR{soa(6)}, step(4), step(5), []dns.RR{soa(6)})...)
		}},
		{"a gap", OutOfSync, func(c *conversation) {
			_ = c.reply(slices.Concat([]dns.RR{soa(8)}, step(5), step(7), []dns.RR{soa(8)})...)
		}},
		{"a record goes that isn't there", OutOfSync, func(c *conversation) {
			_ = c.reply(soa(6), soa(5), rr("nobody.example. 60 IN A 192.0.2.1"), soa(6), soa(6))
		}},
		{"a record comes twice", OutOfSync, func(c *conversation) {
			_ = c.reply(soa(6), soa(5), soa(6), rr("x.example. 300 IN A 192.0.2.1"), rr("x.example. 300 IN A 192.0.2.1"), soa(6))
		}},
		{"the SOA differs", OutOfSync, func(c *conversation) {
			other := soa(5).(*dns.SOA)
			other.Refresh++
			_ = c.reply(soa(6), other, soa(6), soa(6))
		}},
		{"out of zone", BadZone, func(c *conversation) {
			_ = c.reply(soa(6), soa(5), soa(6), rr("example.net. 60 IN A 192.0.2.1"), soa(6))
		}},
		{"breaks a rule", OutOfSync, func(c *conversation) {
			_ = c.reply(soa(6), soa(5), soa(6), rr("ns1.example. 60 IN CNAME example."), soa(6))
		}},
		{"round in circles", Broken, func(c *conversation) {
			for c.reply(slices.Concat([]dns.RR{soa(9)}, step(5), []dns.RR{soa(6), soa(5)}, step(5))...) == nil {
			}
		}},
		{"beyond the end", Broken, func(c *conversation) {
			_ = c.reply(slices.Concat([]dns.RR{soa(6)}, []dns.RR{soa(5), soa(7)}, []dns.RR{soa(7)})...)
		}},
		{"another final SOA", Broken, func(c *conversation) {
			_ = c.reply(slices.Concat([]dns.RR{soa(6)}, step(5), []dns.RR{soa(7)})...)
		}},
		{"behind the end", Broken, func(c *conversation) {
			_ = c.reply(slices.Concat([]dns.RR{soa(6)}, step(5), []dns.RR{soa(6), rr("x.example. 60 IN A 192.0.2.9")})...)
		}},
		{"too large", TooLarge, func(c *conversation) { _ = c.reply(big...) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := listen(t, func(c *conversation) {
				if c.isIXFR() {
					test.serve(c)
					return
				}
				_ = c.reply(axfr(6)...)
			})
			have := build(base(5))
			before := contents(have)
			got, err := fetchFrom(p, have, Options{Stall: 300 * time.Millisecond, MinRate: 1, MaxChanges: 4096})
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != KindAXFR || got.Fallback == nil || got.Changes != nil {
				t.Fatalf("%+v", got)
			}
			if CauseOf(got.Fallback) != test.cause {
				t.Errorf("the IXFR failed with cause %d, want %d: %v", CauseOf(got.Fallback), test.cause, got.Fallback)
			}
			equalZones(t, got.Zone, build(base(6)))
			equalZones(t, have, build(base(5)))
			if len(contents(have)) != len(before) {
				t.Error("the copy changed")
			}
		})
	}
}

func big4(i int) string {
	return string("0123456789abcdef"[i/16%16]) + string("0123456789abcdef"[i%16])
}

// TestFallbackFails: the error tells of both attempts.
func TestFallbackFails(t *testing.T) {
	p := listen(t, func(c *conversation) {
		if c.isIXFR() {
			_ = c.rcode(dns.RcodeNotImplemented)
			return
		}
		_ = c.rcode(dns.RcodeRefused)
	})
	_, err := fetchFrom(p, build(base(5)), Options{})
	checkError(t, err, p.Addr, Denied, "REFUSED")
	checkError(t, err, p.Addr, Denied, "NOTIMP")
}

// TestNames: names in RDATA come out whole, in the case that they have, owners
// in lower case; types that are not known as they are.
func TestNames(t *testing.T) {
	records := append(base(1),
		rr("MX.example. 60 IN MX 10 Mail.example."), rr("srv.example. 60 IN SRV 1 2 3 Target.example."),
		rr("rp.example. 60 IN RP Who.example. What.example."), rr("naptr.example. 60 IN NAPTR 1 2 \"s\" \"x\" \"\" r.example."),
		rr("dname.example. 60 IN DNAME Other.example."), rr("https.example. 60 IN HTTPS 1 . alpn=h2 port=443"),
		rr("caa.example. 60 IN CAA 0 issue \"ca.example\""), rr("loc.example. 60 IN LOC 51 30 12.748 N 0 7 39.611 W 0m 0m 0m 0m"),
		rr("x.example. 60 IN TYPE65280 \\# 4 c00c0102"), rr("afs.example. 60 IN AFSDB 1 Db.example."),
		rr("sig.example. 60 IN RRSIG A 8 2 60 20300101000000 20200101000000 1 Example. AAAA"),
		rr("n.example. 60 IN NSEC Example. A TXT TYPE1000"), rr("hip.example. 60 IN HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Upr1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D rvs.example."),
		rr("ipsec.example. 60 IN IPSECKEY 10 3 2 gw.example. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
		rr("apl.example. 60 IN APL 1:192.0.2.0/24 !2:2001:db8::/32"), rr("txt.example. 60 IN TXT \"\""),
	)
	p := listen(t, func(c *conversation) { _ = c.reply(append(records, soa(1))...) })
	got, err := fetchFrom(p, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	equalZones(t, got.Zone, build(records))
}

// TestLargeTTL: one with its top bit set means 0 (RFC 2181 8).
func TestLargeTTL(t *testing.T) {
	p := listen(t, func(c *conversation) {
		_ = c.reply(append(base(1), rr("ttl.example. 2147483648 IN A 192.0.2.1"), soa(1))...)
	})
	got, err := fetchFrom(p, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, ok := got.Zone.Find(wireName("ttl.example."))
	if set, has := n.Set(wire.TypeA); !ok || !has || set.TTL != 0 {
		t.Errorf("%v %v %+v", ok, has, set)
	}
}

// TestSource: the question comes from the address that is configured.
func TestSource(t *testing.T) {
	var from netip.Addr
	p := listen(t, func(c *conversation) {
		from = c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		_ = c.reply(axfr(1)...)
	})
	p.Source = netip.MustParseAddr("127.0.0.7")
	if _, err := fetchFrom(p, nil, Options{}); err != nil {
		t.Fatal(err)
	}
	if from != p.Source {
		t.Errorf("asked from %v", from)
	}
}

// certificate is one for 127.0.0.1, and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestTLS: transfers and serials over TLS, and what is refused (RFC 9103 7.1).
func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	serve := func(server *tls.Config) *peer {
		return listenTLS(t, server, func(c *conversation) {
			if c.req.Question[0].Qtype == dns.TypeSOA {
				_ = c.reply(soa(3))
				return
			}
			_ = c.reply(axfr(3)...)
		})
	}
	p := serve(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"dot"}})
	p.TLS = &tls.Config{RootCAs: pool}
	got, err := fetchFrom(p, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	equalZones(t, got.Zone, build(base(3)))
	if seen, err := Serial(context.Background(), p.Primary, wireName(apexText), nil); err != nil || seen.Serial != 3 {
		t.Errorf("%+v %v", seen, err)
	}
	if p.TLS.NextProtos != nil || p.TLS.ServerName != "" {
		t.Error("the configuration was changed")
	}

	p.TLS = &tls.Config{}
	_, err = fetchFrom(p, nil, Options{})
	checkError(t, err, p.Addr, Unreachable, "certificate")

	q := serve(&tls.Config{Certificates: []tls.Certificate{cert}})
	q.TLS = &tls.Config{RootCAs: pool}
	_, err = fetchFrom(q, nil, Options{})
	checkError(t, err, q.Addr, Unreachable, "ALPN")

	q = serve(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"dot"}, MaxVersion: tls.VersionTLS12})
	q.TLS = &tls.Config{RootCAs: pool}
	_, err = fetchFrom(q, nil, Options{})
	checkError(t, err, q.Addr, Unreachable, "no TLS connection")
}

// TestNewer holds the comparison to RFC 1982.
func TestNewer(t *testing.T) {
	for _, test := range []struct {
		a, b uint32
		want bool
	}{
		{2, 1, true},
		{1, 2, false},
		{1, 1, false},
		{0, 1<<32 - 1, true},
		{1<<32 - 1, 0, false},
		{1 << 31, 0, false},
		{0, 1 << 31, false},
		{1<<31 - 1, 0, true},
	} {
		if got := wire.NewerSerial(test.a, test.b); got != test.want {
			t.Errorf("wire.NewerSerial(%d, %d) is %v", test.a, test.b, got)
		}
	}
}
