package config

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxString is the most octets of a character-string (RFC 1035 3.3).
const maxString = 255

// schema lists every key of geodns.yaml with where its value goes in c.
func schema(c *Config) []field {
	return []field{
		listen("listen", &c.Listen),
		integer("workers", &c.Workers, 0, 1024),
		path("zones", &c.Zones, false),
		watch("watch", &c.Watch),
		percent("shrink-limit", &c.ShrinkLimit),
		zones("zone", &c.ZoneList),
		path("store", &c.Store, true),
		section("journal",
			size("zone", &c.Journal.Zone, 1<<20, 1<<40),
			size("total", &c.Journal.Total, 1<<20, 1<<44),
			integer("changes", &c.Journal.Changes, 10, 100_000_000),
		),
		path("control", &c.Control, true),
		httpAddress("http", &c.HTTP),
		section("geo",
			path("database", &c.Geo.Database, true),
			path("networks", &c.Geo.Networks, true),
		),
		keys("keys"),
		section("transfer",
			peers("allow", &c.Transfer.Allow),
			notified("notify", &c.Transfer.Notify),
			integer("max", &c.Transfer.Max, 1, 1000),
		),
		secondaryZones("secondary", &c.Secondary),
		section("catalog",
			domain("produce", &c.Catalog.Produce, true),
			secondaryZones("consume", &c.Catalog.Consume),
		),
		checks("checks"),
		prefixes("probe-allow", &c.ProbeAllow, warnProbes),
		duration("start-wait", &c.StartWait, 0, time.Minute),
		anchors("anchors", &c.Anchors),
		label("site", &c.Site),
		section("log",
			level("level", &c.Log.Level),
			format("format", &c.Log.Format),
		),
		section("limits",
			integer("udp-payload", &c.Limits.UDPPayload, 512, 4096),
			integer("tcp-clients", &c.Limits.TCPClients, 1, 1_000_000),
			integer("tcp-per-client", &c.Limits.TCPPerClient, 1, 1_000_000),
			duration("tcp-idle", &c.Limits.TCPIdle, time.Second, time.Hour),
			integer("tcp-queries", &c.Limits.TCPQueries, 0, 1_000_000),
		),
		notYet("rrl"),
		section("tls",
			tlsAddresses("listen", &c.TLS.Listen),
			path("certificate", &c.TLS.Certificate, true),
			path("key", &c.TLS.Key, true),
		),
		notYet("xdp", "interfaces"),
		section("identity",
			text("nsid", &c.Identity.NSID, maxString),
			text("version", &c.Identity.Version, maxString),
			text("id-server", &c.Identity.IDServer, maxString),
		),
	}
}

// listen is a list of addresses, none of them twice.
func listen(name string, dst *[]netip.AddrPort) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.fail(key, n, "must be a list such as [\"127.0.0.1:53\", \"[::1]:53\"], not %s", kindOf(n))
			return
		}
		if len(list.Values) == 0 {
			r.fail(key, n, "is empty; name at least one address, such as \"127.0.0.1:53\"")
			return
		}
		*dst = r.addresses(key, list.Values, func(netip.AddrPort) error { return nil })
	}}
}

// tlsAddresses is a list of addresses, none of them twice; none at all is right,
// too.
func tlsAddresses(name string, dst *[]netip.AddrPort) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.fail(key, n, "must be a list such as [\"127.0.0.1:853\"], not %s", kindOf(n))
			return
		}
		*dst = r.addresses(key, list.Values, func(netip.AddrPort) error { return nil })
	}}
}

// addresses reads addresses, none of them twice. What check says of one is
// reported.
func (r *reader) addresses(key string, nodes []ast.Node, check func(netip.AddrPort) error) []netip.AddrPort {
	var out []netip.AddrPort
	seen := map[netip.AddrPort]place{}
	for _, n := range nodes {
		a, ok := r.address(key, n, 53)
		if !ok {
			continue
		}
		if err := check(a); err != nil {
			r.fail(key, n, "%v", err)
			continue
		}
		if first, twice := seen[a]; twice {
			r.fail(key, n, "%s is given twice; the first is in line %d, column %d", a, first.line, first.column)
			continue
		}
		seen[a] = placeOf(n)
		out = append(out, a)
	}
	return out
}

