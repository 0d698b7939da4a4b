package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/control"
	"geodns/internal/drains"
	"geodns/internal/drill"
	"geodns/internal/geo"
	"geodns/internal/live"
	"geodns/internal/metrics"
	"geodns/internal/monitor"
	"geodns/internal/probe"
	"geodns/internal/publish"
	"geodns/internal/server"
	"geodns/internal/sides"
	"geodns/internal/spill"
	"geodns/internal/zonedir"
	"geodns/internal/zonestore"
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
	stale     string // see tellStale
	geography *geo.Keeper
	monitor   *monitor.Monitor
	probing   *probe.Holder    // of connections that are held; nil: none
	store     *zonestore.Store // nil: none
	// storeErrors is how often the store failed.
	storeErrors  atomic.Uint64
	publisher    *publish.Publisher
	drains       *drains.Manager
	sides        *sides.Manager
	spill        *spill.Controller
	sync         syncing
	counted      recordCounts
	certificates certificates
	secondaries  []config.Secondary // that are followed
	loss         drill.Loss         // stands before the probes
	drills       *drill.Runner
	holder       *live.Holder // of what is published
	server       *server.Server

	started  time.Time
	draining atomic.Bool
	// reloading is held while zone files are read and published, so that an
	// older version never comes after a newer one.
	reloading sync.Mutex
	broken    atomic.Pointer[[]control.Zone] // see noteBroken
	watcher   *zonedir.Watcher
	unwatched chan struct{} // closed by unwatch
	unwatch   func()        // ends the watching
	history   history
	rate      rate
	http      *metrics.Server // nil: none
	control   *control.Server // nil: none
	stopRate  context.CancelFunc
	// stopProbes ends the watching of nodes.
	stopProbes context.CancelFunc
	beside     sync.WaitGroup
}

// run starts in the order of the design: configuration, zones, the first
// World, and only then the sockets. It returns when the server has ended.
func (d *instance) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	d.started = time.Now()
	var err error
	if d.cfg, err = d.configure(); err != nil {
		return err
	}
	d.log = newLogger(d.stderr, d.cfg.Log, &d.level)
	d.notify = notifier{d.log}
	for _, w := range d.cfg.Warnings {
		d.log.Warn("the configuration", "warning", w.Error())
	}

	holder := live.New()
	d.holder = holder
	if err := d.startGeography(); err != nil {
		return err
	}
	d.monitor = d.newMonitor()
	d.openStore()
	if err := d.prepareSync(); err != nil {
		return err
	}
	d.publisher = publish.New(holder, d.syncOptions(publish.Options{Rankings: d.rankings(), Health: d.monitor, Told: d.keptSteering, Turned: d.turned}))
	d.startSync()
	d.startDrains()
	d.startSides()
	d.drills = d.newDrills()
	d.zones = zonedir.New(d.cfg.Zones)
	d.zones.Accept = d.acceptZones
	d.applyConfig(d.cfg)
	if err := d.watch(); err != nil {
		return err
	}
	defer d.unwatch()
	d.restore()
	if _, err := d.load(zonedir.ScanOptions{All: true}); err != nil {
		return err
	}
	d.produceCatalog()
	d.setSecondaries(d.wanted(d.cfg))
	d.watchNodes(ctx)
	defer d.stopWatching()
	if err := d.bind(holder); err != nil {
		return err
	}
	// First what tells how the server is, so that whoever gets an answer can ask
	// for that, too.
	d.startServices()
	makePlaces(d.server.Sockets())
	// From its first answer on, the server can be told to reload and to end.
	signals, release := catchSignals()
	defer release()
	d.server.Serve()
	d.follow()
	d.warnOfOldWorld()
	d.log.Info("serving", "version", version, "zones", holder.Load().Zones.Len(), "listen", addresses(d.server.Addrs()), "tls", addresses(d.server.TLSAddrs()))
	d.notify.ready(fmt.Sprintf("serving %d zones", holder.Load().Zones.Len()))
	return runUntilSignal(ctx, signals, d.hangup, d.shutdown, d.log)
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
	if err := d.openCertificate(); err != nil {
		return err
	}
	var err error
	d.server, err = server.Listen(server.Config{
		Listen:  d.cfg.Listen,
		Workers: d.cfg.Workers,

		ListenTLS: d.cfg.TLS.Listen, Certificate: d.certificates.current.Load(),
		Limits: server.Limits{
			TCPClients: l.TCPClients, TCPPerClient: l.TCPPerClient, TCPIdle: l.TCPIdle,
			TCPQueries: l.TCPQueries, UDPPayload: l.UDPPayload,
		},
		Identity: server.Identity{NSID: []byte(d.cfg.Identity.NSID), Version: d.cfg.Identity.Version, ID: d.cfg.Identity.IDServer},
		Live:     holder,
		Keys:     d.sync.keys.Load(),
		Log:      d.log,

		Exchanges: d.sync.exchanger,
	})
	return explainBind(err)
}

