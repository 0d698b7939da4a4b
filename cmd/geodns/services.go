package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"geodns/internal/control"
	"geodns/internal/metrics"
)

// What runs beside DNS: the HTTP server, the control socket and the rate. None
// of them keeps DNS from being served: what cannot be had is logged with what
// can be done, and done without.

func (d *instance) startServices() {
	ctx, cancel := context.WithCancel(context.Background())
	d.stopRate = cancel
	d.rate.read = d.queries
	d.beside.Go(func() { d.rate.run(ctx) })
	d.followGeography(ctx)
	d.startHTTP()
	d.startControl()
}

func (d *instance) startHTTP() {
	if !d.cfg.HTTP.IsValid() {
		return
	}
	registry := metrics.NewRegistry(metrics.Sources{
		Traffic: d.traffic, Zones: d.zoneSums, Reloads: d.history.metrics, Nodes: d.nodeMetrics, Build: build(),
		Peers: peerMetricsReader(d.sync.watcher),
	})
	s, err := metrics.Listen(d.cfg.HTTP, metrics.Endpoints{
		Metrics: registry, Health: d.health, Ready: d.reasons, Version: thisVersion(), Log: d.log,
	})
	if err != nil {
		attrs := []any{"error", err, "remedy", `set http: in the configuration to another address, or to "" for none`}
		if errors.Is(err, syscall.EADDRINUSE) {
			if who := whoHolds("tcp", d.cfg.HTTP); who != "" {
				attrs = append(attrs, "held-by", who)
			}
		}
		d.log.Error("there will be no metrics and no health checks", attrs...)
		return
	}
	s.Serve()
	d.http = s
}

func (d *instance) startControl() {
	if d.cfg.Control == "" {
		return
	}
	s, err := control.Listen(d.cfg.Control, control.Handlers{
		Status: d.status, Zones: d.zoneStates,
		Reload: d.commanded, ReloadZone: d.reloadZone, Explain: d.explained,
		Drain: d.drain, Undrain: d.undrain, Failback: d.failback, Drills: d.drillHandlers(), Versions: d.versionHandlers(),
		Peers: peersReader(d.sync.watcher), Log: d.log,
	})
	if err != nil {
		remedy := `set control: in the configuration to another path, or to "" for none`
		if errors.Is(err, fs.ErrPermission) {
			remedy = `run as root, or set control: in the configuration to a path that this user may write, or to "" for none`
		}
		d.log.Error("there will be no control socket: geodns status and geodns reload do not work, SIGHUP reloads", "error", err, "remedy", remedy)
		return
	}
	s.Serve()
	d.control = s
}

// stopServices ends them, after DNS, so that a drain can be watched.
func (d *instance) stopServices(ctx context.Context) error {
	var errs []error
	if d.control != nil {
		errs = append(errs, d.control.Shutdown(ctx))
	}
	if d.http != nil {
		errs = append(errs, d.http.Shutdown(ctx))
	}
	if d.stopRate != nil {
		d.stopRate()
	}
	d.stopProbes()
	d.beside.Wait()
	return errors.Join(errs...)
}
