package main

import (
	"cmp"
	"math"
	"slices"
	"time"

	"geodns/internal/control"
	"geodns/internal/health"
	"geodns/internal/metrics"
	"geodns/internal/monitor"
	"geodns/internal/publish"
	"geodns/internal/steer"
	"geodns/internal/zonefile"
)

// What status and metrics tell of the nodes.

// nodes is for the control socket: short lists, unless all is asked for.
func (d *instance) nodes(all bool) control.Nodes {
	limit := control.MaxListed
	if all {
		limit = math.MaxInt
	}
	now := time.Now()
	list, unstored := d.drains.List()
	n := control.Nodes{Drains: []control.Drain{}, Unstored: unstored, Places: []control.Place{}, Targets: []control.Target{}}
	for i := range list {
		n.Drains = append(n.Drains, drainOf(&list[i], now))
	}
	// What zones bring with them, and what was commanded here alone, are told
	// apart: another server may not know of the latter.
	foreign := d.drains.Foreign()
	for i := range foreign {
		f := drainOf(&foreign[i], now)
		f.Primary = true
		n.Drains = append(n.Drains, f)
	}
	list = append(list, foreign...)
	targets, counts := d.monitor.Targets(limit)
	n.TargetsAll = counts.Targets
	n.Counts = control.Counts{
		Up: counts.Up, Down: counts.Down, Unknown: counts.Unknown, Refused: counts.Refused,
		Stale: counts.Stale, Joining: counts.Joining, Damped: counts.Damped, Probes: d.monitor.Stats().UnderWay,
	}
	for i := range targets {
		n.Targets = append(n.Targets, targetOf(&targets[i]))
	}
	n.Isolation = d.isolation()
	d.addSides(&n, limit)
	d.addPlaces(&n, list, now, limit)
	d.addNames(&n, limit)
	d.addLoads(&n, limit)
	return n
}

func drainOf(d *health.Drain, now time.Time) control.Drain {
	return control.Drain{Name: d.Name, Zone: d.Zone, Active: d.Active(now), From: d.From, Until: d.Until, Reason: d.Reason}
}

func targetOf(t *monitor.Target) control.Target {
	out := control.Target{
		Address: t.Addr.String(), Check: t.Name, Zone: t.Zone, Type: string(t.Type), Text: t.Check,
		Verdict: t.Judged.State.String(), Since: t.Judged.Since, Stale: t.Judged.Stale, Joining: t.Joining, Refused: t.Why,
		OK: t.Last.OK, Reason: t.Last.Reason, Seconds: t.Last.RTT.Seconds(), At: t.LastAt, Next: t.Next,
		Fails: t.Judged.Fails, Successes: t.Judged.Successes, Fall: t.Rule.Fall, Rise: t.Asks,
	}
	out.Damped, out.Held = t.Asks > t.Rule.Rise, t.Held
	if t.Joining {
		out.Verdict = health.Joining.String()
	}
	return out
}

func recordsOf(c steer.Count) control.Records {
	return control.Records{Live: c.Live, Drained: c.Drained, All: c.All}
}

func placeOf(p *publish.Place, list health.Drains, now time.Time) control.Place {
	out := control.Place{Kind: control.KindSite, Name: p.Name, Zone: p.Zone, Records: recordsOf(p.Count)}
	if p.Node {
		out.Kind = control.KindNode
	}
	switch {
	case p.Declared:
		out.Drained = "by the zone"
	case list.Covers(p.Zone, p.Name, now):
		out.Drained = "by command"
	}
	return out
}

// addPlaces adds the sites and then the nodes, what is wrong first.
func (d *instance) addPlaces(n *control.Nodes, list health.Drains, now time.Time, limit int) {
	places := d.publisher.Places()
	n.PlacesAll = len(places)
	rank := func(p *publish.Place) int {
		r := 0
		if p.Live == p.All {
			r = 2
		}
		if p.Node {
			r++
		}
		return r
	}
	slices.SortStableFunc(places, func(a, b publish.Place) int { return cmp.Compare(rank(&a), rank(&b)) })
	for i := range places[:min(len(places), limit)] {
		n.Places = append(n.Places, placeOf(&places[i], list, now))
	}
}

// addNames adds the steered names, what is wrong first. Of a great many only
// those that will be listed are kept.
func (d *instance) addNames(n *control.Nodes, limit int) {
	well, ill := names{limit: limit}, names{limit: limit}
	d.publisher.EachNamed(func(p publish.Named) bool {
		for i := range p.Types {
			one := nameOf(&p, &p.Types[i])
			n.NamesAll++
			if one.Well() {
				well.add(one)
			} else {
				n.NamesTroubled++
				ill.add(one)
			}
		}
		return true
	})
	n.Names = append(ill.first(), well.first()...)
	n.Names = n.Names[:min(len(n.Names), limit)]
}

