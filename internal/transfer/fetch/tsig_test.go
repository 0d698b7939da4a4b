package fetch

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/tsig"
)

func keyring(t *testing.T, secret string) *tsig.Keyring {
	t.Helper()
	r, err := tsig.NewKeyring([]tsig.Key{{Name: "xfer.", Algorithm: "hmac-sha256", Secret: []byte(secret), Trusted: true}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signer answers as a primary with keys does. when is its clock.
type signer struct {
	*conversation
	session *tsig.Session
	when    time.Time
}

func (s *signer) pack(records ...dns.RR) []byte {
	m := new(dns.Msg)
	m.SetReply(s.req)
	m.Extra = nil
	m.Authoritative, m.Compress, m.Answer = true, true, records
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func (s *signer) signed(records ...dns.RR) error {
	b, err := s.session.Sign(s.pack(records...), s.when)
	if err != nil {
		s.t.Error(err)
		return err
	}
	return s.send(b)
}

// withKeys is a peer that has a keyring: serve gets verified questions, all
// others are answered as RFC 8945 says.
func withKeys(t *testing.T, keys *tsig.Keyring, serve func(*signer)) *peer {
	p := listen(t, func(c *conversation) {
		session, err := keys.Verify(c.raw, time.Now())
		if err != nil {
			_ = c.replyWith(func(m *dns.Msg) { m.Rcode = dns.RcodeNotAuth; m.Extra = nil })
			return
		}
		serve(&signer{conversation: c, session: session, when: time.Now()})
	})
	p.Key = "xfer."
	return p
}

// TestSigned: AXFR and IXFR in signed messages (RFC 8945 5.3.1).
func TestSigned(t *testing.T) {
	keys := keyring(t, "secret")
	p := withKeys(t, keys, func(s *signer) {
		for _, r := range axfr(7) {
			_ = s.signed(r)
		}
	})
	got, err := fetchFrom(p, nil, Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	equalZones(t, got.Zone, build(base(7)))
	p = withKeys(t, keys, func(s *signer) {
		_ = s.signed(soa(6), soa(5), base(5)[5], soa(6), base(6)[5])
		_ = s.signed(soa(6))
	})
	got, err = fetchFrom(p, build(base(5)), Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	equalZones(t, got.Zone, build(base(6)))
	p = withKeys(t, keys, func(s *signer) { _ = s.signed(soa(5)) })
	if got, err := fetchFrom(p, build(base(5)), Options{Keys: keys}); err != nil || !got.UpToDate {
		t.Errorf("%+v %v", got, err)
	}
}

// TestSignatures: what is not signed as it must be is thrown away, and no AXFR
// asked for after it.
func TestSignatures(t *testing.T) {
	keys := keyring(t, "secret")
	tests := []struct {
		name, says string
		peer       func() *peer
	}{
		{"other secret here", "NOTAUTH", func() *peer {
			return withKeys(t, keyring(t, "another"), func(s *signer) { t.Error("verified") })
		}},
		{"nothing signed", "without a signature", func() *peer {
			return withKeys(t, keys, func(s *signer) { _ = s.send(s.pack(axfr(7)...)) })
		}},
		{"first not signed", "without a signature", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				_ = s.send(s.pack(base(7)...))
				_ = s.signed(soa(7))
			})
		}},
		{"last not signed", "last message", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				_ = s.signed(base(7)...)
				_ = s.send(s.pack(soa(7)))
			})
		}},
		{"100 unsigned in a row", "more than 99", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				_ = s.signed(base(7)...)
				for range 100 {
					_ = s.send(s.pack(rr("x.example. 60 IN A 192.0.2.1")))
				}
				_ = s.signed(soa(7))
			})
		}},
		{"a forged one in between", "BADSIG", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				_ = s.signed(base(7)...)
				_ = s.send(s.pack(rr("evil.example. 60 IN A 192.0.2.1")))
				_ = s.signed(soa(7)) // signed without knowing of it
			})
		}},
		{"changed on its way", "BADSIG", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				b, _ := s.session.Sign(s.pack(axfr(7)...), s.when)
				b[60] ^= 1
				_ = s.send(b)
			})
		}},
		{"clock", "BADTIME", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				s.when = s.when.Add(-time.Hour)
				_ = s.signed(axfr(7)...)
			})
		}},
		{"swapped", "BADSIG", func() *peer {
			return withKeys(t, keys, func(s *signer) {
				all := axfr(7)
				_ = s.signed(all[:2]...)
				x, _ := s.session.Sign(s.pack(all[2:4]...), s.when)
				y, _ := s.session.Sign(s.pack(all[4:]...), s.when)
				_ = s.send(y)
				_ = s.send(x)
			})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := test.peer()
			_, err := fetchFrom(p, build(base(5)), Options{Keys: keys})
			checkError(t, err, p.Addr, Signature, test.says)
			if n := p.asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
	p := listen(t, func(c *conversation) { t.Error("asked with a key that isn't there") })
	p.Key = "missing."
	_, err := fetchFrom(p, nil, Options{Keys: keys})
	checkError(t, err, p.Addr, Local, "missing.")
}

// TestSerialSigned: over UDP, where what is not signed rightly is passed over.
func TestSerialSigned(t *testing.T) {
	keys := keyring(t, "secret")
	sign := func(req *dns.Msg, raw []byte, r *tsig.Keyring) []byte {
		session, err := r.Verify(raw, time.Now())
		if err != nil {
			t.Error(err)
			return nil
		}
		plain := req.Copy()
		plain.Extra = nil
		b, err := session.Sign(answerTo(plain, nil, soa(42)), time.Now())
		if err != nil {
			t.Error(err)
		}
		return b
	}
	p := both(t, func(req *dns.Msg, raw []byte) [][]byte {
		forged := sign(req, raw, keys)
		forged[50] ^= 1
		return [][]byte{answerTo(req, nil, soa(99)), forged, sign(req, raw, keys)}
	}, noTCP)
	p.Key = "xfer."
	if seen, err := askSerial(p, keys); err != nil || seen.Serial != 42 {
		t.Errorf("%+v %v", seen, err)
	}
	unsigned := func(req *dns.Msg, _ []byte) [][]byte { return [][]byte{answerTo(req, nil, soa(99))} }
	p = both(t, unsigned, func(c *conversation) { _ = c.send(unsigned(c.req, nil)[0]) })
	p.Key = "xfer."
	_, err := askSerial(p, keys)
	checkError(t, err, p.Addr, Signature, "without a signature")

	// Knot answers for its catalogs over TCP only.
	p = both(t, unsigned, func(c *conversation) { _ = c.send(sign(c.req, c.raw, keys)) })
	p.Key = "xfer."
	if seen, err := askSerial(p, keys); err != nil || seen.Serial != 42 {
		t.Errorf("over TCP: %+v %v", seen, err)
	}
}
