package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/live"
	"geodns/internal/publish"
	"geodns/internal/server"
	"geodns/internal/zonedir"
)

// defaultConfig is where the configuration is if no flag says otherwise.
const defaultConfig = "/etc/geodns/geodns.yaml"

func newServe() *cobra.Command {
	var path string
	var listen []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the zones that the configuration names",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &instance{configPath: path, listen: listen, stderr: cmd.ErrOrStderr()}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "the configuration file")
	cmd.Flags().StringArrayVar(&listen, "listen", nil, "listen on this ADDRESS:PORT instead of the configured ones; may be given several times")
	return cmd
}

// instance is the server with all its parts, from start to end.
type instance struct {
	configPath string
	listen     []string // in place of the configuration's
	stderr     io.Writer

	cfg       *config.Config
	level     slog.LevelVar
	log       *slog.Logger
	notify    notifier
	zones     *zonedir.Dir
	publisher *publish.Publisher
	server    *server.Server
}

// run starts in the order of the design: configuration, zones, the first
// World, and only then the sockets. It returns when the server has ended.
func (d *instance) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	var err error
	if d.cfg, err = d.configure(); err != nil {
		return err
	}
	d.log = newLogger(d.stderr, d.cfg.Log, &d.level)
	d.notify = notifier{d.log}
	for _, key := range d.cfg.NotYetUsed() {
		d.log.Warn("the key is accepted, but this version does nothing with it yet", "key", key)
	}

	holder := live.New()
	d.publisher = publish.New(holder)
	d.zones = zonedir.New(d.cfg.Zones)
	if err := d.load(true); err != nil {
		return err
	}
	if err := d.bind(holder); err != nil {
		return err
	}
	d.server.Serve()
	d.log.Info("serving", "version", version, "zones", holder.Load().Zones.Len(), "listen", addresses(d.server.Addrs()))
	d.notify.ready(fmt.Sprintf("serving %d zones", holder.Load().Zones.Len()))
	return runUntilSignal(ctx, d.reload, d.shutdown, d.log)
}

// configure reads the configuration, with what the flags say instead.
func (d *instance) configure() (*config.Config, error) {
	cfg, err := config.Load(d.configPath)
	if err != nil {
		return nil, err
	}
	if len(d.listen) == 0 {
		return cfg, nil
	}
	cfg.Listen = nil
	for _, text := range d.listen {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--listen %q is no ADDRESS:PORT, such as 127.0.0.1:53 or [::1]:53", text)}
		}
		cfg.Listen = append(cfg.Listen, at)
	}
	return cfg, nil
}

func (d *instance) bind(holder *live.Holder) error {
	l := d.cfg.Limits
	var err error
	d.server, err = server.Listen(server.Config{
		Listen:  d.cfg.Listen,
		Workers: d.cfg.Workers,
		Limits: server.Limits{
			TCPClients: l.TCPClients, TCPPerClient: l.TCPPerClient, TCPIdle: l.TCPIdle,
			TCPQueries: l.TCPQueries, UDPPayload: l.UDPPayload,
		},
		Identity: server.Identity{NSID: []byte(d.cfg.Identity.NSID), Version: d.cfg.Identity.Version, ID: d.cfg.Identity.IDServer},
		Live:     holder,
		Log:      d.log,
	})
	return explainBind(err)
}

// explainBind says what can be done about an address that can't be had.
func explainBind(err error) error {
	var at *server.AddrError
	if !errors.As(err, &at) {
		return err
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if who := whoHolds(at.Network, at.Addr); who != "" {
			return fmt.Errorf("%w: held by %s; stop it, or listen on another port", err, who)
		}
		return fmt.Errorf("%w; stop what holds it, or listen on another port", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; ports below 1024 need root or CAP_NET_BIND_SERVICE: use another port, such as 5353", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("%w; this machine doesn't have that address: give it one, or take the address out of listen", err)
	}
	return err
}

// load reads the zone files that changed, or all, and publishes what they make.
func (d *instance) load(all bool) error {
	// A compiled zone lives long, and what reading it leaves is garbage:
	// collected often, it never adds up.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	results, err := d.zones.Scan(all)
	if err != nil {
		return err
	}
	var changes []publish.Change
	for i := range results {
		r := &results[i]
		d.report(r)
		switch {
		case r.Zone != nil, r.Gone:
			changes = append(changes, publish.Change{Apex: r.Apex, Zone: r.Zone})
		case r.Apex != nil && !r.Kept:
			changes = append(changes, publish.Change{Apex: r.Apex, Vacant: true})
		}
	}
	d.publisher.Publish(changes)
	d.log.Info("zone files read", summary(results)...)
	debug.FreeOSMemory()
	return nil
}

func (d *instance) reload() error {
	d.notify.reloading()
	defer d.notify.ready("serving")
	cfg, err := d.configure()
	if err != nil {
		return fmt.Errorf("the configuration is invalid:\n%w", err)
	}
	if cfg.Zones != d.cfg.Zones {
		return fmt.Errorf("zones: %s has become %s: restart the server for that", d.cfg.Zones, cfg.Zones)
	}
	d.level.Set(cfg.Log.Level)
	if what := needsRestart(d.cfg, cfg); what != "" {
		d.log.Warn("the configuration changed where only a restart makes it so", "keys", what)
	}
	return d.load(false)
}

// needsRestart names the keys that differ and are read at the start only.
func needsRestart(old, new *config.Config) string {
	var keys []string
	if fmt.Sprint(old.Listen) != fmt.Sprint(new.Listen) {
		keys = append(keys, "listen")
	}
	if old.Workers != new.Workers {
		keys = append(keys, "workers")
	}
	if old.Limits != new.Limits {
		keys = append(keys, "limits")
	}
	if old.Identity != new.Identity {
		keys = append(keys, "identity")
	}
	if old.Log.Format != new.Log.Format {
		keys = append(keys, "log.format")
	}
	return strings.Join(keys, ", ")
}

func (d *instance) shutdown(ctx context.Context) error {
	d.notify.stopping()
	err := d.server.Shutdown(ctx)
	d.log.Info("ended")
	return err
}

func addresses(list []netip.AddrPort) string {
	text := make([]string, len(list))
	for i, a := range list {
		text[i] = a.String()
	}
	return strings.Join(text, " ")
}