func nameOf(p *publish.Named, c *publish.Chosen) control.Name {
	out := control.Name{
		Name: p.Name, Zone: p.Zone, Type: zonefile.TypeString(c.Type), Policy: p.Policy,
		Stage: c.Stage.String(), Records: recordsOf(c.Count), Sites: []control.SiteRecord{},
	}
	for i := range c.Sites {
		out.Sites = append(out.Sites, control.SiteRecord{Site: c.Sites[i].Name, Records: recordsOf(c.Sites[i].Count)})
	}
	return out
}

// names keeps the first of many names, by zone, name and type.
type names struct {
	limit int
	list  []control.Name
}

func (n *names) add(one control.Name) {
	n.list = append(n.list, one)
	if len(n.list)/2 >= n.limit {
		n.first()
	}
}

func (n *names) first() []control.Name {
	slices.SortFunc(n.list, func(a, b control.Name) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	n.list = n.list[:min(len(n.list), n.limit)]
	return n.list
}

// nodeMetrics is for metrics.
func (d *instance) nodeMetrics(limit int) metrics.Nodes {
	c, s := d.monitor.Counts(), d.monitor.Stats()
	n := metrics.Nodes{
		Targets: []metrics.Count{
			{Label: "up", N: uint64(c.Up)},
			{Label: "down", N: uint64(c.Down)},
			{Label: "unknown", N: uint64(c.Unknown)},
			{Label: "joining", N: uint64(c.Joining)},
			{Label: "refused", N: uint64(c.Refused)},
		},
		Turns:  []metrics.Count{{Label: "up", N: s.Up}, {Label: "down", N: s.Down}, {Label: "unknown", N: s.Unknown}},
		Damped: c.Damped, UnderWay: s.UnderWay, Publications: s.Publications,
	}
	for i := range s.Types {
		t := &s.Types[i]
		n.Probes = append(n.Probes, metrics.Probes{
			Type:      t.Type,
			Results:   []metrics.Count{{Label: "ok", N: t.OK}, {Label: "failed", N: t.Failed}, {Label: "local", N: t.Local}},
			Durations: metrics.Histogram{Label: t.Type, Bounds: monitor.DurationBounds(), Counts: t.Durations, Sum: t.Sum},
		})
	}
	d.isolationMetrics(&n)
	d.sideMetrics(&n)
	n.Drains, n.Names, n.StoreErrors = d.drainCounts(), d.nameCounts(), d.storeErrors.Load()
	n.Drill = d.lossNow()
	n.Loads, n.Ramps = d.loadMetrics(limit)
	if c.Targets-c.Refused <= limit {
		n.List = d.targetMetrics()
	}
	return n
}

func (d *instance) drainCounts() []metrics.Count {
	list, _ := d.drains.List()
	now := time.Now()
	active := uint64(0)
	for i := range list {
		if list[i].Active(now) {
			active++
		}
	}
	return []metrics.Count{{Label: "active", N: active}, {Label: "scheduled", N: uint64(len(list)) - active}}
}

// maxCounted is how many policies a scrape looks at.
const maxCounted = 20_000

// nameCounts says how many types of steered names are answered from all of their
// records, from some and from none that lives; nil if there are too many names.
func (d *instance) nameCounts() []metrics.Count {
	var whole, reduced, none uint64
	policies := 0
	d.publisher.EachNamed(func(p publish.Named) bool {
		policies++
		for i := range p.Types {
			switch one := nameOf(&p, &p.Types[i]); {
			case one.Well():
				whole++
			case one.Records.Live == 0:
				none++
			default:
				reduced++
			}
		}
		return policies <= maxCounted
	})
	if policies > maxCounted {
		return nil
	}
	return []metrics.Count{{Label: "whole", N: whole}, {Label: "reduced", N: reduced}, {Label: "nothing-live", N: none}}
}

// targetMetrics are those that are probed, one by one.
func (d *instance) targetMetrics() (list []metrics.Target) {
	targets, _ := d.monitor.Targets(0)
	for i := range targets {
		t := &targets[i]
		if t.Refused {
			continue
		}
		one := metrics.Target{Address: t.Addr.String(), Check: t.Check, Up: math.NaN(), Seconds: t.Last.RTT.Seconds(), At: t.LastAt}
		switch t.Judged.State {
		case health.Up:
			one.Up = 1
		case health.Down:
			one.Up = 0
		}
		list = append(list, one)
	}
	return list
}
