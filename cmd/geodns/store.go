package main

import (
	"context"
	"sync/atomic"
	"time"

	"geodns/internal/config"
	"geodns/internal/health"
	"geodns/internal/monitor"
	"geodns/internal/zonestore"
)

// storeEvery is how often the verdicts are stored while the server runs: what
// is lost if the process is killed is judged anew within seconds.
const storeEvery = 10 * time.Second

// openStore opens the database. A server without one serves all the same, and
// says what it does without.
func (d *instance) openStore() {
	if d.cfg.Store == "" {
		return
	}
	var err error
	if d.store, err = zonestore.Open(d.cfg.Store, d.log); err != nil {
		d.store = nil
		d.storeErrors.Add(1)
		d.log.Warn("there is no store: drains and verdicts are lost at a restart", "error", err,
			"remedy", `name a file that can be written to as store, or say store: ""`)
		return
	}
	d.limitStore(d.cfg)
	verdicts, err := d.store.Verdicts()
	if err != nil {
		d.storeErrors.Add(1)
		d.log.Warn("the stored verdicts can't be read: all nodes are judged anew", "error", err)
	}
	list := make([]monitor.Kept, len(verdicts))
	for i, v := range verdicts {
		list[i] = monitor.Kept{
			Key:    monitor.Key{Addr: v.Addr, Check: v.Check},
			Target: health.Target{State: health.State(v.State), Since: v.Since, Seen: v.Seen, Turned: v.Turned, Damping: int(v.Damping)},
		}
	}
	d.monitor.Restore(list)
}

// limitStore bounds what the store keeps, as a configuration says.
func (d *instance) limitStore(cfg *config.Config) {
	if d.store != nil {
		j := &cfg.Journal
		d.store.SetLimits(zonestore.Limits{ZoneJournal: j.Zone, Total: j.Total, Changes: j.Changes})
	}
}

// keepVerdicts stores them now and then, and at the end.
func (d *instance) keepVerdicts(ctx context.Context) {
	if d.store == nil {
		return
	}
	d.beside.Go(func() {
		tick := time.NewTicker(storeEvery)
		defer tick.Stop()
		for ended := false; !ended; {
			select {
			case <-ctx.Done():
				ended = true
			case <-tick.C:
			}
			d.storeVerdicts()
		}
	})
}

// closeStore closes the store, once all is in it that is served.
func (d *instance) closeStore() {
	if d.store == nil {
		return
	}
	d.publisher.Flush()
	d.sync.versions.compacting.Wait()
	if err := d.store.Close(); err != nil {
		d.log.Warn("the store did not close well", "error", err)
	}
}

func (d *instance) storeVerdicts() {
	kept := d.monitor.Keep()
	verdicts := make([]zonestore.Verdict, 0, len(kept))
	for _, k := range kept {
		if d.loss.Touched(k.Addr) {
			continue // a drill ends with the process
		}
		t := &k.Target
		verdicts = append(verdicts, zonestore.Verdict{
			Addr: k.Addr, Check: k.Check, State: uint8(t.State),
			Since: t.Since, Seen: t.Seen, Turned: t.Turned, Damping: uint8(t.Damping),
		})
	}
	if err := d.store.SetVerdicts(verdicts); err != nil {
		d.storeErrors.Add(1)
		d.log.Warn("the verdicts can't be stored", "error", err)
	}
}

// storedDrains keeps drains in the store, one command each.
type storedDrains struct {
	*zonestore.Store
	errors *atomic.Uint64 // counts what failed
}

const kindDrain = "drain"

func drainKey(d *health.Drain) zonestore.Key {
	return zonestore.Key{Zone: d.Zone, Subject: "site or node", Name: d.Name, Kind: kindDrain}
}

// Load returns the drains that are stored.
func (s storedDrains) Load() (list []health.Drain, err error) {
	states, err := s.States()
	for i := range states {
		if st := &states[i]; st.Kind == kindDrain {
			list = append(list, health.Drain{Zone: st.Zone, Name: st.Name, From: st.From, Until: st.Until, Reason: st.Reason})
		}
	}
	return list, err
}

// Save makes the stored drains those of the list.
func (s storedDrains) Save(list []health.Drain) error {
	err := s.save(list)
	if err != nil {
		s.errors.Add(1)
	}
	return err
}

func (s storedDrains) save(list []health.Drain) error {
	old, err := s.Load()
	if err != nil {
		return err
	}
	wanted := map[zonestore.Key]bool{}
	for i := range list {
		d := &list[i]
		k := drainKey(d)
		wanted[k] = true
		if err := s.PutState(zonestore.State{Key: k, From: d.From, Until: d.Until, Reason: d.Reason}); err != nil {
			return err
		}
	}
	for i := range old {
		if k := drainKey(&old[i]); !wanted[k] {
			if err := s.DeleteState(k); err != nil {
				return err
			}
		}
	}
	return nil
}
