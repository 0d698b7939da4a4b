package main

import (
	"fmt"
	"sync"
	"time"
	"weak"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// recordCounts remembers how many records versions have: to count them takes a
// walk over all, and status and metrics ask again and again.
type recordCounts struct {
	mu   sync.Mutex
	last map[string]counted // by apex
}

// counted is how many records a version has, which is not kept alive for that.
type counted struct {
	of weak.Pointer[zone.Zone]
	n  int
}

func (c *recordCounts) records(z *zone.Zone) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.last[string(z.Apex())]; ok && known.of.Value() == z {
		return known.n
	}
	if c.last == nil {
		c.last = map[string]counted{}
	}
	n := z.Records()
	c.last[string(z.Apex())] = counted{weak.Make(z), n}
	return n
}

// zoneStates are the zones of the names, or all: those of files first.
func (d *instance) zoneStates(names []string) ([]control.Zone, error) {
	if len(names) == 0 {
		return d.zonesNamed(nil), nil
	}
	out := []control.Zone{}
	for _, name := range names {
		apex, err := zonefile.ParseNameLower(name, []byte{0})
		if err != nil {
			return nil, fmt.Errorf("%q is no zone's name: %w", name, err)
		}
		zones := d.zonesNamed(apex)
		if len(zones) == 0 {
			return nil, &control.NotServedError{Zone: wire.NameString(apex)}
		}
		out = append(out, zones...)
	}
	return out, nil
}

// zonesNamed are the zones of an apex, nil: all.
func (d *instance) zonesNamed(apex []byte) []control.Zone {
	shown := wire.NameString(apex)
	want := func([]byte) bool { return true }
	if apex != nil {
		want = isZone(apex)
	}
	list := d.zoneList(func(s *zonedir.State) bool { return apex == nil || s.Zone == shown })
	for i := range list {
		if list[i].Name != "" {
			list[i].Told = d.toldList([]byte(apexOf(list[i].Name)))
		}
	}
	list = append(list, d.copies(want)...)
	if apex == nil || len(list) == 0 {
		list = append(list, d.madeHere(list, want)...)
	}
	return list
}

// eachServed calls f with the apex of every zone that is answered for.
func (d *instance) eachServed(f func(apex []byte)) {
	d.holder.Load().Zones.Each(func(s *world.Served) bool {
		f(s.Apex())
		return true
	})
}

// servedBeside is what is answered from, beside the zones of files.
func (d *instance) servedBeside() (zones, records int) {
	for _, z := range d.copies(func([]byte) bool { return true }) {
		if z.State == control.StateServing {
			zones++
			records += z.Records
		}
	}
	return zones, records
}

// copyReasons are the zones taken from others that can't be answered.
func (d *instance) copyReasons() (reasons []string) {
	more := 0
	for _, s := range d.sync.refresher.Status() {
		state := copyState(&s)
		if state == control.StateServing {
			continue
		}
		if len(reasons) == maxReasons {
			more++
			continue
		}
		text := "zone " + wire.NameString(s.Apex) + " has not come from its primaries yet"
		if state == control.StateExpired {
			text = "zone " + wire.NameString(s.Apex) + " has expired: no primary has confirmed it since " + s.LastOK.UTC().Format(time.RFC3339)
			if s.LastOK.IsZero() {
				text = "zone " + wire.NameString(s.Apex) + " has expired: no primary has confirmed it since the server was started"
			}
		}
		if s.LastError != "" {
			text += ": " + s.LastError
		}
		reasons = append(reasons, text)
	}
	if more > 0 {
		reasons = append(reasons, fmt.Sprintf("%d more zones can't be had from their primaries", more))
	}
	return reasons
}

// copyMetrics adds the copies to what metrics asks for.
func (d *instance) copyMetrics(z *metrics.Zones, limit int) {
	list := d.copies(func([]byte) bool { return true })
	states := map[string]uint64{}
	for i := range list {
		c := &list[i]
		state := c.State
		if state == control.StateServing {
			z.Serving++
			z.Records += c.Records
			if c.Copy.Error != "" {
				state = "failing"
			}
		}
		states[state]++
	}
	for _, state := range []string{control.StateServing, "failing", control.StateExpired, control.StateWaiting} {
		z.Copies = append(z.Copies, metrics.Count{Label: state, N: states[state]})
	}
	if z.Serving > limit {
		z.List = nil
		return
	}
	for i := range list {
		if c := &list[i]; !c.Copy.Expires.IsZero() {
			z.List = append(z.List, metrics.Zone{Name: c.Name, Serial: c.Serial, Records: c.Records, Expires: c.Copy.Expires})
		}
	}
}
