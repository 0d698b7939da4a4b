package tsig

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// ask is a signed question, its Exchange, and what a server makes of it.
func ask(tb testing.TB, alg string) (req []byte, x *Exchange, s *Session) {
	tb.Helper()
	keys := newKeyring(tb, alg)
	plain, err := question().Pack()
	if err != nil {
		tb.Fatal(err)
	}
	req, x, err = keys.Ask(bytes.Clone(plain), "XFER.example", now)
	if err != nil {
		tb.Fatal(err)
	}
	if s, err = keys.Verify(req, now); err != nil {
		tb.Fatal(err)
	}
	return req, x, s
}

// envelope is one message of an answer, not signed, with n addresses.
func envelope(tb testing.TB, n int) []byte {
	tb.Helper()
	m := new(dns.Msg)
	m.SetReply(question())
	for i := range n {
		rr, err := dns.NewRR("www.example. 60 A 192.0.2." + string(rune('0'+i%10)))
		if err != nil {
			tb.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	out, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func sign(tb testing.TB, s *Session, msg []byte, at time.Time) []byte {
	tb.Helper()
	out, err := s.Sign(bytes.Clone(msg), at)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// wants checks that an answer is refused for a fault, and that the text says
// what is written.
func wants(tb testing.TB, err error, f Fault, text string) {
	tb.Helper()
	if !errors.Is(err, f) || !strings.Contains(err.Error(), text) {
		tb.Errorf("the error is %v, want a %v with %q", err, f, text)
	}
}

// miekg/dns verifies our questions, and we the answers that it signs, one
// message or many.
func TestExchangeWithLibrary(t *testing.T) {
	for _, alg := range algorithms {
		at := time.Now()
		plain, _ := question().Pack()
		req, x, err := newKeyring(t, alg).Ask(plain, "xfer.example.", at)
		if err != nil {
			t.Fatal(err)
		}
		if err := dns.TsigVerify(bytes.Clone(req), encoded(theSecret), "", false); err != nil {
			t.Fatalf("%s: the library refuses our question: %v", alg, err)
		}
		rec, err := parse(req)
		if err != nil {
			t.Fatal(err)
		}
		mac := hex.EncodeToString(rec.mac)
		for i := range 5 {
			m := new(dns.Msg)
			if err := m.Unpack(envelope(t, i)); err != nil {
				t.Fatal(err)
			}
			want, _ := m.Pack()
			m.SetTsig("xfer.example.", alg+".", 300, at.Unix())
			var out []byte
			if out, mac, err = dns.TsigGenerate(m, encoded(theSecret), mac, i > 0); err != nil {
				t.Fatal(err)
			}
			got, signed, err := x.Verify(out, at)
			if err != nil || !signed || !bytes.Equal(got, want) {
				t.Fatalf("%s: message %d: signed %v, %v\n%x\n%x", alg, i, signed, err, got, want)
			}
		}
		if err := x.Finish(); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// Our server signs some of the messages of an answer, and our client accepts
// exactly those answers of which the first and the last are signed, and at most
// 99 in a row are not.
func TestExchangeUnsignedBetween(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		_, x, s := ask(t, "hmac-sha256")
		bits := rapid.SliceOfN(rapid.Bool(), 1, 8).Draw(rt, "signed")
		long := rapid.SampledFrom([]int{0, 1, 98, 99, 100}).Draw(rt, "in a row")
		bits = append(bits, make([]bool, long)...)
		bits = append(bits, rapid.SliceOfN(rapid.Bool(), 0, 4).Draw(rt, "after")...)
		row := 0
		var between []byte
		for i, b := range bits {
			msg := envelope(t, i%3)
			out := msg
			if b {
				out = chained(t, s, msg, between)
				between, row = nil, 0
			} else {
				between = append(between, msg...)
				row++
			}
			plain, signed, err := x.Verify(out, now)
			if fail := i == 0 && !b || row > maxUnsigned; fail != (err != nil) {
				rt.Fatalf("message %d of %v: %v", i, bits, err)
			}
			if err != nil {
				if x.Finish() == nil {
					rt.Fatal("Finish is content")
				}
				return
			}
			if signed != b || !bytes.Equal(plain, msg) {
				rt.Fatalf("message %d: signed %v, %x", i, signed, plain)
			}
		}
		if err := x.Finish(); (err == nil) != bits[len(bits)-1] {
			rt.Fatalf("%v: Finish: %v", bits, err)
		}
	})
}

// chained signs a message with others before it that were not signed, put
// together by hand (RFC 8945 5.3.1).
func chained(tb testing.TB, s *Session, msg, between []byte) []byte {
	tb.Helper()
	if s.messages == 0 || between == nil {
		return sign(tb, s, msg, now)
	}
	rr := s.unsigned(now)
	h := hmac.New(sha256.New, []byte(theSecret))
	h.Write(length(s.mac))
	h.Write(s.mac)
	h.Write(between)
	h.Write(msg)
	h.Write(timers(rr.TimeSigned, rr.Fudge))
	s.mac = h.Sum(nil)
	rr.MACSize, rr.MAC = uint16(len(s.mac)), hex.EncodeToString(s.mac)
	out, err := appendRecord(bytes.Clone(msg), rr, s.Size())
	if err != nil {
		tb.Fatal(err)
	}
	out[atARCount+1]++
	return out
}

// Messages left out, repeated, exchanged or changed are found; what comes after
// is refused as well.
func TestExchangeTampering(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(msgs [][]byte) [][]byte
	}{
		{"one missing", func(m [][]byte) [][]byte { return append(m[:1:1], m[2:]...) }},
		{"one twice", func(m [][]byte) [][]byte { return append(m[:2:2], m[1:]...) }},
		{"two exchanged", func(m [][]byte) [][]byte { m[1], m[2] = m[2], m[1]; return m }},
		{"first missing", func(m [][]byte) [][]byte { return m[1:] }},
		{"an octet of a record", func(m [][]byte) [][]byte { m[2][40] ^= 1; return m }},
		{"a flag", func(m [][]byte) [][]byte { m[2][2] ^= 4; return m }},
		{"the time", func(m [][]byte) [][]byte { m[2] = resign(t, m[2], func(rr *dns.TSIG) { rr.TimeSigned++ }); return m }},
		{"the signature taken off", func(m [][]byte) [][]byte {
			at, _ := last(m[3])
			m[3] = m[3][:at]
			m[3][atARCount+1]--
			return m
		}},
	}
	for _, tt := range tests {
		_, x, s := ask(t, "hmac-sha256")
		var msgs [][]byte
		for i := range 4 {
			msgs = append(msgs, sign(t, s, envelope(t, 2+i), now))
		}
		var err error
		for _, m := range tt.spoil(msgs) {
			if _, _, e := x.Verify(m, now); e != nil {
				err = e
			} else if err != nil && !x.first {
				t.Errorf("%s: a message is accepted after one was refused", tt.name)
			}
		}
		if err == nil {
			err = x.Finish()
		}
		if err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}

func TestExchangeErrors(t *testing.T) {
	const alg = "hmac-sha256"
	other, err := NewKeyring([]Key{{Name: "xfer.example", Algorithm: alg, Secret: []byte("not the same")}})
	if err != nil {
		t.Fatal(err)
	}
	answered := func(code uint16, mac bool, data string) func(s *Session, req []byte) []byte {
		return func(s *Session, req []byte) []byte {
			out := sign(t, s, envelope(t, 0), now)
			rec, _ := parse(req)
			return resign(t, out, func(rr *dns.TSIG) {
				rr.Error, rr.OtherData, rr.OtherLen = code, data, uint16(len(data)/2)
				rr.MAC, rr.MACSize = "", 0
				if mac {
					h := hmac.New(sha256.New, []byte(theSecret))
					h.Write(length(rec.mac))
					h.Write(rec.mac)
					h.Write(envelope(t, 0))
					raw, _ := hex.DecodeString(data)
					h.Write(variables(s.key.name, s.key.alg.name, 0, rr.TimeSigned, rr.Fudge, code, raw))
					rr.MAC, rr.MACSize = hex.EncodeToString(h.Sum(nil)), 32
				}
			})
		}
	}
	tests := []struct {
		name   string
		answer func(s *Session, req []byte) []byte
		fault  Fault
		text   string
	}{
		{"another secret", func(s *Session, req []byte) []byte {
			s.key = other.named("xfer.example")
			return sign(t, s, envelope(t, 1), now)
		}, BadSig, "another secret"},
		{"another key", func(s *Session, req []byte) []byte {
			s.key = newKeyring(t, alg).named("other")
			return sign(t, s, envelope(t, 1), now)
		}, BadKey, "signed with key other."},
		{"an hour later", func(s *Session, req []byte) []byte { return sign(t, s, envelope(t, 1), now.Add(time.Hour)) }, BadTime, "2027-01-15T09:00:00Z by its clock"},
		{"an hour before", func(s *Session, req []byte) []byte { return sign(t, s, envelope(t, 1), now.Add(-time.Hour)) }, BadTime, "it is 2027-01-15T08:00:00Z here"},
		{"not signed", func(s *Session, req []byte) []byte {
			m := envelope(t, 0)
			m[3] |= 5
			return m
		}, Malformed, "answered REFUSED without a signature"},
		{"BADKEY", answered(17, false, ""), BadKey, "answered BADKEY: it has no key xfer.example."},
		{"BADSIG", answered(16, false, ""), BadSig, "answered BADSIG"},
		{"BADTRUNC", answered(22, true, ""), BadTrunc, "answered BADTRUNC"},
		{"BADTIME", answered(18, true, "00006b49d1e0"), BadTime, "answered BADTIME: its clock says 2027-01-15T07:59:28Z, and it is 2027-01-15T08:00:00Z here"},
		{"BADTIME without a time", answered(18, true, ""), BadTime, "its clock is not told"},
		{"an error without a name", answered(99, true, ""), 99, "TSIG error 99"},
		{"truncated", func(s *Session, req []byte) []byte {
			return resign(t, sign(t, s, envelope(t, 1), now), func(rr *dns.TSIG) { rr.MAC, rr.MACSize = rr.MAC[:40], 20 })
		}, BadTrunc, "truncated to 20 octets"},
		{"truncated too far", func(s *Session, req []byte) []byte {
			return resign(t, sign(t, s, envelope(t, 1), now), func(rr *dns.TSIG) { rr.MAC, rr.MACSize = rr.MAC[:20], 10 })
		}, Malformed, "has 10 octets"},
		{"no MAC and no error", answered(0, false, ""), Malformed, "has 0 octets"},
		{"another ID", func(s *Session, req []byte) []byte {
			out := sign(t, s, envelope(t, 1), now)
			out[0]++
			return out
		}, Malformed, "has the ID"},
		{"cut short", func(s *Session, req []byte) []byte { o := sign(t, s, envelope(t, 1), now); return o[:len(o)-1] }, Malformed, "cannot be read"},
		{"header cut", func(s *Session, req []byte) []byte { return []byte{0x12} }, Malformed, "1 octets"},
		{"TSIG not last", func(s *Session, req []byte) []byte {
			out := sign(t, s, envelope(t, 1), now)
			at, _ := last(out)
			out[atARCount+1] = 2
			return append(out, out[at:]...)
		}, Malformed, "not the last record"},
	}
	for _, tt := range tests {
		req, x, s := ask(t, alg)
		msg := tt.answer(s, req)
		kept := bytes.Clone(msg)
		plain, _, err := x.Verify(msg, now)
		wants(t, err, tt.fault, tt.text)
		if plain != nil || !bytes.Equal(kept, msg) || x.Finish() == nil {
			t.Errorf("%s: %d octets are given back, or the message is changed", tt.name, len(plain))
		}
		var answer *AnswerError
		if !errors.As(err, &answer) || strings.Contains(err.Error(), theSecret) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A forged answer over UDP does not spoil the right one behind it.
func TestExchangeForgedFirst(t *testing.T) {
	_, x, s := ask(t, "hmac-sha512")
	right := sign(t, s, envelope(t, 1), now)
	forged := bytes.Clone(right)
	forged[20] ^= 1
	for _, m := range [][]byte{forged, envelope(t, 3)} {
		if _, _, err := x.Verify(m, now); err == nil {
			t.Fatal("a forged answer is accepted")
		}
	}
	if _, signed, err := x.Verify(right, now); err != nil || !signed {
		t.Errorf("the right answer: signed %v, %v", signed, err)
	}
	if x.Key() != "xfer.example." {
		t.Errorf("key %s", x.Key())
	}
	if err := x.Finish(); err != nil {
		t.Error(err)
	}
}

func TestAskErrors(t *testing.T) {
	keys := newKeyring(t, "hmac-sha256")
	var none *Keyring
	plain, _ := question().Pack()
	tests := []struct {
		keys *Keyring
		msg  []byte
		name string
		want string
	}{
		{keys, plain, "nobody", `no key "nobody"`},
		{keys, plain, "", `no key ""`},
		{keys, plain, "a..b", `no key "a..b"`},
		{none, plain, "other", `no key "other"`},
		{keys, plain[:11], "other", "11 octets"},
		{keys, make([]byte, maxMessage-10), "other", "cannot be signed"},
	}
	for _, tt := range tests {
		if _, _, err := tt.keys.Ask(tt.msg, tt.name, now); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Whatever comes as an answer, it is accepted only if it is what was signed.
func FuzzExchange(f *testing.F) {
	_, _, s := ask(f, "hmac-sha256")
	good := sign(f, s, envelope(f, 2), now)
	f.Add(good, uint16(0), byte(0))
	for i := range good {
		f.Add(good, uint16(i), byte(1))
	}
	f.Fuzz(func(t *testing.T, msg []byte, at uint16, flip byte) {
		msg = bytes.Clone(msg)
		if int(at) < len(msg) {
			msg[at] ^= flip
		}
		before := bytes.Clone(msg)
		_, x, _ := ask(t, "hmac-sha256")
		plain, _, err := x.Verify(msg, now)
		if !bytes.Equal(before, msg) {
			t.Fatal("Verify changed the message")
		}
		if err == nil && !bytes.Equal(plain[wire.HeaderLen:], envelope(t, 2)[wire.HeaderLen:]) {
			t.Fatalf("another answer than was signed is accepted: %x", msg)
		}
	})
}
