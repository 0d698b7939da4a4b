package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"geodns/internal/config"
	"geodns/internal/publish"
	"geodns/internal/steer"
	"geodns/internal/transfer"
	"geodns/internal/transfer/converge"
	"geodns/internal/transfer/fetch"
	"geodns/internal/transfer/notify"
	"geodns/internal/transfer/refresh"
	"geodns/internal/transfer/send"
	"geodns/internal/tsig"
	"geodns/internal/update"
	"geodns/internal/wire"
	"geodns/internal/world"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
)

// syncing is what keeps zones equal on many servers.
type syncing struct {
	versions  *versions // nil: there is no store
	exchanger *transfer.Exchanger
	notifier  *notify.Notifier
	refresher *refresh.Refresher
	updater   *update.Updater
	watcher   *converge.Watcher

	// config is the configuration that is followed: the last one that was read.
	config atomic.Pointer[config.Config]
	keys   atomic.Pointer[tsig.Keyring]
	rules  atomic.Pointer[rules]
	// stateDirty says that the commands in force may have changed.
	stateDirty chan struct{}
	// catalogDirty says that a catalog is to be made or followed anew. following
	// is held while zones are taken up or given up.
	catalogDirty chan struct{}
	following    sync.Mutex

	mu       sync.Mutex
	expired  map[string]*zone.Zone // copies that are not served, by apex
	catalogs catalogs
	reset    []string // members that are to begin anew, by apex
}

// rules are who may do what, as the configuration says.
type rules struct {
	all     *transfer.Zone            // for zones that are not listed
	zones   map[string]*transfer.Zone // by apex
	notify  []notify.Peer
	serials map[string]publish.SerialPolicy
	sealed  map[string]bool // zones that get a digest
	// shares: somebody may have our zones, so that commands travel with them.
	shares bool
}

func (r *rules) zone(apex []byte) *transfer.Zone {
	if z := r.zones[string(apex)]; z != nil {
		return z
	}
	return r.all
}

// secondary reports whether a zone is taken from others.
func (r *rules) secondary(apex []byte) bool { return len(r.zone(apex).Primaries) > 0 }

// rulesOf reads them from a configuration.
func rulesOf(cfg *config.Config, secondaries []config.Secondary) (*rules, error) {
	r := &rules{zones: map[string]*transfer.Zone{}, serials: map[string]publish.SerialPolicy{}, sealed: map[string]bool{}}
	var allow []transfer.Peer
	for _, p := range cfg.Transfer.Allow {
		allow = append(allow, transfer.Peer{Prefix: p.Prefix, Key: p.Key, Strip: p.Strip})
	}
	r.all = &transfer.Zone{Allow: allow}
	r.shares = len(allow) > 0
	for _, t := range cfg.Transfer.Notify {
		r.notify = append(r.notify, notify.Peer{Addr: t.Addr, Key: t.Key})
	}
	for _, s := range secondaries {
		z := &transfer.Zone{Allow: allow}
		for _, p := range s.Primaries {
			z.Primaries = append(z.Primaries, p.Addr.Addr())
		}
		r.zones[apexOf(s.Zone)] = z
	}
	for i := range cfg.ZoneList {
		z := &cfg.ZoneList[i]
		apex := apexOf(z.Name)
		r.sealed[apex] = z.ZONEMD && r.zones[apex] == nil
		if z.Serial == config.SerialStrict {
			r.serials[apex] = publish.SerialStrict
		}
		if len(z.Updates) == 0 || r.zones[apex] != nil {
			continue
		}
		updates, err := grantsOf(z, []byte(apex))
		if err != nil {
			return nil, err
		}
		r.zones[apex] = &transfer.Zone{Allow: allow, Updates: updates}
	}
	return r, nil
}

// apexOf is the wire form of a name that the configuration has checked.
func apexOf(name string) string {
	apex, err := zonefile.ParseNameLower(name, []byte{0})
	if err != nil {
		return ""
	}
	return string(apex)
}

