package server

import (
	"context"
	"slices"
	"testing"
	"time"

	"geodns/internal/live"
	"geodns/internal/wire"
)

// What is counted after a batch is read as it was counted, and nothing twice.
func TestTallyPublishes(t *testing.T) {
	var w tally
	var want Counters
	for round := range 3 {
		for c := range NumCounters {
			if int(c)%3 == round {
				w.add(c, uint64(c)+1)
				w.count(c)
				want[c] += uint64(c) + 2
			}
		}
		w.publish()
		var got Counters
		if w.read(&got); got != want {
			t.Fatalf("round %d: read %v, want %v", round, got, want)
		}
	}
	w.count(Dropped)
	var got Counters
	if w.read(&got); got != want {
		t.Error("a count is read before its batch has ended")
	}
}

func TestSizeBucket(t *testing.T) {
	bounds := SizeBounds()
	for n := 1; n <= maxMessage; n++ {
		b := int(sizeBucket(uint32(n)))
		if float64(n) > bounds[b] || b > 0 && float64(n) <= bounds[b-1] {
			t.Fatalf("%d octets are counted up to %v", n, bounds[b])
		}
	}
	if bounds[0] != 64 || !slices.IsSorted(bounds) {
		t.Errorf("bounds are %v", bounds)
	}
}

func TestTook(t *testing.T) {
	tests := []struct {
		d      time.Duration
		bucket int
	}{
		{0, 0},
		{10 * time.Microsecond, 0},
		{10*time.Microsecond + 1, 1},
		{time.Millisecond, 6},
		{100 * time.Millisecond, 12},
		{time.Hour, 13},
	}
	for _, tt := range tests {
		var w tally
		w.took(firstUDPDuration, udpNanoseconds, 3, int64(tt.d))
		buckets, sum := w.n.Durations(OverUDP)
		want := make([]uint64, durationBuckets)
		want[tt.bucket] = 3
		if !slices.Equal(buckets, want) || sum != (3*tt.d).Seconds() {
			t.Errorf("%v: %v, sum %v; want %v, %v", tt.d, buckets, sum, want, (3 * tt.d).Seconds())
		}
	}
	var w tally
	w.took(firstTCPDuration, tcpNanoseconds, 0, 5)
	w.took(firstTCPDuration, tcpNanoseconds, 5, -1) // a clock that went back
	if w.n != (Counters{}) {
		t.Errorf("nothing was sent, but counted: %v", w.n)
	}
}

func TestTypeCounter(t *testing.T) {
	types := map[wire.Type]string{
		wire.TypeA: "A", wire.TypeAAAA: "AAAA", wire.TypeMX: "MX", wire.TypeSRV: "SRV", wire.TypeNS: "NS",
		wire.TypeSOA: "SOA", wire.TypeTXT: "TXT", wire.TypePTR: "PTR", wire.TypeCNAME: "CNAME", wire.TypeDS: "DS",
		wire.TypeHTTPS: "HTTPS", wire.TypeSVCB: "SVCB", wire.TypeANY: "ANY", wire.TypeAXFR: "AXFR",
		wire.TypeIXFR: "IXFR", wire.TypeDNSKEY: "DNSKEY", typeCAA: "CAA",
	}
	for typ := range 1 << 16 {
		want, known := types[wire.Type(typ)]
		if !known {
			want = "other"
		}
		if got := TypeName(int(typeCounter(wire.Type(typ)) - firstType)); got != want {
			t.Errorf("type %d is counted as %s, want %s", typ, got, want)
		}
	}
}

// message is query(1) for a type, with an OPT of 4096 octets if there are
// options or flags for it.
func message(typ wire.Type, do bool, options ...byte) []byte {
	q := query(1)
	q[len(q)-4], q[len(q)-3] = byte(typ>>8), byte(typ)
	if !do && options == nil {
		return q
	}
	flags := byte(0)
	if do {
		flags = 0x80
	}
	q[11] = 1
	q = append(q, 0, 0, 41, 0x10, 0, 0, 0, flags, 0, 0, byte(len(options)))
	return append(q, options...)
}

