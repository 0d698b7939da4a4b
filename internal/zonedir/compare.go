package zonedir

import "fmt"

// compare looks at a new version beside the one before. Serials are no matter of
// files: whoever publishes numbers the versions.
func (s *scan) compare(f *file, r *reading) {
	now := r.Stats.Records
	if lost := f.records - now; !s.o.Force && s.ShrinkLimit > 0 && f.records >= ShrinkFrom && lost*100 > s.ShrinkLimit*f.records {
		r.problem("shrink-limit",
			fmt.Sprintf("the zone has lost %d of its %d records, more than %d percent", lost, f.records, s.ShrinkLimit),
			"if that is meant, geodns reload --force takes it; shrink-limit sets the limit")
		r.Zone, r.Shrunk = nil, true
		return
	}
}