// grantsOf are who may change what of a zone.
func grantsOf(z *config.Zone, apex []byte) (map[string]update.Grants, error) {
	all := map[string]update.Grants{}
	for _, u := range z.Updates {
		g := update.Grant{Steering: u.Steering}
		for _, text := range u.Names {
			p, err := update.ParsePattern(text, apex, zonefile.ParseNameLower)
			if err != nil {
				return nil, errors.New("zone." + z.Name + "updates.names: " + err.Error())
			}
			g.Names = append(g.Names, p)
		}
		for _, text := range u.Types {
			t, err := zonefile.ParseType(text)
			if err != nil {
				return nil, errors.New("zone." + z.Name + "updates.types: " + err.Error())
			}
			g.Types = append(g.Types, t)
		}
		all[u.Key] = append(all[u.Key], g)
	}
	return all, nil
}

// prepareSync makes what publishing needs of it: before anything is published.
func (d *instance) prepareSync() error {
	s := &d.sync
	s.expired, s.catalogs = map[string]*zone.Zone{}, catalogs{}
	s.stateDirty, s.catalogDirty = make(chan struct{}, 1), make(chan struct{}, 1)
	if d.store != nil {
		s.versions = &versions{store: d.store, live: d.holder, log: d.log}
	}
	s.config.Store(d.cfg)
	r, err := rulesOf(d.cfg, d.wanted(d.cfg))
	if err != nil {
		return err
	}
	s.rules.Store(r)
	return d.setKeys(d.cfg)
}

// setKeys puts the keys of a configuration into force for what we ask.
func (d *instance) setKeys(cfg *config.Config) error {
	keys, err := keyring(cfg)
	if err != nil {
		return err
	}
	d.sync.keys.Store(keys)
	return nil
}

// syncOptions are what a Publisher does for other servers.
func (d *instance) syncOptions(o publish.Options) publish.Options {
	s := &d.sync
	if s.versions != nil {
		o.Versions = s.versions
	}
	o.State = func(z *zone.Zone, program *steer.Program) []wire.RR {
		if r := s.rules.Load(); !r.shares || r.secondary(z.Apex()) {
			return nil
		}
		return d.stateRecords(z, program)
	}
	o.Serial = func(apex []byte) publish.SerialPolicy { return s.rules.Load().serials[string(apex)] }
	o.Takes = func(apex []byte) bool { return s.rules.Load().zone(apex).Updates != nil }
	o.Seal = func(apex []byte) bool { return s.rules.Load().sealed[string(apex)] }
	o.Copy = func(apex []byte) bool { return s.rules.Load().secondary(apex) }
	o.Alone = func(apex []byte) bool { return !s.refresher.Heard(apex) }
	o.Committed = d.committed
	o.Unkept = func(apex []byte, err error) {
		d.storeErrors.Add(1)
		d.log.Error("a version of a zone can't be kept: it is served, and its history has a gap", "zone", wire.NameString(apex), "error", err)
	}
	o.Refused = func(apex []byte, err error) {
		d.log.Error("a version of a zone can't be served, the last one stays", "zone", wire.NameString(apex), "error", err)
	}
	return o
}

// applySync makes a configuration that was read again the one that is followed.
func (d *instance) applySync(cfg *config.Config) error {
	if err := d.setKeys(cfg); err != nil {
		return err
	}
	if err := d.followCatalogs(cfg); err != nil {
		return err
	}
	d.sync.config.Store(cfg)
	d.limitStore(cfg)
	d.sync.watcher.Renew()
	d.commandsChanged()
	d.catalogsChanged()
	return nil
}

