package main

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"

	"geodns/internal/config"
	"geodns/internal/publish"
	"geodns/internal/steer"
	"geodns/internal/transfer/fetch"
	"geodns/internal/transfer/refresh"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonemd"
	"geodns/internal/zonestore"
)

// refreshOptions say how copies of other servers' zones are kept fresh.
func (d *instance) refreshOptions() refresh.Options {
	s := &d.sync
	o := refresh.Options{
		Serial: func(ctx context.Context, p fetch.Primary, apex []byte) (fetch.Seen, error) {
			return fetch.Serial(ctx, p, apex, s.keys.Load())
		},
		Fetch: func(ctx context.Context, p fetch.Primary, apex []byte, have *zone.Zone) (*fetch.Got, error) {
			return fetch.Fetch(ctx, p, apex, have, fetch.Options{Keys: s.keys.Load()})
		},
		Have:    d.copyOf,
		Install: d.installed,
		Expire:  d.expire,
		Revive:  d.revive,
		Pulse:   d.leadsSelf,
		Turned:  d.publisher.PublishVerdicts,
		Most:    d.cfg.Transfer.Max,
		Log:     d.log,
	}
	if d.store != nil {
		o.Timers = storedTimers{d}
	}
	return o
}

// leadsSelf reports whether a copy has failovers that act alone when its primary is
// not heard (lead=self).
func (d *instance) leadsSelf(apex []byte) bool {
	s := d.holder.Load().Zones.Get(apex)
	return s != nil && s.Steering != nil && s.Steering.LeadsSelf()
}

// copyOf is the copy of a zone, expired or not; nil: none.
func (d *instance) copyOf(apex []byte) *zone.Zone {
	if z := d.publisher.Serving(apex); z != nil {
		return z
	}
	d.sync.mu.Lock()
	defer d.sync.mu.Unlock()
	return d.sync.expired[string(apex)]
}

// installed serves a copy that came.
func (d *instance) installed(apex []byte, got *fetch.Got) error {
	if !d.sync.rules.Load().secondary(apex) {
		return errors.New("the zone is no secondary here any more")
	}
	if r := zonemd.Verify(got.Zone); r.Status == zonemd.Mismatch {
		return errors.New(r.Text) // RFC 8976 4
	} else if r.Status != zonemd.None {
		d.log.Debug("the digest of a copy", "zone", wire.NameString(apex), "status", r.Status.String(), "text", r.Text)
	}
	d.sync.mu.Lock()
	delete(d.sync.expired, string(apex))
	d.sync.mu.Unlock()
	return d.publisher.Install(got.Zone, got.Changes, publish.FromTransfer, got.Kind, d.tellCopied(apex))
}

// tellCopied logs what is wrong with the steering of a copy.
func (d *instance) tellCopied(apex []byte) func([]steer.Problem) {
	return func(problems []steer.Problem) {
		d.log.Warn("the steering of a zone that came by transfer is not all right: correct it at its primary",
			"zone", wire.NameString(apex), "problems", problemsText(problems))
	}
}

// expire ends the serving of a copy: nobody has confirmed it for too long (RFC
// 1034 4.3.5).
func (d *instance) expire(apex []byte) {
	if z := d.publisher.Serving(apex); z != nil {
		d.sync.mu.Lock()
		d.sync.expired[string(apex)] = z
		d.sync.mu.Unlock()
	}
	d.publisher.Vacate(apex)
}

// revive serves an expired copy again.
func (d *instance) revive(apex []byte) {
	d.sync.mu.Lock()
	z := d.sync.expired[string(apex)]
	delete(d.sync.expired, string(apex))
	d.sync.mu.Unlock()
	if z != nil {
		d.publisher.Restore(z, d.tellCopied(apex))
	}
}

// restore serves the copies that the store has.
func (d *instance) restore() {
	if d.store == nil {
		return
	}
	for _, s := range slices.Concat(d.cfg.Secondary, d.cfg.Catalog.Consume) {
		d.restoreZone([]byte(apexOf(s.Zone)))
	}
	// What the catalogs listed when the server ended is served before they can be
	// asked again.
	for _, s := range d.cfg.Catalog.Consume {
		if z := d.publisher.Serving([]byte(apexOf(s.Zone))); z != nil {
			d.readCatalog(z)
		}
	}
	if err := d.followRestored(); err != nil {
		d.log.Error("the catalogs can't be followed", "error", err)
	}
}

// followRestored restores the members of the catalogs.
func (d *instance) followRestored() error {
	all := d.wanted(d.cfg)
	r, err := rulesOf(d.cfg, all)
	if err != nil {
		return err
	}
	d.sync.rules.Store(r)
	for _, s := range all[len(d.cfg.Secondary)+len(d.cfg.Catalog.Consume):] {
		d.restoreZone([]byte(apexOf(s.Zone)))
	}
	return nil
}

