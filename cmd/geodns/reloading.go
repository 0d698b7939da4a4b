package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"geodns/internal/control"
	"geodns/internal/publish"
	"geodns/internal/server"
	"geodns/internal/wire"
	"geodns/internal/zonedir"
)

// manyRecords is from how many records on, read at the start, what the reading
// leaves is worth giving back to the system: that takes a full collection.
const manyRecords = 50_000

// maxTold is how many zones of a kind a reload lists.
const maxTold = 1000

// load reads zone files and publishes what they make. d.reloading is held, or
// nothing else runs yet.
func (d *instance) load(o zonedir.ScanOptions) ([]zonedir.Result, error) {
	defer d.mindMemory()()
	results, err := d.zones.ScanWith(o)
	if err != nil {
		return nil, err
	}
	d.tellStale()
	if len(results) == 0 {
		return nil, nil
	}
	var changes []publish.Change
	records := 0
	for i := range results {
		r := &results[i]
		records += r.Stats.Records
		d.report(r)
		switch {
		case r.Zone != nil, r.Gone:
			if r.Zone != nil {
				d.restoreUpdated(r.Apex)
			}
			changes = append(changes, publish.Change{Apex: r.Apex, Zone: r.Zone, Steering: r.Steering, Source: publish.Source(r.Source), By: filepath.Base(r.File)})
		case r.Apex != nil && !r.Kept && !d.restoreUpdated(r.Apex):
			changes = append(changes, publish.Change{Apex: r.Apex, Vacant: true})
		}
	}
	d.publisher.Publish(changes)
	d.catalogsChanged()
	d.noteBroken(results)
	d.log.Info("zone files read", summary(results)...)
	if records >= manyRecords && d.server == nil {
		debug.FreeOSMemory()
	}
	return results, nil
}

// readingRoom is how much memory a reading may take, beside what is in use,
// before it is collected in the middle.
const readingRoom = 256 << 20

// mindMemory suits the runtime to a reading, and returns what ends that.
//
// Before anything is served, memory counts: what reading leaves is collected
// often, and given back at once. Later, time counts: a collection stops the
// world, which waits for readers that give way to everybody. So none begins
// before they have ended, unless memory would be twice what it was.
func (d *instance) mindMemory() (end func()) {
	if d.server == nil {
		before := debug.SetGCPercent(25)
		return func() { debug.SetGCPercent(before) }
	}
	used := memoryInUse()
	limit := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(limit, used+max(used, readingRoom)))
	collect := debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(collect)
		debug.SetMemoryLimit(limit)
	}
}

// memoryInUse is what the runtime has from the system, in octets.
func memoryInUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// makePlaces gives the runtime a place for each thread that waits for
// datagrams beside those for the CPUs (sockets of them). Else the runtime's
// monitor would take its place from every thread that waits, 50,000 times a
// second, to hand it to nobody; and a reading of zones would have to wait for a
// place that has become free.
func makePlaces(sockets int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(server.CPUs() + sockets)
	}
}

// tellStale logs a lock of git that was left behind, once.
func (d *instance) tellStale() {
	lock := d.zones.Stale()
	if lock != "" && lock != d.stale {
		d.log.Warn("git's lock has stood for long, and is waited for no more: zones may be read in the middle of a checkout",
			"lock", lock, "remedy", "remove it if no git runs")
	}
	d.stale = lock
}

// reload reads the configuration and the zone files that changed: what SIGHUP
// and geodns reload do. force takes what the shrink limit would refuse.
func (d *instance) reload(force bool) control.Reload {
	d.notify.reloading()
	defer func() { d.notify.ready(fmt.Sprintf("serving %d zones", d.zones.Counts().Zones)) }()
	return d.serially(true, func(r *control.Reload) ([]zonedir.Result, error) {
		var err error
		if r.Warnings, err = d.reloadConfig(); err != nil {
			return nil, err
		}
		return d.load(zonedir.ScanOptions{Force: force})
	})
}

// commanded is reload by the control socket, where only the client would know
// that it failed.
func (d *instance) commanded(force bool) control.Reload {
	r := d.reload(force)
	if r.Error != "" {
		d.log.Error("reload failed, the old state stays in service", "error", r.Error)
	}
	return r
}