// What was asked, with which options, and how replies went out is counted over
// both transports.
func TestCounts(t *testing.T) {
	s, err := Listen(Config{Listen: listen("127.0.0.1:0"), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	defer func() { _ = s.Shutdown(context.Background()) }()
	subnet := []byte{0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2}
	messages := [][]byte{
		message(wire.TypeA, false),
		message(wire.TypeAAAA, true),
		message(wire.TypeHTTPS, false, subnet...),
		message(999, true, subnet...),
		message(wire.TypeA, false)[:20], // malformed
	}
	c := dial(t, s.Addrs()[0])
	for _, m := range messages {
		askUDP(t, s.Addrs()[0], m)
		c.write(framed(m))
		length := make([]byte, lenPrefix)
		c.readFull(length)
		c.readFull(make([]byte, int(length[0])<<8|int(length[1])))
	}
	eventually(t, s, "all replies are counted", func(c Counters) bool {
		udp, _ := c.Durations(OverUDP)
		tcp, _ := c.Durations(OverTCP)
		return total(udp) == 5 && total(tcp) == 5
	})
	n := s.Counters()
	for name, want := range map[string]uint64{"A": 2, "AAAA": 2, "HTTPS": 2, "other": 2, "MX": 0} {
		slot := slices.Index(typeNames[:], name)
		if got := n.Type(slot); got != want {
			t.Errorf("%d questions of type %s, want %d", got, name, want)
		}
	}
	if n[EDNS] != 6 || n[DNSSEC] != 4 || n[Subnet] != 4 || n[Truncated] != 0 {
		t.Errorf("EDNS %d, DO %d, ECS %d, TC %d; want 6, 4, 4, 0", n[EDNS], n[DNSSEC], n[Subnet], n[Truncated])
	}
	if n.Rcode(int(wire.RcodeRefused)) != 8 || n.Rcode(int(wire.RcodeFormErr)) != 2 {
		t.Errorf("%d refused, %d malformed; want 8, 2", n.Rcode(int(wire.RcodeRefused)), n.Rcode(int(wire.RcodeFormErr)))
	}
	for _, transport := range []Transport{OverUDP, OverTCP} {
		if got := n.Sizes(transport); total(got) != 5 || got[0] != 5 {
			t.Errorf("sizes are %v, want 5 of at most 64 octets", got)
		}
		if _, sum := n.Durations(transport); sum <= 0 {
			t.Errorf("replies took %v seconds", sum)
		}
	}
	if running, started := s.Loops(); running != 2 || started != 2 {
		t.Errorf("%d of %d loops run, want 2 of 2", running, started)
	}
}

func total(counts []uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// A truncated reply is counted as such.
func TestCountsTruncated(t *testing.T) {
	w := newTestWorker()
	reply := w.answers.reply
	reply.Reset()
	req := message(wire.TypeA, false)
	w.answers.query.Parse(req, false)
	reply.TC = true
	res := w.answers.encoder.Append(make([]byte, 0, 512), req, &w.answers.query, reply, &wire.Response{Limit: 512})
	w.countReply(reply, res)
	if w.n[Truncated] != 1 || w.n.Rcode(0) != 1 {
		t.Errorf("%d truncated, %d replies; want 1, 1", w.n[Truncated], w.n.Rcode(0))
	}
}

func newTestWorker() *worker {
	s := &Server{cfg: Config{Live: live.New()}}
	s.cfg.Limits.UDPPayload = defaultUDPPayload
	return newWorker(s)
}

// Answering, counting and publishing allocate nothing.
func TestCountingAllocatesNothing(t *testing.T) {
	w := newTestWorker()
	req := message(wire.TypeAAAA, true)
	out := make([]byte, 0, defaultUDPPayload)
	before := w.n[EDNS]
	n := testing.AllocsPerRun(100, func() {
		w.answer(req, addr{}, true, out)
		w.publish()
	})
	if n != 0 || w.n[EDNS] == before {
		t.Errorf("%v allocations a query, %d queries counted", n, w.n[EDNS]-before)
	}
}

// BenchmarkAnswer answers without sockets, a batch a query: what a query costs
// a worker beside the kernel, with the counting and publishing.
func BenchmarkAnswer(b *testing.B) {
	w := newTestWorker()
	req := message(wire.TypeAAAA, true)
	out := make([]byte, 0, defaultUDPPayload)
	b.ReportAllocs()
	for b.Loop() {
		w.answer(req, addr{}, true, out)
		w.publish()
	}
}

// BenchmarkPublish publishes what one query over UDP changes.
func BenchmarkPublish(b *testing.B) {
	var w tally
	b.ReportAllocs()
	for b.Loop() {
		w.count(UDP4Queries)
		w.add(UDP4QueryBytes, 40)
		w.count(firstOutcome)
		w.count(firstRcode)
		w.count(firstType + 1)
		w.count(EDNS)
		w.count(UDP4Replies)
		w.add(UDP4ReplyBytes, 60)
		w.count(firstUDPSize)
		w.took(firstUDPDuration, udpNanoseconds, 1, 15000)
		w.publish()
	}
}