// restoreUpdated serves what the store has of a zone that takes updates, unless
// it is served already: its file is but its seed. It reports whether the zone is
// served then.
func (d *instance) restoreUpdated(apex []byte) bool {
	r := d.sync.rules.Load()
	if d.store == nil || r == nil || r.zone(apex).Updates == nil {
		return false
	}
	if d.publisher.Serving(apex) == nil {
		d.restoreZone(apex)
	}
	return d.publisher.Serving(apex) != nil
}

// restoreZone serves what the store has of a zone; if that is damaged, it is
// forgotten.
func (d *instance) restoreZone(apex []byte) {
	z, err := d.store.LoadZone(apex)
	switch {
	case errors.Is(err, zonestore.ErrNotThere):
	case err != nil:
		d.storeErrors.Add(1)
		d.log.Error("a zone can't be read from the store: it begins anew from its file or primary", "zone", wire.NameString(apex), "error", err)
		if err := d.store.Forget(apex); err != nil {
			d.log.Error("nor can it be forgotten", "zone", wire.NameString(apex), "error", err)
		}
	default:
		d.publisher.Restore(z, d.tellCopied(apex))
	}
}

// setSecondaries takes zones from others, as a list says, and no longer those
// that it does not name.
func (d *instance) setSecondaries(list []config.Secondary) {
	var zones []refresh.Zone
	for i := range list {
		apex := []byte(apexOf(list[i].Zone))
		zones = append(zones, refresh.Zone{Apex: apex, Primaries: d.primariesOf(&list[i])})
		if d.publisher.Serving(apex) == nil && d.holder.Load().Zones.Get(apex) == nil {
			d.publisher.Vacate(apex)
		}
	}
	d.secondaries = list
	d.sync.refresher.SetZones(zones)
}

// dropSecondaries ends the serving of copies that are not wanted any more.
func (d *instance) dropSecondaries(old, now []config.Secondary) {
	for _, s := range old {
		if slices.ContainsFunc(now, func(n config.Secondary) bool { return n.Zone == s.Zone }) {
			continue
		}
		apex := []byte(apexOf(s.Zone))
		d.publisher.Publish([]publish.Change{{Apex: apex}})
		d.drains.SetForeign(s.Zone, nil)
		if d.store != nil {
			if err := d.store.Forget(apex); err != nil {
				d.log.Warn("a copy can't be taken out of the store", "zone", s.Zone, "error", err)
			}
		}
	}
}

func (d *instance) primariesOf(s *config.Secondary) (list []fetch.Primary) {
	for _, p := range s.Primaries {
		list = append(list, fetch.Primary{Addr: p.Addr, Key: p.Key, TLS: tlsOf(&p), Source: d.sourceFor(p.Addr.Addr().Is6())})
	}
	return list
}

// tlsOf is how a primary is asked over TLS (RFC 9103 9.3); nil: it isn't.
func tlsOf(p *config.Primary) *tls.Config {
	if p.TLS != config.TLSOn && p.TLS != config.TLSVerify {
		return nil
	}
	c := &tls.Config{
		NextProtos: []string{"dot"}, MinVersion: tls.VersionTLS13, ServerName: p.TLSName,
		InsecureSkipVerify: p.TLS == config.TLSOn,
	}
	if c.ServerName == "" {
		c.ServerName = p.Addr.Addr().String()
	}
	return c
}

// storedTimers keeps the timers of copies in the store.
type storedTimers struct{ d *instance }

// Load is that of refresh.Store.
func (s storedTimers) Load(apex []byte) (refresh.Timers, bool) {
	t, ok, err := s.d.store.Timers(apex)
	if err != nil {
		s.d.log.Warn("the timers of a copy can't be read: it counts as old", "zone", wire.NameString(apex), "error", err)
	}
	return refresh.Timers{Serial: t.Serial, Refreshed: t.Refreshed, Refresh: t.Refresh, Expire: t.Expire, Primary: t.Primary}, ok && err == nil
}

// Save is that of refresh.Store.
func (s storedTimers) Save(apex []byte, t refresh.Timers) {
	err := s.d.store.PutTimers(apex, zonestore.Timers{Serial: t.Serial, Refreshed: t.Refreshed, Refresh: t.Refresh, Expire: t.Expire, Primary: t.Primary})
	if err != nil {
		s.d.log.Warn("the timers of a copy can't be kept", "zone", wire.NameString(apex), "error", err)
	}
}