// reloadZones reads the zone files that o names: what the watcher and geodns
// zone reload do.
func (d *instance) reloadZones(o zonedir.ScanOptions) control.Reload {
	return d.serially(false, func(*control.Reload) ([]zonedir.Result, error) { return d.load(o) })
}

// serially runs one reload after the other, and notes what became of it.
func (d *instance) serially(asked bool, do func(*control.Reload) ([]zonedir.Result, error)) control.Reload {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	start := time.Now()
	r := control.Reload{Changed: []control.Zone{}, Gone: []string{}, Warnings: []string{}}
	results, err := do(&r)
	if err != nil {
		r.Error = err.Error()
	}
	d.tell(&r, results)
	r.At, r.Seconds = time.Now(), time.Since(start).Seconds()
	if asked || r.Error != "" || len(results) > 0 {
		d.history.note(r, asked)
	}
	return r
}

// tell lists what a scan did, and what is broken now, whether this scan read it
// or an earlier one.
func (d *instance) tell(r *control.Reload, results []zonedir.Result) {
	back := map[string]bool{}
	for i := range results {
		if res := &results[i]; res.Zone != nil {
			back[string(res.Apex)] = true
		}
	}
	for i := range results {
		switch res := &results[i]; {
		case res.Gone && !back[string(res.Apex)]:
			r.GoneAll++
			r.Gone = append(r.Gone, wire.NameString(res.Apex))
		case res.Zone != nil:
			r.ChangedAll++
			if len(r.Changed) < maxTold {
				r.Changed = append(r.Changed, d.changedZone(res))
			}
		}
	}
	r.Gone = r.Gone[:min(len(r.Gone), maxTold)]
	r.Broken = d.allBroken()
	r.BrokenAll = len(r.Broken)
	r.Broken = r.Broken[:min(len(r.Broken), maxTold)]
}

// reloadConfig reads the configuration again. What changed and can be had
// without a restart is changed; the warnings are about the rest.
func (d *instance) reloadConfig() (warnings []string, err error) {
	cfg, err := d.configure()
	if err != nil {
		return nil, fmt.Errorf("the configuration is invalid:\n%w", err)
	}
	if cfg.Zones != d.cfg.Zones {
		return nil, fmt.Errorf("zones: %s has become %s: restart the server for that", d.cfg.Zones, cfg.Zones)
	}
	if err := d.applySync(cfg); err != nil {
		return nil, err
	}
	d.applyConfig(cfg)
	d.server.SetKeys(d.sync.keys.Load())
	warnings = []string{}
	for _, w := range cfg.Warnings {
		warnings = append(warnings, w.Error())
	}
	warnings = append(warnings, d.reloadCertificate(cfg)...)
	if what := needsRestart(d.cfg, cfg); what != "" {
		d.log.Warn("the configuration changed where only a restart makes it so", "keys", what)
		warnings = append(warnings, "the configuration changed where only a restart makes it so: "+what)
	}
	return warnings, nil
}

// reloadZone reads one zone's file, whether it changed or not.
func (d *instance) reloadZone(name string, force bool) (control.Reload, error) {
	zones, err := d.zoneStates([]string{name})
	if err != nil {
		return control.Reload{}, err
	}
	var files []string
	for _, z := range zones {
		if z.File != "" {
			files = append(files, filepath.Base(z.File))
		}
	}
	if len(files) == 0 {
		return control.Reload{}, errCopy(zones[0].Name)
	}
	r := d.reloadZones(zonedir.ScanOptions{All: true, Names: files, Force: force})
	// Only what is wrong with this zone is its matter.
	r.Broken = []control.Zone{}
	now, err := d.zoneStates([]string{name})
	if err != nil && len(r.Gone) == 0 {
		return r, err
	}
	for i := range now {
		if now[i].Broken() {
			now[i].Findings = d.foundIn(now[i].File)
			r.Broken = append(r.Broken, now[i])
		}
	}
	r.BrokenAll = len(r.Broken)
	return r, nil
}

// foundIn is what was found in a broken file.
func (d *instance) foundIn(file string) []control.Finding {
	for _, z := range d.allBroken() {
		if z.File == file {
			return z.Findings
		}
	}
	return []control.Finding{}
}
