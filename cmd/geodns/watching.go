package main

import (
	"fmt"
	"sync"

	"geodns/internal/config"
	"geodns/internal/zonedir"
)

// watch begins to watch the zones directory, before the first scan, so that
// nothing is missed in between.
func (d *instance) watch() error {
	mode, err := zonedir.ParseMode(string(d.cfg.Watch))
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if d.watcher, err = d.zones.Watch(zonedir.WatchOptions{Mode: mode, Log: d.log}); err != nil {
		return err
	}
	ended := make(chan struct{})
	d.unwatched = ended
	d.unwatch = sync.OnceFunc(func() {
		close(ended)
		d.watcher.Close()
	})
	return nil
}

// follow reads what the watcher notices, until it is closed.
func (d *instance) follow() {
	d.beside.Go(func() {
		for {
			select {
			case <-d.unwatched:
				return
			case b := <-d.watcher.Batches():
				if r := d.reloadZones(zonedir.ScanOptions{Names: b.Names}); r.Error != "" {
					d.log.Error("the zone files cannot be read, the old versions stay in service", "error", r.Error)
				}
			}
		}
	})
}

// applyConfig sets what a reload can change.
func (d *instance) applyConfig(cfg *config.Config) {
	d.level.Set(cfg.Log.Level)
	d.zones.ShrinkLimit = cfg.ShrinkLimit
}
