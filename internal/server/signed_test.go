package server

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/live"
	"geodns/internal/publish"
	"geodns/internal/resolver"
	"geodns/internal/tsig"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

var tsigAlgorithms = []string{"hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}

// secretOf is a secret for an algorithm, in base64.
func secretOf(alg string) string {
	return base64.StdEncoding.EncodeToString([]byte("the secret of " + alg))
}

// manyTexts is how many TXT records many.example has, each of 100 octets.
const manyTexts = 40

// signedWorld serves example. from a Holder.
func signedWorld(tb testing.TB) *live.Holder {
	tb.Helper()
	texts := []string{
		"example. 300 SOA ns.example. hostmaster.example. 1 3600 600 604800 60",
		"example. 300 NS ns.example.", "ns.example. 300 A 192.0.2.53", "www.example. 300 A 192.0.2.1",
		"two.example. 300 A 192.0.2.1", "two.example. 300 A 192.0.2.2",
		`two._steer.example. 300 TXT "v=steer1; answers=1"`,
	}
	for i := range manyTexts {
		texts = append(texts, fmt.Sprintf("many.example. 300 TXT %0100d", i))
		// Many small RRsets' worth of addresses: room is filled to the octet.
		texts = append(texts, fmt.Sprintf("n%d.example. 300 TXT %0*d", i, 5*i+1, 0))
	}
	b := zone.NewBuilder()
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			tb.Fatal(err)
		}
		buf := make([]byte, 512)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			tb.Fatal(err)
		}
		owner := wire.NameLen(buf)
		if p := b.Add(&wire.RR{Owner: buf[:owner], Type: rr.Header().Rrtype, TTL: rr.Header().Ttl, Data: buf[owner+10 : n]}); p != nil {
			tb.Fatal(p)
		}
	}
	z, problems := b.Finish()
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	h := live.New()
	p := publish.New(h, publish.Options{})
	program, found := p.Compile(z, nil)
	if program == nil {
		tb.Fatal(found)
	}
	p.Publish([]publish.Change{{Apex: z.Apex(), Zone: z, Steering: program}})
	return h
}