// httpAddress is one address, or "" for none.
func httpAddress(name string, dst *netip.AddrPort) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		if s, ok := n.(*ast.StringNode); ok && s.Value == "" {
			*dst = netip.AddrPort{}
			return
		}
		if a, ok := r.address(key, n, 8053); ok {
			*dst = a
		}
	}}
}

// address reads n as IP:PORT; usual is the port for advice.
func (r *reader) address(key string, n ast.Node, usual uint16) (netip.AddrPort, bool) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		r.fail(key, n, "must be IP:PORT, such as \"127.0.0.1:%d\", not %s", usual, kindOf(n))
		return netip.AddrPort{}, false
	}
	a, err := parseAddress(s.Value, usual)
	if err != nil {
		r.fail(key, n, "%v", err)
	}
	return a, err == nil
}

func level(name string, dst *slog.Level) field {
	return choice(name, []string{"debug", "info", "warn", "error"}, func(i int) {
		*dst = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}[i]
	})
}

func watch(name string, dst *Watch) field {
	return choice(name, []string{string(WatchAuto), string(WatchPoll), string(WatchOff)}, func(i int) {
		*dst = [...]Watch{WatchAuto, WatchPoll, WatchOff}[i]
	})
}

// percent is a whole number of percent with its sign, 0% to 100%.
func percent(name string, dst *int) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		if i, ok := n.(*ast.IntegerNode); ok && i.Token.Value == "0" {
			*dst = 0
			return
		}
		s, ok := n.(*ast.StringNode)
		if !ok {
			r.fail(key, n, "must be a percentage such as 50%%, not %s", kindOf(n))
			return
		}
		digits, sign := strings.CutSuffix(s.Value, "%")
		v, err := strconv.ParseUint(digits, 10, 8)
		if !sign || err != nil || v > 100 {
			r.fail(key, n, "%s is not a percentage from 0%% to 100%%, such as 50%%", quote(s.Value))
			return
		}
		*dst = int(v)
	}}
}

func format(name string, dst *LogFormat) field {
	return choice(name, []string{string(FormatAuto), string(FormatText), string(FormatJSON)}, func(i int) {
		*dst = [...]LogFormat{FormatAuto, FormatText, FormatJSON}[i]
	})
}

// choice is one of words; set is called with the index of the one given.
func choice(name string, words []string, set func(int)) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := r.str(key, n)
		if !ok {
			return
		}
		for i, w := range words {
			if s == w {
				set(i)
				return
			}
		}
		r.fail(key, n, "%s is not known; it must be one of %s", quote(s), strings.Join(words, ", "))
	}}
}

// notYet is a key of a later version. It may be written, since configurations
// list all keys, but it must be empty. keys are what it may hold, if anything.
func notYet(name string, keys ...string) field {
	f := field{name: name}
	for _, k := range keys {
		f.keys = append(f.keys, notYet(k))
	}
	f.read = func(r *reader, key string, n ast.Node) {
		if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && len(f.keys) > 0 {
			r.mapping(key, n, f.keys)
			return
		}
		if !empty(n) {
			r.fail(key, n, "this version of geodns does not have it yet; leave it out, or empty")
		}
	}
	return f
}

// empty: nothing, "", [], {}, or a mapping whose values are all empty.
func empty(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.NullNode:
		return true
	case *ast.StringNode:
		return n.Value == ""
	case *ast.SequenceNode:
		return len(n.Values) == 0
	case *ast.MappingNode:
		for _, kv := range n.Values {
			if !empty(kv.Value) {
				return false
			}
		}
		return true
	}
	return false
}
