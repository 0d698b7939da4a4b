package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/spill"
)

// followLoads lets what is full spill, and what has returned grow.
func (d *instance) followLoads(ctx context.Context) {
	d.spill = spill.New(d.publisher, d.log)
	d.beside.Go(func() { d.spill.Run(ctx) })
}

// addLoads adds how full sites and nodes are, the fullest first, and what is
// being ramped up.
func (d *instance) addLoads(n *control.Nodes, limit int) {
	places := d.spill.Places()
	slices.SortStableFunc(places, func(a, b spill.Place) int {
		return cmp.Or(cmp.Compare(b.Spill, a.Spill), cmp.Compare(b.Rate/float64(b.Capacity), a.Rate/float64(a.Capacity)))
	})
	n.Loads, n.LoadsAll = []control.Load{}, len(places)
	for i := range places[:min(len(places), limit)] {
		n.Loads = append(n.Loads, loadOf(&places[i]))
	}
	ramps := d.publisher.Ramping()
	n.Ramps, n.RampsAll = []control.Ramp{}, len(ramps)
	for i := range ramps[:min(len(ramps), limit)] {
		r := &ramps[i]
		n.Ramps = append(n.Ramps, control.Ramp{Name: r.Name, Zone: r.Zone, Site: r.Site, Address: r.Address, Share: tenths(100 * r.Share), Until: r.End})
	}
}

func loadOf(p *spill.Place) control.Load {
	return control.Load{
		Kind: kindOf(p.Node), Name: p.Name, Zone: p.Zone, Measured: p.Judged,
		Rate: tenths(p.Rate), Capacity: p.Capacity, Spill: tenths(100 * p.Spill),
	}
}

func kindOf(node bool) string {
	if node {
		return control.KindNode
	}
	return control.KindSite
}

func tenths(x float64) float64 { return math.Round(10*x) / 10 }

// loadMetrics is for metrics: those places that have a capacity, one by one if
// they are no more than limit.
func (d *instance) loadMetrics(limit int) (loads []metrics.Load, ramps int) {
	places := d.spill.Places()
	for i := range places[:min(len(places), limit+1)] {
		p := &places[i]
		loads = append(loads, metrics.Load{
			Kind: kindOf(p.Node), Name: p.Name, Zone: p.Zone, Rate: p.Rate, Capacity: float64(p.Capacity), Spill: p.Spill,
		})
	}
	return loads, len(d.publisher.Ramping())
}

// loadsText prints how full places are, and what is being ramped up; nothing if
// there is neither.
func loadsText(w *errWriter, n *control.Nodes, now time.Time, colour bool) {
	table(w, "CAPACITY OF\tKIND\tZONE\tANSWERS/S\tOF\tSPILLS", len(n.Loads), n.LoadsAll-len(n.Loads), "sites and nodes with a capacity", func(i int, w *errWriter) {
		x := &n.Loads[i]
		rate, spills, code := "-", "no", green
		if x.Measured {
			rate = fmt.Sprintf("%.1f", x.Rate)
		}
		if x.Spill > 0 {
			spills, code = fmt.Sprintf("%.1f%% of its clients", x.Spill), yellow
		}
		w.printf("%s\t%s\t%s\t%s\t%d\t%s\n", printable(x.Name), x.Kind, printable(x.Zone), rate, x.Capacity, paint(colour, code, spills))
	})
	table(w, "RAMP OF\tNAME\tWHOLE IN\tTAKES", len(n.Ramps), n.RampsAll-len(n.Ramps), "ramps", func(i int, w *errWriter) {
		x := &n.Ramps[i]
		w.printf("%s\t%s\t%s\t%s\n", printable(x.Site+x.Address), printable(x.Name), age(x.Until.Sub(now)),
			paint(colour, yellow, fmt.Sprintf("%.0f%% of its clients", x.Share)))
	})
}