// allKeys has a key of each algorithm, that is called like it.
func allKeys(tb testing.TB) *tsig.Keyring {
	tb.Helper()
	var keys []tsig.Key
	for _, alg := range tsigAlgorithms {
		secret, _ := base64.StdEncoding.DecodeString(secretOf(alg))
		keys = append(keys, tsig.Key{Name: alg + ".key", Algorithm: alg, Secret: secret, Trusted: alg == "hmac-sha256"})
	}
	keys = append(keys, tsig.Key{Name: longKey(), Algorithm: "hmac-sha512", Secret: []byte("long")})
	r, err := tsig.NewKeyring(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// longKey is the longest name that a key may have.
func longKey() string {
	return strings.Repeat("k", 63) + "." + strings.Repeat("l", tsig.MaxName-64-2) + "."
}

func startSigned(tb testing.TB) *Server {
	tb.Helper()
	s, err := Listen(Config{Listen: listen("127.0.0.1:0"), Workers: 1, Live: signedWorld(tb), Keys: allKeys(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	s.Serve()
	tb.Cleanup(func() { _ = s.Shutdown(tb.Context()) })
	return s
}

// signedQuery is a query that miekg/dns signed at a time, and its MAC.
func signedQuery(tb testing.TB, m *dns.Msg, alg string, at time.Time) ([]byte, string) {
	tb.Helper()
	return signedBy(tb, m, alg+".key.", alg, secretOf(alg), at)
}

func signedBy(tb testing.TB, m *dns.Msg, name, alg, secret string, at time.Time) ([]byte, string) {
	tb.Helper()
	m = m.Copy()
	m.SetTsig(name, alg+".", 300, at.Unix())
	data, mac, err := dns.TsigGenerate(m, secret, "", false)
	if err != nil {
		tb.Fatal(err)
	}
	return data, mac
}

// newQuestion has an OPT if size is not 0.
func newQuestion(name string, t, size uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, t)
	if size > 0 {
		m.SetEdns0(size, false)
	}
	return m
}

func unpacked(tb testing.TB, msg []byte) *dns.Msg {
	tb.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		tb.Fatalf("%v: % x", err, msg)
	}
	return m
}

// tool runs dig or kdig against a server, with a key.
func tool(t *testing.T, name string, to netip.AddrPort, key string, args ...string) string {
	t.Helper()
	args = append([]string{"@" + to.Addr().String(), "-p", strconv.Itoa(int(to.Port())), "-y", key}, args...)
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// dig and kdig verify the replies to what they signed, whatever the algorithm,
// transport and case of the key's name.
func TestSignedByTools(t *testing.T) {
	to := startSigned(t).Addrs()[0]
	for _, alg := range tsigAlgorithms {
		for _, transport := range []string{"+notcp", "+tcp"} {
			for _, q := range []struct{ name, status string }{{"www.example.", "NOERROR"}, {"none.example.", "NXDOMAIN"}, {"elsewhere.", "REFUSED"}} {
				key := alg + ":" + alg + ".KEY.:" + secretOf(alg)
				out := tool(t, "dig", to, key, transport, "+norec", "+tries=1", "+time=15", q.name, "A")
				if !strings.Contains(out, "status: "+q.status) || !strings.Contains(out, "TSIG PSEUDOSECTION") ||
					strings.Contains(out, "erify signature") || strings.Contains(out, "WARNING") {
					t.Errorf("dig %s %s %s:\n%s", alg, transport, q.name, out)
				}
				out = tool(t, "kdig", to, key, transport, "+norec", "+retry=0", "+time=15", q.name, "A")
				if !strings.Contains(out, "status: "+q.status) || !strings.Contains(out, "TSIG PSEUDOSECTION") ||
					strings.Contains(out, "ERROR:") || strings.Contains(out, "WARNING:") {
					t.Errorf("kdig %s %s %s:\n%s", alg, transport, q.name, out)
				}
			}
		}
	}
}

// What is wrong with a signature is told as dig understands it.
func TestBadSignaturesByDig(t *testing.T) {
	s := startSigned(t)
	tests := []struct{ key, want string }{
		{"hmac-sha256:hmac-sha256.key.:" + secretOf("hmac-sha1"), "BADSIG"},
		{"hmac-sha256:nobody.:" + secretOf("hmac-sha256"), "BADKEY"},
		{"hmac-sha512:hmac-sha256.key.:" + secretOf("hmac-sha256"), "BADKEY"},
		{"hmac-sha256-128:hmac-sha256.key.:" + secretOf("hmac-sha256"), "BADTRUNC"},
	}
	for _, tt := range tests {
		for _, transport := range []string{"+notcp", "+tcp"} {
			out := tool(t, "dig", s.Addrs()[0], tt.key, transport, "+tries=1", "+time=15", "www.example.", "A")
			if !strings.Contains(out, "status: NOTAUTH") || !strings.Contains(out, " "+tt.want+" ") || strings.Contains(out, "192.0.2.1\n") {
				t.Errorf("dig with %s, want %s:\n%s", tt.key, tt.want, out)
			}
		}
	}
	counters := s.Counters()
	if n := counters.Outcome(resolver.BadKey); n != uint64(2*len(tests)) {
		t.Errorf("%d queries were counted as refused, want %d", n, 2*len(tests))
	}
}

// BADTIME is signed, and tells the client's time and the server's (RFC 8945
// 5.2.3); after BADKEY and BADSIG there is no MAC.
func TestSignatureErrors(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	w := signedWorker(t, at)
	ask := func(msg []byte) *dns.Msg {
		t.Helper()
		return unpacked(t, w.answer(msg, addr{}, true, make([]byte, 0, defaultUDPPayload)))
	}
	m := newQuestion("www.example.", dns.TypeA, 1232)
	late, _ := signedQuery(t, m, "hmac-sha256", at.Add(-time.Hour))
	r := ask(late)
	rr := r.IsTsig()
	if r.Rcode != dns.RcodeNotAuth || rr == nil || rr.Error != dns.RcodeBadTime || rr.MACSize != 32 || len(r.Answer) != 0 ||
		rr.TimeSigned != uint64(at.Unix())-3600 || rr.OtherData != fmt.Sprintf("%012x", at.Unix()) || r.IsEdns0() == nil {
		t.Errorf("BADTIME: %v", r)
	}
	forged, _ := signedBy(t, m, "hmac-sha256.key.", "hmac-sha256", secretOf("hmac-sha1"), at)
	unknown, _ := signedBy(t, m, "nobody.", "hmac-sha256", secretOf("hmac-sha256"), at)
	for code, msg := range map[uint16][]byte{dns.RcodeBadSig: forged, dns.RcodeBadKey: unknown} {
		r := ask(msg)
		if rr := r.IsTsig(); r.Rcode != dns.RcodeNotAuth || rr == nil || rr.Error != code || rr.MACSize != 0 || len(r.Answer) != 0 {
			t.Errorf("%s: %v", dns.RcodeToString[int(code)], r)
		}
	}
	// RFC 8945 5.2: what cannot be read is FORMERR, without a TSIG.
	good, _ := signedQuery(t, m, "hmac-sha256", at)
	short := bytes.Clone(good)
	mac := bytes.LastIndex(short, []byte("\x00\x20")) // its size, 32 octets
	short[mac+1] = 31
	if r := ask(short); r.Rcode != dns.RcodeFormatError || r.IsTsig() != nil {
		t.Errorf("a TSIG that cannot be read: %v", r)
	}
	if r := ask(good); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 || r.IsTsig() == nil {
		t.Errorf("good: %v", r)
	}
}

// signedWorker answers from signedWorld at a time.
func signedWorker(tb testing.TB, at time.Time) *worker {
	tb.Helper()
	s := &Server{cfg: Config{Live: signedWorld(tb)}}
	s.cfg.Limits.UDPPayload = defaultUDPPayload
	s.SetKeys(allKeys(tb))
	w := newWorker(s)
	w.now = at.UnixNano()
	return w
}

// An answer and its TSIG are within the limit together. What is not truncated
// is whole.
func TestSignedTruncation(t *testing.T) {
	w := signedWorker(t, time.Now())
	whole, cut := 0, 0
	for _, alg := range []string{"hmac-sha1", "hmac-sha256", "hmac-sha512"} {
		for _, size := range []uint16{0, 512, 513, 700, 1232, 4096} {
			for i := range manyTexts {
				m := newQuestion(fmt.Sprintf("n%d.example.", i), dns.TypeTXT, size)
				if i == 0 {
					m = newQuestion("many.example.", dns.TypeTXT, size)
				}
				req, mac := signedQuery(t, m, alg, time.Now())
				res := w.answer(req, addr{}, true, make([]byte, 0, defaultUDPPayload))
				if limit := min(max(int(size), 512), defaultUDPPayload); len(res) > limit {
					t.Fatalf("%s, n%d: %d octets, at most %d are allowed", alg, i, len(res), limit)
				}
				r := unpacked(t, res)
				if err := dns.TsigVerify(res, secretOf(alg), mac, false); err != nil {
					t.Fatalf("%s, n%d, size %d: %v", alg, i, size, err)
				}
				if r.Truncated != (len(r.Answer) == 0) {
					t.Fatalf("%s, n%d, size %d: TC %v with %d records", alg, i, size, r.Truncated, len(r.Answer))
				}
				if whole++; r.Truncated {
					cut++
				}
			}
		}
	}
	if cut == 0 || cut == whole {
		t.Errorf("%d of %d answers were truncated: the test shows nothing", cut, whole)
	}
}

// The longest question, OPT and TSIG fit into the smallest datagram, even with
// BADTIME's other data.
func TestSignedWorstCase(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	w := signedWorker(t, at)
	label := strings.Repeat("x", 63) + "."
	name := label + label + label + strings.Repeat("y", 53) + ".example."
	m := newQuestion(name, dns.TypeA, 512)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: 128, Address: bytes.Repeat([]byte{0x20}, 16)})
	if n, _ := dns.PackDomainName(name, make([]byte, 300), 0, nil, false); n != wire.MaxName {
		t.Fatalf("the name has %d octets, want %d", n, wire.MaxName)
	}
	for want, when := range map[uint16]time.Time{0: at, dns.RcodeBadTime: at.Add(time.Hour)} {
		req, _ := signedBy(t, m, longKey(), "hmac-sha512", base64.StdEncoding.EncodeToString([]byte("long")), when)
		out := make([]byte, 0, 512)
		res := w.answer(req, addr{}, true, out)
		if len(res) == 0 || len(res) > 512 || &res[0] != &out[:1][0] {
			t.Fatalf("%d octets, or elsewhere than in the buffer", len(res))
		}
		r := unpacked(t, res)
		if rr := r.IsTsig(); rr == nil || rr.Error != want || rr.MACSize != 64 || len(r.Question) != 1 {
			t.Errorf("want the TSIG error %d: %v", want, r)
		}
	}
}

// All kinds of replies are signed: to transfers, updates, and to requests that
// are rejected before they are looked at.
func TestSignedKinds(t *testing.T) {
	w := signedWorker(t, time.Now())
	badVersion := newQuestion("www.example.", dns.TypeA, 1232)
	badVersion.IsEdns0().SetVersion(1)
	update := new(dns.Msg)
	update.SetUpdate("example.")
	notify := new(dns.Msg)
	notify.SetNotify("example.")
	badOption := newQuestion("www.example.", dns.TypeA, 1232)
	badOption.IsEdns0().Option = append(badOption.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102"})
	tests := []struct {
		name  string
		m     *dns.Msg
		rcode int
	}{
		{"AXFR", newQuestion("example.", dns.TypeAXFR, 0), dns.RcodeRefused},
		{"UPDATE", update, dns.RcodeRefused},
		{"NOTIFY", notify, dns.RcodeNotAuth},
		{"EDNS version", badVersion, dns.RcodeBadVers},
		{"EDNS option", badOption, dns.RcodeFormatError},
		{"unknown name", newQuestion("none.example.", dns.TypeA, 0), dns.RcodeNameError},
	}
	for _, tt := range tests {
		req, mac := signedQuery(t, tt.m, "hmac-sha256", time.Now())
		res := w.answer(req, addr{}, false, make([]byte, 0, maxMessage))
		r := unpacked(t, res)
		if r.Rcode != tt.rcode || r.IsTsig() == nil {
			t.Errorf("%s: %v", tt.name, r)
			continue
		}
		// miekg/dns verifies no message with NOTAUTH.
		if err := dns.TsigVerify(res, secretOf("hmac-sha256"), mac, false); err != nil && r.Rcode != dns.RcodeNotAuth {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Only to a key that may transfer is shown what is stored: steering records,
// and all addresses of a steered name.
func TestTrustedSeesWhatIsStored(t *testing.T) {
	w := signedWorker(t, time.Now())
	ask := func(m *dns.Msg, alg string) *dns.Msg {
		t.Helper()
		req, err := m.Pack()
		if alg != "" {
			req, _ = signedQuery(t, m, alg, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		return unpacked(t, w.answer(req, addr{v4: true}, true, make([]byte, 0, defaultUDPPayload)))
	}
	for _, tt := range []struct {
		alg              string
		addresses, texts int
	}{{"", 1, 0}, {"hmac-sha512", 1, 0}, {"hmac-sha256", 2, 1}} {
		if r := ask(newQuestion("two.example.", dns.TypeA, 1232), tt.alg); len(r.Answer) != tt.addresses {
			t.Errorf("signed by %q: want %d addresses: %v", tt.alg, tt.addresses, r)
		}
		r := ask(newQuestion("two._steer.example.", dns.TypeTXT, 1232), tt.alg)
		if len(r.Answer) != tt.texts || (r.Rcode == dns.RcodeNameError) != (tt.texts == 0) {
			t.Errorf("signed by %q: want %d steering records: %v", tt.alg, tt.texts, r)
		}
	}
}

// Signed and unsigned queries may follow each other in one write; each answer
// is signed as its query was.
func TestSignedPipelining(t *testing.T) {
	s := startSigned(t)
	c := dial(t, s.Addrs()[0])
	type sent struct{ alg, mac string }
	var all []byte
	var queries []sent
	for i := range 60 {
		m := newQuestion("many.example.", dns.TypeTXT, 1232)
		m.Id = uint16(i)
		q := sent{}
		data, err := m.Pack()
		if alg := i % len(tsigAlgorithms); err == nil && alg > 0 { // miekg/dns knows no hmac-md5
			q.alg = tsigAlgorithms[alg]
			data, q.mac = signedQuery(t, m, q.alg, time.Now())
		}
		all = append(all, framed(data)...)
		queries = append(queries, q)
	}
	go func() { _, _ = c.conn.Write(all) }()
	for i, q := range queries {
		size := make([]byte, 2)
		c.readFull(size)
		res := make([]byte, binary.BigEndian.Uint16(size))
		c.readFull(res)
		r := unpacked(t, res)
		if int(r.Id) != i || len(r.Answer) != manyTexts || (r.IsTsig() != nil) != (q.alg != "") {
			t.Fatalf("answer %d: %v", i, r)
		}
		if q.alg == "" {
			continue
		}
		if err := dns.TsigVerify(res, secretOf(q.alg), q.mac, false); err != nil {
			t.Fatalf("answer %d, %s: %v", i, q.alg, err)
		}
	}
}

// Keys can be replaced while queries are answered: each gets an answer by the
// old keys or the new ones.
func TestSetKeys(t *testing.T) {
	s := startSigned(t)
	old := allKeys(t)
	req, _ := signedQuery(t, newQuestion("www.example.", dns.TypeA, 1232), "hmac-sha256", time.Now())
	var stop atomic.Bool
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for !stop.Load() {
			s.SetKeys(nil)
			s.SetKeys(old)
		}
	})
	for range 200 {
		got, _ := askUDP(t, s.Addrs()[0], req)
		r := unpacked(t, got)
		if rr := r.IsTsig(); rr == nil || (r.Rcode == dns.RcodeSuccess) != (rr.MACSize == 32) || (r.Rcode == dns.RcodeNotAuth) != (rr.Error == dns.RcodeBadKey) {
			t.Fatalf("%v", r)
		}
	}
	stop.Store(true)
	swapping.Wait()
	for _, keys := range []*tsig.Keyring{nil, old} {
		s.SetKeys(keys)
		got, _ := askUDP(t, s.Addrs()[0], req)
		if r := unpacked(t, got); (r.Rcode == dns.RcodeSuccess) != (keys != nil) {
			t.Errorf("with %v: %v", keys, r)
		}
	}
}

// Whatever a message with a TSIG is, the answer is a message within its limit,
// in the buffer that was given, and data goes only to who signed it rightly.
func FuzzAnswerSigned(f *testing.F) {
	at := time.Unix(1_800_000_000, 0)
	w := signedWorker(f, at)
	good, _ := signedQuery(f, newQuestion("www.example.", dns.TypeA, 1232), "hmac-sha256", at)
	long, _ := signedBy(f, newQuestion("many.example.", dns.TypeTXT, 0), longKey(), "hmac-sha512", base64.StdEncoding.EncodeToString([]byte("long")), at)
	late, _ := signedQuery(f, newQuestion("www.example.", dns.TypeA, 512), "hmac-sha512", at.Add(time.Hour))
	for _, msg := range [][]byte{good, long, late} {
		for i := range msg {
			f.Add(msg, uint16(i), byte(1), true)
			f.Add(msg, uint16(i), byte(0xc0), false)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, place uint16, flip byte, udp bool) {
		msg = bytes.Clone(msg)
		if int(place) < len(msg) {
			msg[place] ^= flip
		}
		size := maxMessage
		if udp {
			size = defaultUDPPayload
		}
		out := make([]byte, 0, size)
		res := w.answer(msg, addr{}, udp, out)
		if len(res) == 0 {
			return
		}
		if len(res) > size || &res[0] != &out[:1][0] {
			t.Fatalf("%d octets in answer to %x", len(res), msg)
		}
		r := new(dns.Msg)
		if err := r.Unpack(res); err != nil {
			t.Fatalf("%v: %x in answer to %x", err, res, msg)
		}
		if rr := r.IsTsig(); rr != nil && len(r.Answer) > 0 && rr.Error != 0 {
			t.Fatalf("data with a TSIG error: %v", r)
		}
	})
}
