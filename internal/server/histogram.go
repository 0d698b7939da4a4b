package server

import (
	"math/bits"

	"geodns/internal/wire"
)

// Types is how many types of questions are counted apart, those that are not
// among them together.
const Types = 18

// typeNames are the types by their slot.
var typeNames = [Types]string{
	"other", "A", "AAAA", "MX", "SRV", "NS", "SOA", "TXT", "PTR", "CNAME", "DS", "HTTPS", "SVCB", "ANY", "AXFR", "IXFR", "DNSKEY", "CAA",
}

// typeSlots has the slot of each type below 258; 0 is the others'.
var typeSlots = [258]uint8{
	wire.TypeA: 1, wire.TypeAAAA: 2, wire.TypeMX: 3, wire.TypeSRV: 4, wire.TypeNS: 5, wire.TypeSOA: 6,
	wire.TypeTXT: 7, wire.TypePTR: 8, wire.TypeCNAME: 9, wire.TypeDS: 10, wire.TypeHTTPS: 11, wire.TypeSVCB: 12,
	wire.TypeANY: 13, wire.TypeAXFR: 14, wire.TypeIXFR: 15, wire.TypeDNSKEY: 16, typeCAA: 17,
}

// typeCAA is of RFC 8659.
const typeCAA wire.Type = 257

// TypeName names the type of a slot below Types; "other" is the rest.
func TypeName(slot int) string { return typeNames[slot] }

// Type is how many questions asked for the type of a slot: all that could be
// read, whatever became of them.
func (c *Counters) Type(slot int) uint64 { return c[firstType+Counter(slot)] }

func typeCounter(t wire.Type) Counter {
	if int(t) >= len(typeSlots) {
		return firstType
	}
	return firstType + Counter(typeSlots[t])
}

// Transport tells the histograms apart.
type Transport uint8

// The transports.
const (
	OverUDP Transport = iota
	OverTCP
)

const (
	sizeBuckets     = 11 // up to 64, 128, .. 32768, 65535 octets
	leastSize       = 6  // as a power of two
	durationBuckets = 14 // durationBounds and what is longer
)

// durationBounds are the upper bounds of the buckets, in nanoseconds.
var durationBounds = [durationBuckets - 1]int64{
	10e3, 20e3, 50e3, 100e3, 200e3, 500e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6,
}

// SizeBounds returns the upper bounds of the buckets of Sizes, in octets.
func SizeBounds() []float64 {
	out := make([]float64, sizeBuckets)
	for i := range out {
		out[i] = float64(int(1) << (leastSize + i))
	}
	out[sizeBuckets-1] = maxMessage
	return out
}

// DurationBounds returns the upper bounds of all buckets of Durations but the
// last, in seconds.
func DurationBounds() []float64 {
	out := make([]float64, len(durationBounds))
	for i, d := range durationBounds {
		out[i] = float64(d) / 1e9
	}
	return out
}

// Sizes is how many replies were sent by their length, one value a bucket.
func (c *Counters) Sizes(t Transport) []uint64 {
	first := firstUDPSize
	if t == OverTCP {
		first = firstTCPSize
	}
	return c[first : first+sizeBuckets]
}

// Durations is how many replies were sent by the time that they took, one value
// a bucket, and the sum of these times in seconds. Over UDP that is from when
// recvmmsg returned until sendmmsg had sent the batch, and every reply of the
// batch counts the batch's time; over TCP, from when a message was there whole
// until the answers that are written together with its own were written.
func (c *Counters) Durations(t Transport) (buckets []uint64, sum float64) {
	first, total := firstUDPDuration, udpNanoseconds
	if t == OverTCP {
		first, total = firstTCPDuration, tcpNanoseconds
	}
	return c[first : first+durationBuckets], float64(c[total]) / 1e9
}

// sizeBucket is the bucket of a reply's length in octets, which is at most
// maxMessage.
func sizeBucket(n uint32) Counter {
	return Counter(max(leastSize, bits.Len32(n-1)) - leastSize)
}

// took counts n replies that took d nanoseconds each.
func (t *tally) took(first, total Counter, n int, d int64) {
	if n <= 0 || d < 0 {
		return
	}
	i := 0
	for i < len(durationBounds) && d > durationBounds[i] {
		i++
	}
	t.add(first+Counter(i), uint64(n))
	t.add(total, uint64(n)*uint64(d))
}
