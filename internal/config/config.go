package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
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
	Store string
	// Control is the control socket; "" opens none
	// (control: /run/geodns/control.sock).
	Control string
	// HTTP is where metrics and status are served; the zero value means
	// nowhere (http: 127.0.0.1:8053).
	HTTP     netip.AddrPort
	Geo      Geo
	Log      Log
	Limits   Limits
	Identity Identity
}

// Geo is where clients are: the keys under geo.
type Geo struct {
	// Database is an .mmdb file; "" means the built-in world (database: "").
	Database string
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
		Control:     "/run/geodns/control.sock",
		HTTP:        netip.MustParseAddrPort("127.0.0.1:8053"),
		Log:         Log{Level: slog.LevelInfo, Format: FormatAuto},
		Limits: Limits{
			UDPPayload:   1232,
			TCPClients:   1024,
			TCPPerClient: 64,
			TCPIdle:      10 * time.Second,
		},
	}
}

// NotYetUsed names the keys that are set and valid but that this version does
// not act upon, so that serve can warn of them.
func (c *Config) NotYetUsed() []string {
	if c.Geo.Database != "" {
		return []string{"geo.database"}
	}
	return nil
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
	}
	if err := r.errs.orNil(); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse validates data, the text of a configuration. Its name is used in
// errors, and relative paths are resolved against the directory of name. No
// file is opened. An error is of type Errors.
func Parse(name string, data []byte) (*Config, error) {
	c, r := parse(name, data)
	if err := r.errs.orNil(); err != nil {
		return nil, err
	}
	return c, nil
}

func parse(name string, data []byte) (*Config, *reader) {
	r := &reader{name: name, places: map[string]place{}}
	c := Default()
	if body := r.document(data); body != nil {
		r.mapping("", body, schema(c))
	}
	dir := filepath.Dir(name)
	for _, p := range []*string{&c.Zones, &c.Store, &c.Control, &c.Geo.Database} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
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
	if c.Geo.Database == "" || r.failed["geo.database"] {
		return
	}
	info, err := os.Stat(c.Geo.Database)
	switch {
	case err != nil:
		r.failKey("geo.database", "%s: %v", c.Geo.Database, plain(err, `there is no such file; name an .mmdb file, or leave it empty ("") for the built-in world`))
	case !info.Mode().IsRegular():
		r.failKey("geo.database", "%s: is not a file; name an .mmdb file", c.Geo.Database)
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
