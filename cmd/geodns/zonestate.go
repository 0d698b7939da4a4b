package main

import (
	"cmp"
	"slices"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/transfer"
	"geodns/internal/wire"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// maxFindings is how many findings of one file the control socket tells.
const maxFindings = 20

// zoneOf is a file's state as the control socket tells it.
func (d *instance) zoneOf(s *zonedir.State) control.Zone {
	z := control.Zone{
		Name: s.Zone, File: s.File, State: control.StateServing,
		Serial: s.Serial, Records: s.Records, Loaded: s.Loaded, Since: s.Broken,
		Findings: []control.Finding{}, FindingsAll: s.Findings, Told: []control.Told{},
	}
	served := d.servedAs(&z)
	if s.Findings > 0 {
		z.Findings = append(z.Findings, findingOf(s.First))
	}
	switch {
	case s.Broken.IsZero():
	case s.Loaded.IsZero() && !served:
		z.State = control.StateBroken
	default:
		z.State = control.StateKept
	}
	return z
}

// servedAs puts into a zone what is served of it, which has a serial of its own,
// and more records if it takes updates. It reports whether anything is.
func (d *instance) servedAs(z *control.Zone) bool {
	apex := apexOf(z.Name)
	if z.Name == "" || apex == "" {
		return false
	}
	have := d.publisher.Serving([]byte(apex))
	if have == nil {
		return false
	}
	z.Serial = have.Serial()
	if d.sync.rules.Load().zone([]byte(apex)).Updates != nil {
		z.Records = d.counted.records(have)
	}
	return true
}

// changedZone is the version of a zone that a scan brought, as it is served.
func (d *instance) changedZone(r *zonedir.Result) control.Zone {
	z := control.Zone{
		Name: wire.NameString(r.Apex), File: r.File, State: control.StateServing,
		Serial: r.Zone.Serial(), Records: r.Stats.Records,
		Findings: findingsOf(r), FindingsAll: len(r.Findings), Told: []control.Told{},
	}
	d.servedAs(&z)
	return z
}

func findingOf(f zonefile.Finding) control.Finding {
	return control.Finding{At: f.Pos.String(), Severity: severityWord(f.Severity), Message: f.Message, Remedy: f.Remedy, Rule: f.Rule}
}

// findingsOf are the first findings, errors before warnings.
func findingsOf(r *zonedir.Result) []control.Finding {
	sorted := slices.Clone(r.Findings)
	slices.SortStableFunc(sorted, func(a, b zonefile.Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	out := []control.Finding{}
	for _, f := range sorted[:min(len(sorted), maxFindings)] {
		out = append(out, findingOf(f))
	}
	return out
}

// noteBroken keeps the list of files that are broken now, with what was found
// when they were read. It changes with scans only, so that readiness, which is
// asked for all the time, does not walk over 100,000 zones.
func (d *instance) noteBroken(results []zonedir.Result) {
	list := []control.Zone{}
	if d.zones.Counts().Broken > 0 {
		known := map[string][]control.Finding{}
		for _, z := range d.allBroken() {
			known[z.File] = z.Findings
		}
		for i := range results {
			known[results[i].File] = findingsOf(&results[i])
		}
		for _, s := range d.zones.States() {
			if s.Broken.IsZero() {
				continue
			}
			z := d.zoneOf(&s)
			if f := known[s.File]; len(f) > 0 {
				z.Findings = f
			}
			list = append(list, z)
		}
	}
	d.broken.Store(&list)
}

// allBroken are the files that are broken now. The list must not be changed.
func (d *instance) allBroken() []control.Zone {
	if list := d.broken.Load(); list != nil {
		return *list
	}
	return []control.Zone{}
}

// zoneList are the states of the files for which want is true, by file.
func (d *instance) zoneList(want func(*zonedir.State) bool) []control.Zone {
	out := []control.Zone{}
	for _, s := range d.zones.States() {
		if want(&s) {
			out = append(out, d.zoneOf(&s))
		}
	}
	return out
}

// zoneSums is what metrics asks for.
func (d *instance) zoneSums(limit int) metrics.Zones {
	c := d.zones.Counts()
	z := metrics.Zones{
		Serving: c.Zones, Records: c.Records, Broken: c.Broken, Shrunk: c.Shrunk,
		Loads: c.Loads, Failures: c.Failures,
	}
	if c.Zones <= limit {
		for _, s := range d.zones.States() {
			if of := d.zoneOf(&s); !s.Loaded.IsZero() {
				z.List = append(z.List, metrics.Zone{Name: s.Zone, Serial: of.Serial, Records: of.Records, Loaded: s.Loaded})
			}
		}
	}
	for k := range transfer.Kind(transfer.Kinds) {
		z.Exchanges = append(z.Exchanges, metrics.Count{Label: k.String(), N: d.sync.exchanger.Count(k)})
	}
	d.copyMetrics(&z, limit)
	return z
}
