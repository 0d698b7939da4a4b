package main

import (
	"slices"
	"time"

	"geodns/internal/catalog"
	"geodns/internal/config"
	"geodns/internal/publish"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// catalogs are those that are followed, as they were last read.
type catalogs map[string]*catalog.Catalog // by apex

// readCatalog takes in a version of a catalog that is followed. One that is broken
// says nothing: what the last good one said goes on to hold (RFC 9432 5.1). It
// reports whether something is to be done.
func (d *instance) readCatalog(z *zone.Zone) (changed bool) {
	c, problems := catalog.Members(z)
	for i, p := range problems {
		if i == maxLogged {
			break
		}
		d.log.Error("a catalog zone is not as it should be: correct it at its primary", "catalog", wire.NameString(z.Apex()), "problem", p.Error())
	}
	if c == nil {
		return false
	}
	s := &d.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := catalog.Compare(s.catalogs[string(z.Apex())], c)
	s.catalogs[string(z.Apex())] = c
	for i := range changes.Reset {
		s.reset = append(s.reset, string(changes.Reset[i].Name))
	}
	return !changes.Empty()
}

// followsCatalog reports whether a zone is a catalog that is followed.
func followsCatalog(cfg *config.Config, name string) bool {
	return slices.ContainsFunc(cfg.Catalog.Consume, func(s config.Secondary) bool { return s.Zone == name })
}

// wanted are all zones that are taken from others: those that the configuration
// names, the catalogs, and the members of those. A name that is something else
// already stays that (RFC 9432 5.2).
func (d *instance) wanted(cfg *config.Config) []config.Secondary {
	list := slices.Concat(cfg.Secondary, cfg.Catalog.Consume)
	taken := map[string]bool{cfg.Catalog.Produce: true}
	for i := range list {
		taken[list[i].Zone] = true
	}
	for _, name := range d.ownNames() {
		taken[name] = true
	}
	s := &d.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range cfg.Catalog.Consume {
		from := &cfg.Catalog.Consume[i]
		c := s.catalogs[apexOf(from.Zone)]
		if c == nil {
			continue
		}
		for j := range c.Members {
			name := wire.NameString(c.Members[j].Name)
			if taken[name] {
				continue
			}
			taken[name] = true
			list = append(list, config.Secondary{Zone: name, Primaries: from.Primaries})
		}
	}
	return list
}

// ownNames are the zones that files make, or would if they were not broken.
func (d *instance) ownNames() (names []string) {
	if d.zones == nil {
		return nil
	}
	for _, s := range d.zones.States() {
		if s.Zone != "" {
			names = append(names, s.Zone)
		}
	}
	return names
}

// followCatalogs takes zones from others as the catalogs say by now.
func (d *instance) followCatalogs(cfg *config.Config) error {
	s := &d.sync
	s.following.Lock()
	defer s.following.Unlock()
	list := d.wanted(cfg)
	r, err := rulesOf(cfg, list)
	if err != nil {
		return err
	}
	old := d.secondaries
	s.rules.Store(r)
	s.mu.Lock()
	reset := s.reset
	s.reset = nil
	s.mu.Unlock()
	// What is kept of a member that was reset goes, and it begins anew.
	var again []config.Secondary
	for _, z := range old {
		if !slices.Contains(reset, apexOf(z.Zone)) {
			again = append(again, z)
		}
	}
	if len(again) < len(old) {
		d.setSecondaries(slices.DeleteFunc(slices.Clone(list), func(z config.Secondary) bool { return slices.Contains(reset, apexOf(z.Zone)) }))
		d.dropSecondaries(old, again)
	}
	d.setSecondaries(list)
	d.dropSecondaries(again, list)
	if came := len(list) - len(old); came != 0 {
		d.log.Info("zones that are taken from others", "before", len(old), "now", len(list))
	}
	return nil
}

// produceCatalog makes the catalog of our own zones that of this moment.
func (d *instance) produceCatalog() {
	name := d.sync.config.Load().Catalog.Produce
	if name == "" {
		return
	}
	apex := []byte(apexOf(name))
	old := d.publisher.Serving(apex)
	if old == nil && d.store != nil {
		old, _ = d.store.LoadZone(apex) // or else it begins anew
	}
	var members []catalog.Member
	for _, n := range d.ownNames() {
		members = append(members, catalog.Member{Name: []byte(apexOf(n))})
	}
	var serial uint32
	if old == nil {
		serial = uint32(time.Now().Unix())
	}
	z, changes, err := catalog.Make(old, apex, serial, members)
	switch {
	case err != nil:
		d.log.Error("the catalog of our zones can't be made, the last one stays", "catalog", name, "error", err)
	case z == old && d.publisher.Serving(apex) != nil:
	case z == old:
		d.publisher.Restore(z, nil)
	default:
		var list []*zone.Changeset
		if changes != nil {
			list = append(list, changes)
		}
		if err := d.publisher.Install(z, list, publish.FromCommand, "catalog", nil); err != nil {
			d.log.Error("the catalog of our zones can't be kept, the last one stays", "catalog", name, "error", err)
		}
	}
}

// catalogsChanged has the catalogs looked at: ours, and those that are followed.
func (d *instance) catalogsChanged() {
	select {
	case d.sync.catalogDirty <- struct{}{}:
	default:
	}
}
