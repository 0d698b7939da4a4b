package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"geodns/internal/config"
	"geodns/internal/monitor"
	"geodns/internal/probe"
	"geodns/internal/steer/record"
)

// probesUnderWay is how many probes may be under way at once: dead targets hold
// theirs for the whole of their timeout.
const probesUnderWay = 4096

// newMonitor makes what watches the nodes.
func (d *instance) newMonitor() *monitor.Monitor {
	entries := checkEntries(d.cfg)
	target := func(k monitor.Key, check *record.Check) probe.Target {
		return probe.Target{Addr: k.Addr, Check: check, Entry: entries[check.Use]}
	}
	return monitor.New(monitor.Options{
		Probe: func(ctx context.Context, k monitor.Key, check *record.Check) probe.Result {
			if r, lost := d.drilled(ctx, k.Addr); lost {
				return r
			}
			return probe.Probe(ctx, target(k, check))
		},
		Hold:    d.holding(target),
		Allowed: func(a netip.Addr, own bool) string { return mayProbe(d.cfg.ProbeAllow, a, own) },
		Publish: func() { d.publisher.PublishVerdicts() },
		Most:    probesUnderWay,
		Anchors: anchors(d.cfg),
		Site:    d.cfg.Site,
		Log:     d.log,
	})
}

// holding makes what holds connections open between probes; nil, which does
// without, if the system has no room for it.
func (d *instance) holding(target func(monitor.Key, *record.Check) probe.Target) func(context.Context, monitor.Key, *record.Check, func(string)) (monitor.Held, probe.Result) {
	holder, err := probe.NewHolder()
	if err != nil {
		d.log.Warn("connections can't be held open between probes: hold=yes does nothing", "error", err)
		return nil
	}
	d.probing = holder
	return func(ctx context.Context, k monitor.Key, check *record.Check, died func(string)) (monitor.Held, probe.Result) {
		if r, lost := d.drilled(ctx, k.Addr); lost {
			return nil, r
		}
		held, r := holder.Hold(ctx, target(k, check), d.unlessDrilled(k.Addr, died))
		if held == nil {
			return nil, r // and no interface of a nil pointer
		}
		return held, r
	}
}

// checkEntries are what the configuration lets zones cite.
func checkEntries(cfg *config.Config) map[string]*probe.Entry {
	modes := map[config.CheckTLS]probe.TLS{config.TLSOff: probe.TLSOff, config.TLSOn: probe.TLSOn, config.TLSVerify: probe.TLSVerified}
	entries := map[string]*probe.Entry{}
	for i := range cfg.Checks {
		c := &cfg.Checks[i]
		var env []string
		for _, v := range c.Env {
			env = append(env, v.Name+"="+string(v.Value.Reveal()))
		}
		entries[c.Name] = &probe.Entry{
			Env:  env,
			Name: c.Name, Command: c.Command, File: c.File,
			User: c.User, Password: string(c.Password.Reveal()), Database: c.Database,
			TLS: modes[c.TLS], TLSName: c.TLSName, Networks: c.Networks,
		}
	}
	return entries
}

// mayProbe says why an address must not be probed, or "". A zone may have its
// own nodes probed, but must not reach inside: whoever writes it could map the
// server's networks. own: some record of the zone answers the address.
func mayProbe(allowed []netip.Prefix, a netip.Addr, own bool) string {
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return ""
	}
	switch {
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsPrivate(), a.IsMulticast(), a.IsUnspecified(), reserved(a):
		return a.String() + " is no public address: list it under probe-allow if it shall be probed"
	case !own:
		return a.String() + " is no address of the zone's records: list it under probe-allow if it shall be probed"
	}
	return ""
}

// reserved reports whether an address is of a block that is not on the Internet
// (RFC 6890): shared, of documentation, of benchmarks.
func reserved(a netip.Addr) bool {
	for _, block := range [...]string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:db8::/32", "3fff::/20",
	} {
		if netip.MustParsePrefix(block).Contains(a) {
			return true
		}
	}
	return false
}

// watchNodes begins to probe, and waits for the first verdicts: an answer before
// them might name what has long been dead.
func (d *instance) watchNodes(ctx context.Context) {
	probing, cancel := context.WithCancel(context.Background())
	d.stopProbes = cancel
	d.beside.Go(func() { d.monitor.Run(probing) })
	d.keepVerdicts(probing)
	d.followDrains(probing)
	d.followLoads(probing)
	d.runSync(probing)
	begin := time.Now()
	late := d.monitor.Serve(ctx, d.cfg.StartWait)
	if late > 0 {
		d.log.Warn("the first verdicts were not all there in time: what is not known counts as live",
			"waited", time.Since(begin).Round(time.Millisecond).String(), "unknown", late)
	}
	d.warnOfSite()
	d.publisher.PublishVerdicts()
	d.followSides(probing)
}

// stopWatching ends the probing, the connections that are held, and what asks
// and tells other servers; then the store can be closed.
func (d *instance) stopWatching() {
	d.stopProbes()
	d.beside.Wait()
	d.closeStore()
	if d.probing != nil {
		d.probing.Close()
	}
}
