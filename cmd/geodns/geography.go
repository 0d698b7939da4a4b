package main

import (
	"context"
	"fmt"
	"time"

	"geodns/internal/config"
	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
	"geodns/internal/geo/country"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
)

// geographyOf says where a configuration has its geography from.
func geographyOf(cfg *config.Config) geo.Options {
	return geo.Options{
		Database: cfg.Geo.Database, Networks: cfg.Geo.Networks,
		BuiltIn: builtin.World, Centre: country.Centre, Continent: country.Continent,
	}
}

// startGeography reads the database and the own networks, if there are any: what
// is wrong with them is told before anything is served. The built-in world is
// read when the first policy needs it.
func (d *instance) startGeography() error {
	d.geography = geo.NewKeeper(geographyOf(d.cfg))
	if d.cfg.Geo.Database == "" && d.cfg.Geo.Networks == "" {
		return nil
	}
	t, _, err := d.geography.Reload()
	if err != nil {
		return fmt.Errorf("the geography can't be read:\n%w", err)
	}
	d.tellGeography(t)
	return nil
}

// rankings ranks by the geography as it is now.
func (d *instance) rankings() *steer.Rankings {
	keeper := d.geography
	return steer.NewRankings(func() *geo.Table {
		t, _, err := keeper.Reload()
		if err != nil {
			d.log.Error("the geography can't be read, and what was read before stays", "error", err)
		}
		if t == nil {
			// Only the built-in world is read this late, and it is part of the
			// program; still, no geography is better than no answers.
			t, _ = geo.Load(geo.Options{})
		}
		return t
	})
}

// tellGeography logs what there is, and if the built-in world has grown old.
func (d *instance) tellGeography(t *geo.Table) {
	for _, s := range t.Describe() {
		d.log.Info("geography", "source", s.Source.String(), "file", s.File, "type", s.Type, "built", s.Built.Format(time.DateOnly), "networks", s.Networks)
	}
}

// warnOfOldWorld tells that the world that the program carries is out of date.
func (d *instance) warnOfOldWorld() {
	about, err := builtin.About()
	if err == nil && d.cfg.Geo.Database == "" && about.Stale(time.Now()) {
		d.log.Warn("the built-in world is more than a year old: addresses have moved since",
			"made", about.Date.Format(time.DateOnly), "remedy", "upgrade geodns, or make a database with geodns geo build and name it as geo.database")
	}
}

// followGeography reads the files again when they change.
func (d *instance) followGeography(ctx context.Context) {
	if d.cfg.Geo.Database == "" && d.cfg.Geo.Networks == "" {
		return
	}
	d.beside.Go(func() {
		d.geography.Watch(ctx, geo.WatchOptions{Log: d.log}, d.reloadGeography)
	})
}

// reloadGeography reads files that changed, and steers by them. What can't be
// read changes nothing.
func (d *instance) reloadGeography() {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	t, changed, err := d.geography.Reload()
	if err != nil {
		d.log.Error("the geography was refused, and the last good one stays", "error", err)
	}
	if !changed || t == nil {
		return
	}
	d.tellGeography(t)
	d.publisher.SetRankings(steer.NewRankings(func() *geo.Table { return t }))
}

// acceptZones compiles the steering of what was read from files, before it is
// taken: a zone whose steering is wrong keeps its last good version.
func (d *instance) acceptZones(list []*zonedir.Result) {
	fresh := map[string]*zone.Zone{}
	for _, r := range list {
		fresh[string(r.Apex)] = r.Zone
	}
	for _, r := range list {
		if !d.acceptNumber(r) {
			continue
		}
		var problems []steer.Problem
		r.Steering, problems = d.publisher.Compile(r.Zone, fresh)
		for i := range problems {
			r.Findings = append(r.Findings, r.Places.Finding(&problems[i]))
			if !problems[i].Warning {
				r.Zone, r.Steering = nil, nil
			}
		}
	}
}

// keptSteering tells of a zone whose steering no longer compiles after another
// zone or the geography changed.
func (d *instance) keptSteering(apex []byte, problems []steer.Problem) {
	for i := range problems {
		if p := &problems[i]; !p.Warning {
			d.log.Error("the zone's steering can't be compiled any more, and what was compiled before stays",
				"zone", wire.NameString(apex), "problem", p.Error())
			return
		}
	}
}