// startSync makes what answers and asks other servers. The publisher is there.
func (d *instance) startSync() {
	s := &d.sync
	var journal send.Journal
	if s.versions != nil {
		journal = s.versions
	}
	s.notifier = notify.New(notify.Options{
		Keys: s.keys.Load, Log: d.log,
		Source4: netip.AddrPortFrom(d.sourceFor(false), 0), Source6: netip.AddrPortFrom(d.sourceFor(true), 0),
	})
	s.updater = update.NewUpdater(func(apex []byte, edit func(*zone.Zone) []publish.Edition) error {
		return d.publisher.Edit(apex, publish.FromUpdate, edit)
	}, func(apex []byte, updates int, err error) {
		d.storeErrors.Add(1)
		d.log.Error("updates could not be done: they were answered with SERVFAIL", "zone", wire.NameString(apex), "updates", updates, "error", err)
	})
	s.exchanger = transfer.New(transfer.Options{
		Live:     d.holder,
		Sender:   send.New(journal, steer.Hidden),
		Zone:     func(apex []byte) *transfer.Zone { return s.rules.Load().zone(apex) },
		Kept:     func(apex []byte) { d.publisher.Kept(apex) },
		Notified: func(apex []byte, from netip.Addr, serial *uint32) { s.refresher.Notified(apex, from, serial) },
		Update:   s.updater.Submit,
		Log:      d.log,
	})
	s.refresher = refresh.New(d.refreshOptions())
	s.watcher = converge.New(converge.Options{
		Peers: d.watchedOf, Returned: s.notifier.Again, Log: d.log,
		Serial: func(ctx context.Context, p converge.Peer, apex []byte) (uint32, error) {
			seen, err := fetch.Serial(ctx, fetch.Primary{Addr: p.Addr, Key: p.Key, Source: d.sourceFor(p.Addr.Addr().Is6())}, apex, s.keys.Load())
			return seen.Serial, err
		},
	})
}

// runSync asks and tells other servers until the context ends.
func (d *instance) runSync(ctx context.Context) {
	s := &d.sync
	d.beside.Go(func() { s.notifier.Run(ctx) })
	d.beside.Go(func() { s.refresher.Run(ctx) })
	d.beside.Go(func() {
		d.publisher.Flush() // what is new since the start is timed, not what was found
		d.announceAll()
		s.watcher.Run(ctx)
	})
	d.beside.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.stateDirty:
				d.publisher.SyncState(func(apex []byte) bool { return !s.rules.Load().secondary(apex) })
			case <-s.catalogDirty:
				d.produceCatalog()
				if err := d.followCatalogs(s.config.Load()); err != nil {
					d.log.Error("the catalogs can't be followed", "error", err)
				}
			}
		}
	})
}

// commandsChanged has the records of commands made anew.
func (d *instance) commandsChanged() {
	select {
	case d.sync.stateDirty <- struct{}{}:
	default:
	}
}

// stateRecords are the commands in force that a zone of ours brings with it.
func (d *instance) stateRecords(z *zone.Zone, program *steer.Program) []wire.RR {
	if d.drains == nil {
		return nil
	}
	list, _ := d.drains.List()
	return append(publish.StateRecords(z, list), d.publisher.SideRecords(z, program)...)
}

// committed hears of every version that is served, and kept.
func (d *instance) committed(z *zone.Zone) {
	s := &d.sync
	if s.notifier == nil {
		return // nothing is served yet
	}
	d.announce(z)
	s.watcher.Published(z.Apex(), z.Serial())
	if !s.rules.Load().secondary(z.Apex()) {
		return
	}
	served := d.holder.Load().Zones.Get(z.Apex())
	if served == nil {
		return
	}
	var program *steer.Program
	if served.Steering != nil {
		program = served.Steering.Program
	}
	name := wire.NameString(z.Apex())
	if followsCatalog(s.config.Load(), name) && d.readCatalog(z) {
		d.catalogsChanged()
	}
	d.drains.SetForeign(name, publish.DrainsOf(program, name))
}

// watchedOf are those whose copies of a zone of ours are watched: who is told of
// it.
func (d *instance) watchedOf(apex []byte) (list []converge.Peer) {
	z := d.publisher.Serving(apex)
	if z == nil || d.sync.rules.Load().secondary(apex) {
		return nil
	}
	for _, p := range d.toldOf(z) {
		list = append(list, converge.Peer{Addr: p.Addr, Key: p.Key})
	}
	return list
}

// announce tells the peers of a zone of a version.
func (d *instance) announce(z *zone.Zone) {
	if peers := d.toldOf(z); len(peers) > 0 {
		d.sync.notifier.Notify(z.Apex(), publish.SOA(z), peers)
	}
}

