package main

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"

	"geodns/internal/live"
	"geodns/internal/publish"
	"geodns/internal/transfer/send"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonestore"
)

// versions keeps the versions of zones in the store (publish.Versions), and
// knows how they changed (send.Journal).
//
// Of zones that only files make, serials and changes are kept: the file has the
// rest. Of those that also take updates, or come by transfer, everything is.
type versions struct {
	store *zonestore.Store
	live  *live.Holder
	log   *slog.Logger
	// compacting counts those that are under way.
	compacting sync.WaitGroup
}

// hashOf and sourceOf are a publish.Source as the store keeps it, and back.
func hashOf(s publish.Source) (h zonestore.Hash) {
	binary.BigEndian.PutUint64(h[:], uint64(s))
	return h
}

func sourceOf(h zonestore.Hash) publish.Source {
	return publish.Source(binary.BigEndian.Uint64(h[:]))
}

// Last is that of publish.Versions.
func (v *versions) Last(apex []byte) (serial uint32, source publish.Source, ok bool) {
	info, err := v.store.Zone(apex)
	if err != nil || info.Newest.At.IsZero() {
		if err != nil && !errors.Is(err, zonestore.ErrNotThere) {
			v.log.Error("what is kept of a zone can't be read: its history begins anew", "zone", wire.NameString(apex), "error", err)
		}
		return 0, 0, false
	}
	return info.Newest.Serial, sourceOf(info.Source), true
}

// Keep is that of publish.Versions.
func (v *versions) Keep(apex []byte, source publish.Source, list []publish.Version) error {
	last := &list[len(list)-1]
	if last.Changes == nil {
		return v.store.Begin(apex, storedVersion(last), hashOf(source))
	}
	changes := make([]*zonestore.Change, len(list))
	for i := range list {
		changes[i] = &zonestore.Change{
			From: list[i].From, Version: storedVersion(&list[i]), Source: hashOf(source),
			Del: list[i].Changes.Del, Add: list[i].Changes.Add,
		}
	}
	err := v.store.Append(apex, changes...)
	if errors.Is(err, zonestore.ErrNotThere) || errors.Is(err, zonestore.ErrNotNext) {
		if info, bad := v.store.Zone(apex); bad == nil && info.Current != nil {
			return err // what is kept is the truth: nothing may be lost of it
		}
		return v.store.Begin(apex, storedVersion(last), hashOf(source))
	}
	if err == nil {
		v.compact(apex)
	}
	return err
}

// compact keeps a zone as a whole again once there are many changes behind it.
func (v *versions) compact(apex []byte) {
	if due, err := v.store.Due(apex); err != nil || !due {
		return
	}
	v.compacting.Go(func() {
		s := v.live.Load().Zones.Get(apex)
		if s == nil || s.Zone == nil {
			return
		}
		if err := v.store.Compact(apex, zonestore.RecordsOf(s.Zone)); err != nil {
			v.log.Warn("the changes of a zone can't be put together in the store", "zone", wire.NameString(apex), "error", err)
		}
	})
}

func storedVersion(v *publish.Version) zonestore.Version {
	return zonestore.Version{Serial: v.To, At: v.At, Origin: zonestore.Origin(v.Origin), By: v.By, Note: v.Note}
}

// KeepWhole is that of publish.Versions.
func (v *versions) KeepWhole(z *zone.Zone, source publish.Source, version publish.Version) error {
	return v.store.PutContent(z.Apex(), zonestore.Current, storedVersion(&version), hashOf(source), zonestore.RecordsOf(z))
}

// Seed is that of publish.Versions.
func (v *versions) Seed(apex []byte) (*zone.Zone, error) {
	z, _, err := v.store.ContentZone(apex, zonestore.Seed)
	if errors.Is(err, zonestore.ErrNotThere) {
		return nil, nil
	}
	return z, err
}

// KeepSeed is that of publish.Versions.
func (v *versions) KeepSeed(file *zone.Zone, source publish.Source) error {
	version := zonestore.Version{Serial: file.Serial(), Origin: zonestore.FromFile}
	return v.store.PutContent(file.Apex(), zonestore.Seed, version, hashOf(source), zonestore.RecordsOf(file))
}

// Changes is that of send.Journal.
func (v *versions) Changes(apex []byte, from uint32, f func(*send.Change) error) error {
	return v.store.Journal(apex, from, func(c *zonestore.Change) error {
		return f(&send.Change{From: c.From, To: c.Serial, Del: c.Del, Add: c.Add})
	})
}