// explainBind says what can be done about an address that can't be had.
func explainBind(err error) error {
	var at *server.AddrError
	var errno syscall.Errno
	if !errors.As(err, &at) || !errors.As(err, &errno) {
		return err
	}
	where := fmt.Sprintf("cannot listen on %s over %s", at.Addr, strings.ToUpper(at.Network))
	switch errno {
	case syscall.EADDRINUSE:
		who := "held by " + whoHolds(at.Network, at.Addr)
		if who == "held by " {
			who = "nobody can tell by whom"
		}
		return fmt.Errorf("%s: %w, %s; stop it, or listen on another port (make run PORT=5300, or --listen 127.0.0.1:5300)", where, errno, who)
	case syscall.EACCES:
		return fmt.Errorf("%s: %w; ports below 1024 need root or CAP_NET_BIND_SERVICE: use another port, such as 5353", where, errno)
	case syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT:
		return explainMissing(where, errno, at.Addr, hasIPv6())
	}
	return err
}

// explainMissing is about an address that the machine does not have; six tells
// whether it has IPv6 at all.
func explainMissing(where string, errno syscall.Errno, at netip.AddrPort, six bool) error {
	if at.Addr().Is6() && !at.Addr().Is4In6() && !six {
		return fmt.Errorf("%s: %w; this machine has no IPv6: take the address out of listen, or serve with --listen 127.0.0.1:%d alone", where, errno, at.Port())
	}
	return fmt.Errorf("%s: %w; this machine does not have that address: give it one, or take the address out of listen", where, errno)
}

// hasIPv6 reports whether any interface has an IPv6 address.
func hasIPv6() bool {
	table, err := os.ReadFile("/proc/net/if_inet6")
	return err == nil && len(table) > 0
}

// needsRestart names the keys that differ and are read at the start only.
func needsRestart(old, new *config.Config) string {
	var keys []string
	if fmt.Sprint(old.Listen) != fmt.Sprint(new.Listen) {
		keys = append(keys, "listen")
	}
	if !slices.Equal(old.TLS.Listen, new.TLS.Listen) {
		keys = append(keys, "tls.listen")
	}
	if old.Workers != new.Workers {
		keys = append(keys, "workers")
	}
	if old.Limits != new.Limits {
		keys = append(keys, "limits")
	}
	if old.Watch != new.Watch {
		keys = append(keys, "watch")
	}
	if old.Control != new.Control {
		keys = append(keys, "control")
	}
	if old.HTTP != new.HTTP {
		keys = append(keys, "http")
	}
	if old.Geo != new.Geo {
		keys = append(keys, "geo")
	}
	if old.Store != new.Store {
		keys = append(keys, "store")
	}
	if !slices.Equal(old.ProbeAllow, new.ProbeAllow) {
		keys = append(keys, "probe-allow")
	}
	if !slices.Equal(old.Anchors, new.Anchors) {
		keys = append(keys, "anchors")
	}
	if old.Site != new.Site {
		keys = append(keys, "site")
	}
	if !reflect.DeepEqual(old.Checks, new.Checks) {
		keys = append(keys, "checks")
	}
	if old.Identity != new.Identity {
		keys = append(keys, "identity")
	}
	if old.Log.Format != new.Log.Format {
		keys = append(keys, "log.format")
	}
	return strings.Join(keys, ", ")
}

// hangup is what SIGHUP does.
func (d *instance) hangup() error {
	if r := d.reload(false); r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

func (d *instance) shutdown(ctx context.Context) error {
	d.draining.Store(true)
	d.notify.stopping()
	d.drills.Close("the server ends")
	d.unwatch()
	err := errors.Join(d.server.Shutdown(ctx), d.stopServices(ctx))
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