// announceAll tells of all zones, once: the process before this one may have ended
// before it had told of the last version, or a secondary had taken it.
func (d *instance) announceAll() {
	var apexes [][]byte
	d.holder.Load().Zones.Each(func(s *world.Served) bool {
		apexes = append(apexes, s.Apex())
		return true
	})
	for _, apex := range apexes {
		// A version that came meanwhile is not to be hidden by the one before it.
		for z, told := d.publisher.Serving(apex), (*zone.Zone)(nil); z != told; told, z = z, d.publisher.Serving(apex) {
			if z != nil {
				d.announce(z)
			}
		}
	}
}

// toldOf are who is told of a zone's versions: those whom the configuration
// names, and, if anybody may have the zone, the servers that its NS records name
// and whose addresses are in the zones served here (RFC 1996 2.1), without us.
func (d *instance) toldOf(z *zone.Zone) []notify.Peer {
	r := d.sync.rules.Load()
	peers := slices.Clone(r.notify)
	if !r.shares {
		return peers
	}
	set, _ := z.ApexNode().Set(wire.TypeNS)
	own := d.ownAddresses()
	for records := set.Records; ; {
		host, rest, ok := wire.NextRecord(records)
		if !ok {
			return peers
		}
		records = rest
		for _, a := range d.addressesOf(wire.AppendLower(nil, host)) {
			at := netip.AddrPortFrom(a, 53)
			if !own(a) && !slices.ContainsFunc(peers, func(p notify.Peer) bool { return p.Addr.Addr() == a }) {
				peers = append(peers, notify.Peer{Addr: at})
			}
		}
	}
}

// addressesOf are those of a host in the zones served here.
func (d *instance) addressesOf(host []byte) (list []netip.Addr) {
	var name wire.Name
	if !name.Set(host) {
		return nil
	}
	s, _ := d.holder.Load().Zones.Find(&name, false)
	if s == nil || s.Zone == nil {
		return nil
	}
	n, ok := s.Zone.Find(host)
	if !ok {
		return nil
	}
	for _, t := range [...]wire.Type{wire.TypeA, wire.TypeAAAA} {
		set, _ := n.Set(t)
		for records := set.Records; ; {
			data, rest, ok := wire.NextRecord(records)
			if !ok {
				break
			}
			records = rest
			if a, ok := netip.AddrFromSlice(data); ok && !a.IsUnspecified() && !a.IsMulticast() {
				list = append(list, a)
			}
		}
	}
	return list
}

// sourceFor is the address of a family that we ask and tell others from: the
// first that is listened on, since they may go by it. The zero Addr leaves it to
// the system: nobody listens on one, or that reaches this machine only and not all
// of the others are on it.
func (d *instance) sourceFor(six bool) netip.Addr {
	local := true
	for _, t := range d.sync.config.Load().Transfer.Notify {
		local = local && t.Addr.Addr().IsLoopback()
	}
	for _, s := range d.sync.config.Load().Secondary {
		for _, p := range s.Primaries {
			local = local && p.Addr.Addr().IsLoopback()
		}
	}
	for _, at := range d.cfg.Listen {
		if a := at.Addr(); a.Is6() == six && !a.IsUnspecified() && (local || !a.IsLoopback()) {
			return a
		}
	}
	return netip.Addr{}
}

// ownAddresses tells which addresses are this server's.
func (d *instance) ownAddresses() func(netip.Addr) bool {
	var own []netip.Addr
	everywhere := false
	for _, at := range d.cfg.Listen {
		own = append(own, at.Addr())
		everywhere = everywhere || at.Addr().IsUnspecified()
	}
	if everywhere {
		interfaces, _ := net.InterfaceAddrs()
		for _, i := range interfaces {
			if p, err := netip.ParsePrefix(i.String()); err == nil {
				own = append(own, p.Addr())
			}
		}
	}
	return func(a netip.Addr) bool { return slices.Contains(own, a) }
}

// problemsText is what is wrong with steering that came by transfer.
func problemsText(problems []steer.Problem) string {
	var texts []string
	for i := range problems {
		if texts = append(texts, problems[i].Error()); len(texts) == 5 {
			break
		}
	}
	return strings.Join(texts, "; ")
}
