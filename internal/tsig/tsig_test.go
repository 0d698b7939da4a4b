package tsig

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

const theSecret = "a secret that must never be printed"

// now is the time of all tests.
var now = time.Unix(1_800_000_000, 0)

// algorithms are those that miekg/dns can sign with, too.
var algorithms = []string{"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}

func newKeyring(tb testing.TB, alg string) *Keyring {
	tb.Helper()
	r, err := NewKeyring([]Key{
		{Name: "other", Algorithm: alg, Secret: []byte("another")},
		{Name: "Xfer.Example", Algorithm: alg, Secret: []byte(theSecret), Trusted: true},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func encoded(secret string) string { return base64.StdEncoding.EncodeToString([]byte(secret)) }

// question is www.example. A with an OPT.
func question() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion("www.example.", dns.TypeA)
	m.Id = 0x1234
	m.SetEdns0(1232, false)
	return m
}

// signed is a request that miekg/dns signed, and its MAC in hexadecimal.
func signed(tb testing.TB, m *dns.Msg, name, alg, secret string, at time.Time) ([]byte, string) {
	tb.Helper()
	m.SetTsig(name, alg+".", 300, at.Unix())
	data, mac, err := dns.TsigGenerate(m, encoded(secret), "", false)
	if err != nil {
		tb.Fatal(err)
	}
	return data, mac
}

// resign changes the TSIG of a message, whose MAC the message then has to be
// given by change.
func resign(tb testing.TB, msg []byte, change func(rr *dns.TSIG)) []byte {
	tb.Helper()
	at, ok := last(msg)
	if !ok {
		tb.Fatal("the message has no TSIG")
	}
	rr, _, err := dns.UnpackRR(msg, at)
	if err != nil {
		tb.Fatal(err)
	}
	change(rr.(*dns.TSIG))
	out, err := appendRecord(bytes.Clone(msg[:at]), rr, 512)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// plainMAC is RFC 8945 4.3 for hmac-sha256, put together by hand.
func plainMAC(msg []byte, rr *dns.TSIG) string {
	at, _ := last(msg)
	h := hmac.New(sha256.New, []byte(theSecret))
	head := bytes.Clone(msg[:at])
	head[11]--
	h.Write(head)
	h.Write([]byte("\x04xfer\x07example\x00\x00\xff\x00\x00\x00\x00\x0bhmac-sha256\x00"))
	_ = binary.Write(h, binary.BigEndian, rr.TimeSigned<<16|uint64(rr.Fudge))
	h.Write([]byte{byte(rr.Error >> 8), byte(rr.Error), 0, byte(len(rr.OtherData) / 2)})
	other, _ := hex.DecodeString(rr.OtherData)
	h.Write(other)
	return hex.EncodeToString(h.Sum(nil))
}

func TestVerifyAndSign(t *testing.T) {
	for _, alg := range algorithms {
		keys := newKeyring(t, alg)
		req, mac := signed(t, question(), "xfer.EXAMPLE.", alg, theSecret, time.Now())
		kept := bytes.Clone(req)
		s, err := keys.Verify(req, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if !bytes.Equal(kept, req) {
			t.Errorf("%s: Verify changed the message", alg)
		}
		if s.Key() != "xfer.example." || s.Algorithm() != alg || !s.Trusted() {
			t.Errorf("%s: signed by %s (%s), trusted %v", alg, s.Key(), s.Algorithm(), s.Trusted())
		}
		reply := new(dns.Msg)
		reply.SetReply(question())
		plain, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Sign(plain, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if len(out) != len(plain)+s.Size() {
			t.Errorf("%s: the signature takes %d octets, Size says %d", alg, len(out)-len(plain), s.Size())
		}
		if err := dns.TsigVerify(bytes.Clone(out), encoded(theSecret), mac, false); err != nil {
			t.Errorf("%s: miekg/dns does not accept the reply: %v", alg, err)
		}
		out[len(plain)-1] ^= 1
		if err := dns.TsigVerify(out, encoded(theSecret), mac, false); err == nil {
			t.Errorf("%s: a reply that was changed is accepted", alg)
		}
	}
}

// A key that may not transfer is verified but not trusted.
func TestUntrusted(t *testing.T) {
	req, _ := signed(t, question(), "other.", "hmac-sha256", "another", now)
	s, err := newKeyring(t, "hmac-sha256").Verify(req, now)
	if err != nil || s.Key() != "other." || s.Trusted() {
		t.Errorf("signed by %v, error %v; want other., untrusted", s.Key(), err)
	}
}

// A transfer's messages are chained: each is signed with the MAC before it, and
// after the first one with the timers only (RFC 8945 5.3.1).
func TestManyMessages(t *testing.T) {
	keys := newKeyring(t, "hmac-sha256")
	req, mac := signed(t, question(), "xfer.example.", "hmac-sha256", theSecret, time.Now())
	s, err := keys.Verify(req, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		reply := new(dns.Msg)
		reply.SetReply(question())
		reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: uint32(i)}, A: []byte{192, 0, 2, byte(i)}}}
		plain, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Sign(plain, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := dns.TsigVerify(bytes.Clone(out), encoded(theSecret), mac, i > 0); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		var m dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		mac = m.IsTsig().MAC
	}
}

// What is wrong is told as RFC 8945 5.2 says, in its order.
func TestFaults(t *testing.T) {
	const alg = "hmac-sha256"
	request := func(name, alg, secret string, at time.Time) []byte {
		msg, _ := signed(t, question(), name, alg, secret, at)
		return msg
	}
	good := request("xfer.example.", alg, theSecret, now)
	cut := func(n int) []byte {
		return resign(t, good, func(rr *dns.TSIG) { rr.MAC, rr.MACSize = rr.MAC[:2*n], uint16(n) })
	}
	with := func(change func(rr *dns.TSIG)) []byte {
		return resign(t, good, func(rr *dns.TSIG) { change(rr); rr.MAC = plainMAC(good, rr) })
	}
	unsigned, _ := question().Pack()
	twice := append(bytes.Clone(good), good[len(good)-90:]...)
	twice[11]++
	tests := []struct {
		name    string
		msg     []byte
		want    error
		session bool
	}{
		{"good", good, nil, true},
		{"no TSIG", unsigned, Malformed, false},
		{"unknown key", request("nobody.", alg, theSecret, now), BadKey, false},
		{"the key's name below another's", request("a.xfer.example.", alg, theSecret, now), BadKey, false},
		{"another algorithm of the key", request("xfer.example.", "hmac-sha512", theSecret, now), BadKey, false},
		{"another secret", request("xfer.example.", alg, "wrong", now), BadSig, false},
		{"another key's secret", request("xfer.example.", alg, "another", now), BadSig, false},
		{"just in time", request("xfer.example.", alg, theSecret, now.Add(-300*time.Second)), nil, true},
		{"just too late", request("xfer.example.", alg, theSecret, now.Add(-301*time.Second)), BadTime, true},
		{"just early enough", request("xfer.example.", alg, theSecret, now.Add(300*time.Second)), nil, true},
		{"just too early", request("xfer.example.", alg, theSecret, now.Add(301*time.Second)), BadTime, true},
		{"late and wrong: the MAC comes first", request("xfer.example.", alg, "wrong", now.Add(-time.Hour)), BadSig, false},
		{"long fudge", with(func(rr *dns.TSIG) { rr.TimeSigned -= 3600; rr.Fudge = 3600 }), nil, true},
		{"no fudge", with(func(rr *dns.TSIG) { rr.Fudge = 0 }), nil, true},
		{"no fudge, late", with(func(rr *dns.TSIG) { rr.Fudge = 0; rr.TimeSigned-- }), BadTime, true},
		{"time 0", with(func(rr *dns.TSIG) { rr.TimeSigned = 0 }), BadTime, true},
		{"last time there is", with(func(rr *dns.TSIG) { rr.TimeSigned = 1<<48 - 1; rr.Fudge = 0xffff }), BadTime, true},
		{"other data", with(func(rr *dns.TSIG) { rr.OtherData = "0102"; rr.OtherLen = 2 }), nil, true},
		{"an error in a request", with(func(rr *dns.TSIG) { rr.Error = 17 }), nil, true},
		{"truncated to 31 octets", cut(31), BadTrunc, true},
		{"truncated to half", cut(16), BadTrunc, true},
		{"truncated too far", cut(15), Malformed, false},
		{"no MAC", cut(0), Malformed, false},
		{"MAC too long", resign(t, good, func(rr *dns.TSIG) { rr.MAC += "00"; rr.MACSize++ }), Malformed, false},
		{"truncated and wrong", resign(t, good, func(rr *dns.TSIG) { rr.MAC, rr.MACSize = strings.Repeat("00", 16), 16 }), BadSig, false},
		{"truncated and late: time comes first", resign(t, request("xfer.example.", alg, theSecret, now.Add(-time.Hour)), func(rr *dns.TSIG) { rr.MAC, rr.MACSize = rr.MAC[:40], 20 }), BadTime, true},
		{"class IN", resign(t, good, func(rr *dns.TSIG) { rr.Hdr.Class = dns.ClassINET }), Malformed, false},
		{"twice", twice, Malformed, false},
		{"octets behind it", append(bytes.Clone(good), 0), Malformed, false},
		{"cut short", good[:len(good)-1], Malformed, false},
		{"header only", good[:12], Malformed, false},
		{"nothing", nil, Malformed, false},
	}
	keys := newKeyring(t, alg)
	for _, tt := range tests {
		s, err := keys.Verify(tt.msg, now)
		if err != tt.want || (s != nil) != tt.session {
			t.Errorf("%s: %v, session %v; want %v, %v", tt.name, err, s != nil, tt.want, tt.session)
		}
		if err != nil && s != nil && s.Trusted() {
			t.Errorf("%s: trusted", tt.name)
		}
	}
	var none *Keyring
	if _, err := none.Verify(good, now); err != BadKey {
		t.Errorf("no keyring: %v, want %v", err, BadKey)
	}
}

// The original ID is signed, not the one that a forwarder gave the message, and
// the key's name may be compressed.
func TestForwarded(t *testing.T) {
	m := question()
	m.Question[0].Name = "xfer.example."
	m.Extra = nil
	req, _ := signed(t, m, "xfer.example.", "hmac-sha256", theSecret, now)
	binary.BigEndian.PutUint16(req, 0x4321)
	at, _ := last(req)
	compressed := append(append(bytes.Clone(req[:at]), 0xc0, 12), req[at+len("\x04xfer\x07example\x00"):]...)
	for _, msg := range [][]byte{req, compressed} {
		s, err := newKeyring(t, "hmac-sha256").Verify(msg, now)
		if err != nil {
			t.Fatal(err)
		}
		reply := bytes.Clone(msg[:at])
		reply[atARCount+1] = 0
		out, err := s.Sign(reply, now)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := parse(out)
		if err != nil {
			t.Fatal(err)
		}
		if rec.rr.OrigId != 0x1234 || out[0] != 0x43 {
			t.Errorf("the reply has the original ID %x, and the ID %x", rec.rr.OrigId, out[:2])
		}
	}
}

// BADTIME and BADTRUNC are signed; BADTIME tells the client its own time, and
// the server's in the other data (RFC 8945 5.2.3).
func TestSignedErrors(t *testing.T) {
	old := now.Add(-time.Hour)
	req, mac := signed(t, question(), "xfer.example.", "hmac-sha256", theSecret, old)
	s, err := newKeyring(t, "hmac-sha256").Verify(req, now)
	if err != BadTime {
		t.Fatalf("error %v, want BadTime", err)
	}
	reply, _ := new(dns.Msg).SetRcode(question(), dns.RcodeNotAuth).Pack()
	out, err := s.Sign(reply, now)
	if err != nil || len(out) != len(reply)+s.Size() {
		t.Fatalf("%d octets, want %d and %d more: %v", len(out), len(reply), s.Size(), err)
	}
	rec, err := parse(out)
	if err != nil {
		t.Fatal(err)
	}
	rr := rec.rr
	if rr.Error != dns.RcodeBadTime || rr.TimeSigned != uint64(old.Unix()) || rr.OtherData != fmt.Sprintf("%012x", now.Unix()) {
		t.Errorf("TSIG is %v", rr)
	}
	h := hmac.New(sha256.New, []byte(theSecret))
	h.Write([]byte{0, 32})
	raw, _ := hex.DecodeString(mac)
	h.Write(raw)
	h.Write(rec.header[:])
	h.Write(out[12:rec.at])
	h.Write(rec.variables())
	if !hmac.Equal(h.Sum(nil), rec.mac) {
		t.Error("the MAC of the reply is wrong")
	}
}

func TestSignLimits(t *testing.T) {
	req, _ := signed(t, question(), "xfer.example.", "hmac-sha256", theSecret, now)
	s, err := newKeyring(t, "hmac-sha256").Verify(req, now)
	if err != nil {
		t.Fatal(err)
	}
	full := bytes.Repeat([]byte{0xff}, 100)
	for _, msg := range [][]byte{nil, make([]byte, 11), full, make([]byte, maxMessage-s.Size()+1)} {
		if out, err := s.Sign(msg, now); err == nil {
			t.Errorf("%d octets are signed to %d", len(msg), len(out))
		}
	}
	out, err := s.Sign(make([]byte, maxMessage-s.Size()), now)
	if err != nil || len(out) != maxMessage {
		t.Errorf("%d octets, %v", len(out), err)
	}
	room := make([]byte, 12, 12+s.Size())
	if out, err := s.Sign(room, now); err != nil || &out[0] != &room[0] {
		t.Errorf("the room behind the message is not used: %v", err)
	}
}

func TestNewKeyringErrors(t *testing.T) {
	long := strings.Repeat("a", 60)
	good := Key{Name: "a", Algorithm: "hmac-sha256", Secret: []byte(theSecret)}
	tests := []struct {
		keys []Key
		want string
	}{
		{[]Key{good, {Name: "A.", Algorithm: "hmac-sha1", Secret: []byte(theSecret)}}, `key "A." (hmac-sha1): there are two keys of this name`},
		{[]Key{{Name: "", Algorithm: "hmac-sha256", Secret: []byte(theSecret)}}, "is not a domain name"},
		{[]Key{{Name: "a..b", Algorithm: "hmac-sha256", Secret: []byte(theSecret)}}, "is not a domain name"},
		{[]Key{{Name: long + "." + long, Algorithm: "hmac-sha256", Secret: []byte(theSecret)}}, "takes 123 octets"},
		{[]Key{{Name: "a", Algorithm: "hmac-sha3", Secret: []byte(theSecret)}}, "algorithm is not known"},
		{[]Key{{Name: "a", Algorithm: "hmac-sha256"}}, "secret is empty"},
	}
	for _, tt := range tests {
		_, err := NewKeyring(tt.keys)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), theSecret) {
			t.Errorf("%v: error %v, want %q", tt.keys, err, tt.want)
		}
	}
	var none *Keyring
	if r := newKeyring(t, "hmac-md5"); r.Len() != 2 || none.Len() != 0 {
		t.Errorf("%d and %d keys", r.Len(), none.Len())
	}
}

// No secret appears in what is printed, logged or encoded.
func TestSecretsHidden(t *testing.T) {
	k := Key{Name: "xfer.", Algorithm: "hmac-sha256", Secret: []byte(theSecret)}
	r, err := NewKeyring([]Key{k})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := signed(t, question(), "xfer.", "hmac-sha256", theSecret, now)
	s, err := r.Verify(req, now)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		Key    Key
		Keys   []Key
		Ring   *Keyring
		hidden *Keyring
	}{k, []Key{k}, r, r}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%T"} {
		for _, v := range []any{k, &k, holder, &holder, r, *r, s, *s, s.key, *s.key} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, l := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(l).Info("keys", "key", k, "pointer", &k, "ring", r, "holder", holder, "session", s)
	}
	data, err := json.Marshal([]any{k, r, s, holder, map[string]Key{"a": k}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	text := strings.ToLower(out.String())
	for _, form := range []string{theSecret, encoded(theSecret), hex.EncodeToString([]byte(theSecret)), strings.Trim(fmt.Sprint([]byte(theSecret)), "[]")} {
		if strings.Contains(text, strings.ToLower(form)) {
			t.Errorf("the secret is printed as %q", form)
		}
	}
	if !strings.Contains(text, "xfer.") {
		t.Error("nothing names the key")
	}
}

// Each fault has a text and an RCODE of its kind.
func TestFaultText(t *testing.T) {
	for f, name := range map[Fault]string{Malformed: "FORMERR", BadSig: "BADSIG", BadKey: "BADKEY", BadTime: "BADTIME", BadTrunc: "BADTRUNC"} {
		if !strings.HasPrefix(f.Error(), "TSIG "+name+": ") {
			t.Errorf("%d is %q", f, f.Error())
		}
		if want := dns.StringToRcode[name]; f != Malformed && int(f.Code()) != want && name != "BADSIG" {
			t.Errorf("%s has the code %d, want %d", name, f.Code(), want)
		}
	}
	if Malformed.Rcode() != wire.RcodeFormErr || Malformed.Code() != 0 || BadSig.Rcode() != wire.RcodeNotAuth || BadSig.Code() != 16 {
		t.Error("RCODEs are wrong")
	}
}

// Whatever is done to a signed message, it is accepted only if what was signed
// is what it says still; and nothing else is signed back.
func FuzzVerify(f *testing.F) {
	keys := newKeyring(f, "hmac-sha256")
	good, _ := signed(f, question(), "xfer.example.", "hmac-sha256", theSecret, now)
	at, _ := last(good)
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(at), byte(0x20))
	f.Add(good[:len(good)-3], uint16(3), byte(1))
	for i := range good {
		f.Add(good, uint16(i), byte(1))
	}
	f.Fuzz(func(t *testing.T, msg []byte, at uint16, flip byte) {
		msg = bytes.Clone(msg)
		if int(at) < len(msg) {
			msg[at] ^= flip
		}
		before := bytes.Clone(msg)
		s, err := keys.Verify(msg, now)
		if !bytes.Equal(before, msg) {
			t.Fatal("Verify changed the message")
		}
		if s == nil {
			if err == nil {
				t.Fatal("neither a session nor an error")
			}
			return
		}
		// Nobody but us has the secret, so this is the message that was signed
		// but for the ID, the case of the key's name and a pointer, and the
		// length of the MAC, none of which are.
		rec, perr := parse(msg)
		orig, _ := parse(good)
		if perr != nil || rec.header != orig.header || !bytes.Equal(msg[12:rec.at], good[12:orig.at]) || !bytes.Equal(rec.variables(), orig.variables()) {
			t.Fatalf("another message than was signed is accepted: %x", msg)
		}
		out, serr := s.Sign(bytes.Clone(msg[:rec.at]), now)
		if serr != nil || len(out) != rec.at+s.Size() {
			t.Fatalf("the reply has %d octets: %v", len(out), serr)
		}
	})
}
