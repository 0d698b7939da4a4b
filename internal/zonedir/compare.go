package zonedir

import (
	"fmt"
	"hash/maphash"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// compare looks at a new version beside the one before.
func (s *scan) compare(f *file, r *reading) {
	now := r.Stats.Records
	if lost := f.records - now; !s.o.Force && s.ShrinkLimit > 0 && f.records >= ShrinkFrom && lost*100 > s.ShrinkLimit*f.records {
		r.problem("shrink-limit",
			fmt.Sprintf("the zone has lost %d of its %d records, more than %d percent", lost, f.records, s.ShrinkLimit),
			"if that is meant, geodns reload --force takes it; shrink-limit sets the limit")
		r.Zone, r.Shrunk = nil, true
		return
	}
	if old := f.zone.Value(); old != nil {
		s.serial(old, r)
	}
}

// serial warns of a serial that secondaries will not see as a new one (RFC 1982
// 3.2).
func (s *scan) serial(old *zone.Zone, r *reading) {
	warn := func(rule, message string) {
		r.Findings = append(r.Findings, zonefile.Finding{
			Pos: zonefile.Pos{File: r.File, Line: 1, Column: 1}, Severity: zonefile.Warning, Rule: rule,
			Message: message, Remedy: "raise it with every change, or secondaries keep the old version",
		})
	}
	was, is := old.Serial(), r.Zone.Serial()
	switch {
	case is == was:
		if s.contents(old) != s.contents(r.Zone) {
			warn("serial-unchanged", fmt.Sprintf("the zone changed, but its serial is still %d", is))
		}
	case int32(is-was) < 0:
		warn("serial-backwards", fmt.Sprintf("the serial went back from %d to %d", was, is))
	}
}

// contents is a sum of a zone's records in no order.
func (s *scan) contents(z *zone.Zone) (sum uint64) {
	var h maphash.Hash
	h.SetSeed(s.seed)
	z.Each(func(owner []byte, set *zone.RRset) bool {
		h.Reset()
		_, _ = h.Write(owner)
		_, _ = h.Write([]byte{byte(set.Type >> 8), byte(set.Type), byte(set.TTL >> 24), byte(set.TTL >> 16), byte(set.TTL >> 8), byte(set.TTL)})
		head := h.Sum64()
		for records := set.Records; ; {
			data, rest, ok := wire.NextRecord(records)
			if !ok {
				return true
			}
			h.Reset()
			_, _ = h.Write(data)
			sum += (h.Sum64() ^ head) * 0x9e3779b97f4a7c15
			records = rest
		}
	})
	return sum
}
