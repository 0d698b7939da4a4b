package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Config is what geodns.yaml says, defaults filled in. The comments name the
// key and its default.
type Config struct {
	// Listen are the addresses that are served over UDP and TCP, at least one,
	// none twice (listen: 127.0.0.1:5353 and [::1]:5353).
	Listen []netip.AddrPort
	// Workers is the number of UDP sockets a listen address, 0 to 1024; 0
	// means one a CPU (workers: 0).
	Workers int
	// Zones is the directory whose NAME.zone files are served (zones: zones).
	Zones string
	// Watch is how changes of zone files are noticed (watch: auto).
	Watch Watch
	// ShrinkLimit refuses a zone file that lost more than that many percent of
	// its records, 0 to 100, unless a reload is forced; 0 refuses none
	// (shrink-limit: 50%).
	ShrinkLimit int
	// Store is the file of the database; "" keeps nothing
	// (store: /var/lib/geodns/geodns.db).
	Store   string
	Journal Journal
	// Control is the control socket; "" opens none
	// (control: /run/geodns/control.sock).
	Control string
	// HTTP is where metrics and status are served; the zero value means
	// nowhere (http: 127.0.0.1:8053).
	HTTP netip.AddrPort
	Geo  Geo
	// Keys are the TSIG keys, no two of one name (keys: []).
	Keys     []Key
	Transfer Transfer
	// ZoneList is what differs for single zones, in the order of their names, no
	// two of one name (zone: {}). See ZoneOf.
	ZoneList []Zone
	// Secondary are the zones that are taken from others (secondary: []).
	Secondary []Secondary
	Catalog   Catalog
	TLS       TLS
	// Checks are what zones' checks may cite, in the order of their names, no
	// two of one name (checks: {}).
	Checks []Check
	// ProbeAllow are the networks that may be probed beside the zones' own public
	// addresses (probe-allow: []).
	ProbeAllow []netip.Prefix
	// StartWait is how long the first verdicts are waited for before anything is
	// served, 0 to 1m (start-wait: 3s).
	StartWait time.Duration
	// Anchors are what tells isolation from a lost site: none, or 2 to 16
	// (anchors: []).
	Anchors []Anchor
	// Site is the label of the site where this server stands, in lower case; ""
	// if at none (site: "").
	Site     string
	Log      Log
	Limits   Limits
	Identity Identity
	// Warnings are about what is valid but unwise, with its place, in the order
	// of the file.
	Warnings Errors
}

// Journal bounds what the store keeps of how zones changed, for IXFR and history:
// the keys under journal.
type Journal struct {
	// Zone is what the changes of one zone may take, in octets, at least 1 MiB; a
	// zone that is larger may have as much as itself (zone: 64MiB). Total is what
	// the whole store may (total: 8GiB).
	Zone, Total int64
	// Changes is how many of a zone are kept, 10 to 100,000,000 (changes: 200000).
	Changes int
}

// Geo is where clients are: the keys under geo.
type Geo struct {
	// Database is an .mmdb file; "" means the built-in world (database: "").
	Database string
	// Networks is a CSV file or an RFC 8805 geofeed of own prefixes, which win
	// over the database; "" for none (networks: "").
	Networks string
}

// Watch is how the zones directory is watched.
type Watch string

// The ways to watch.
const (
	WatchAuto Watch = "auto" // by the file system's events, or else by looking
	WatchPoll Watch = "poll" // by looking every few seconds
	WatchOff  Watch = "off"  // only when a reload is asked for
)

// LogFormat is how log lines look.
type LogFormat string

// The formats of log lines.
const (
	FormatAuto LogFormat = "auto" // text on a terminal, JSON otherwise
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Log is what is logged, and how: the keys under log.
type Log struct {
	// Level is the least level that is logged (level: info).
	Level slog.Level
	// Format is one of the Format constants (format: auto).
	Format LogFormat
}

// Limits are the bounds that keep one client from taking all: the keys under
// limits.
type Limits struct {
	// UDPPayload is the largest UDP answer in octets, 512 to 4096, and what
	// the server's OPT offers (RFC 6891 6.2.5) (udp-payload: 1232).
	UDPPayload int
	// TCPClients is how many TCP connections may be open, 1 to 1,000,000
	// (tcp-clients: 1024).
	TCPClients int
	// TCPPerClient is how many of them one client may hold, 1 to 1,000,000; a
	// client is an IPv4 address or an IPv6 /64 (tcp-per-client: 64).
	TCPPerClient int
	// TCPIdle is how long a TCP connection may be idle before it is closed,
	// 1s to 1h; it is what RFC 7828 keepalive promises (tcp-idle: 10s).
	TCPIdle time.Duration
	// TCPQueries is how many queries a TCP connection may carry before it is
	// closed, 0 to 1,000,000; 0 means any number (tcp-queries: 0).
	TCPQueries int
}

// Identity is what the server says of itself when asked: the keys under
// identity. An empty string says nothing. Each has at most 255 octets, which
// is what one character-string holds (RFC 1035 3.3).
type Identity struct {
	// NSID answers the NSID option (RFC 5001) (nsid: "").
	NSID string
	// Version answers version.bind and version.server CH TXT (version: "").
	Version string
	// IDServer answers id.server and hostname.bind CH TXT (RFC 4892)
	// (id-server: "").
	IDServer string
}

// Default returns the configuration of an empty file, its relative paths not
// resolved.
func Default() *Config {
	return &Config{
		Listen: []netip.AddrPort{
			netip.MustParseAddrPort("127.0.0.1:5353"),
			netip.MustParseAddrPort("[::1]:5353"),
		},
		Zones:       "zones",
		Watch:       WatchAuto,
		ShrinkLimit: 50,
		Store:       "/var/lib/geodns/geodns.db",
		Journal:     Journal{Zone: 64 << 20, Total: 8 << 30, Changes: 200_000},
		Control:     "/run/geodns/control.sock",
		HTTP:        netip.MustParseAddrPort("127.0.0.1:8053"),
		Transfer:    Transfer{Max: 16},
		StartWait:   3 * time.Second,
		Log:         Log{Level: slog.LevelInfo, Format: FormatAuto},
		Limits: Limits{
			UDPPayload:   1232,
			TCPClients:   1024,
			TCPPerClient: 64,
			TCPIdle:      10 * time.Second,
		},
	}
}

// Load reads and validates the configuration at path, and checks that the
// files and directories exist that it names. An error is of type Errors.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	c, r := parse(path, data)
	if !r.unreadable {
		r.checkFiles(c)
		r.checkReaders(path)
		r.checkSync(c)
		r.resolveKeys(c, true)
		r.resolveChecks(c, true)
	}
	return r.finish(c)
}

// Parse validates data, the text of a configuration. Its name is used in
// errors, and relative paths are resolved against the directory of name. No
// file is opened: Keys lacks what is in files, whole keys or their secrets, and
// Checks the passwords that are in files. An error is of type Errors.
func Parse(name string, data []byte) (*Config, error) {
	c, r := parse(name, data)
	r.checkSync(c)
	r.resolveKeys(c, false)
	r.resolveChecks(c, false)
	return r.finish(c)
}

// finish returns c if nothing is wrong with it.
func (r *reader) finish(c *Config) (*Config, error) {
	if err := r.errs.orNil(); err != nil {
		return nil, err
	}
	r.warnings.sort()
	c.Warnings = r.warnings
	return c, nil
}

func parse(name string, data []byte) (*Config, *reader) {
	r := &reader{name: name, places: map[string]place{}}
	c := Default()
	if body := r.document(data); body != nil {
		r.mapping("", body, schema(c))
	}
	for _, p := range []*string{&c.Zones, &c.Store, &c.Control, &c.Geo.Database, &c.Geo.Networks, &c.TLS.Certificate, &c.TLS.Key} {
		*p = r.resolvePath(*p)
	}
	return c, r
}

// readFile reads no more than maxSize octets and one, so that a device or an
// endless pipe does not fill the memory.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err, "there is no such file; write one (docs/geodns.yaml shows every key) or name another with --config")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, plain(err, "")
	}
	return data, nil
}

// checkFiles reports what the configuration names and is not there.
func (r *reader) checkFiles(c *Config) {
	if !r.failed["zones"] {
		info, err := os.Stat(c.Zones)
		switch {
		case err != nil:
			r.failKey("zones", "%s: %v", c.Zones, plain(err, "there is no such directory; create it or name the one that holds the zone files"))
		case !info.IsDir():
			r.failKey("zones", "%s: is not a directory; name the one that holds the zone files", c.Zones)
		}
	}
	r.checkFile("geo.database", c.Geo.Database, `name an .mmdb file, or leave it empty ("") for the built-in world`)
	r.checkFile("tls.certificate", c.TLS.Certificate, "name a file in PEM")
	r.checkFile("tls.key", c.TLS.Key, "name a file in PEM")
	r.checkFile("geo.networks", c.Geo.Networks, `name a CSV file or a geofeed, or leave it empty ("")`)
	r.checkStore(c.Store)
}

// checkFile reports a file that is not there, with what to do about it.
func (r *reader) checkFile(key, file, remedy string) {
	if file == "" || r.failed[key] {
		return
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		r.failKey(key, "%s: %v", file, plain(err, "there is no such file; "+remedy))
	case !info.Mode().IsRegular():
		r.failKey(key, "%s: is not a file; %s", file, remedy)
	}
}

// checkReaders warns if everybody can read the secrets in the configuration.
func (r *reader) checkReaders(path string) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o007 == 0 {
		return
	}
	warn := func(key, remedy string) {
		r.warnKey(key, "every user of this machine can get at it; take that away with chmod o= %s, or use %s", path, remedy)
	}
	if i := slices.IndexFunc(r.keys, func(e keyEntry) bool { return e.secret != "" }); i >= 0 {
		warn(r.keys[i].prefix+".secret", "secret-file")
	}
	if i := slices.IndexFunc(r.checks, func(e checkEntry) bool { return e.password != "" }); i >= 0 {
		warn(r.checks[i].prefix+".password", "password-file")
	}
}

// plain says missing if that is what err means, and else err without the
// call and the path that the message has already.
func plain(err error, missing string) error {
	if missing != "" && errors.Is(err, fs.ErrNotExist) {
		return errors.New(missing)
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return fmt.Errorf("cannot %s it: %w", pathErr.Op, pathErr.Err)
	}
	return err
}
