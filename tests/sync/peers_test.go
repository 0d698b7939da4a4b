package syncing

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"geodns/tests/harness"
)

// role is what a peer does with a zone.
type role struct {
	zones   map[string]string // text by name without the final dot; "" as a secondary
	primary int               // as a secondary: where it comes from
	tell    []int             // as a primary: who is told
	key     string            // the secret of the transfers; "": keyName's
}

func (r *role) secret() string {
	if r.key == "" {
		return secret
	}
	return r.key
}

// peer starts a server of others, as primary or secondary.
func (n *network) peer(kind harness.Kind, host int, r role) *server {
	n.t.Helper()
	dir := n.home(host)
	for name, text := range r.zones {
		if text != "" {
			write(n.t, text, dir, name+".zone")
		}
	}
	var conf string
	var args []string
	file := filepath.Join(dir, string(kind)+".conf")
	path := map[harness.Kind]string{harness.BIND: "named", harness.NSD: "nsd", harness.Knot: "knotd"}[kind]
	switch kind {
	case harness.BIND:
		conf, args = n.bind(host, &r), []string{"-g", "-n", "1", "-c", file}
	case harness.NSD:
		conf, args = n.nsd(host, &r), []string{"-d", "-V", "3", "-c", file}
	case harness.Knot:
		conf, args = n.knot(host, &r), []string{"-c", file}
	}
	write(n.t, conf, file)
	return n.serve(kind, host, program(n.t, path), args...)
}

func (n *network) bind(host int, r *role) string {
	var b strings.Builder
	fmt.Fprintf(&b, "options {\n directory %q;\n listen-on port %d { %s; };\n listen-on-v6 { none; };\n", n.home(host), n.port, n.addr(host))
	fmt.Fprintf(&b, " pid-file none;\n session-keyfile \"session.key\";\n lock-file none;\n transfer-source %s;\n notify-source %[1]s;\n", n.addr(host))
	b.WriteString(" recursion no;\n dnssec-validation no;\n empty-zones-enable no;\n notify explicit;\n max-ixfr-ratio unlimited;\n notify-delay 0;\n serial-query-rate 1000;\n")
	b.WriteString(" startup-notify-rate 1000;\n notify-rate 1000;\n check-names primary ignore;\n check-names secondary ignore;\n check-integrity no;\n")
	fmt.Fprintf(&b, " allow-transfer { key %s; };\n};\n", keyName)
	fmt.Fprintf(&b, "key rndc { algorithm hmac-sha256; secret %q; };\ncontrols { };\n", updKey)
	fmt.Fprintf(&b, "key %s { algorithm hmac-sha256; secret %q; };\n", keyName, r.secret())
	fmt.Fprintf(&b, "key %s { algorithm hmac-sha256; secret %q; };\n", updName, updKey)
	for name, text := range r.zones {
		if text == "" {
			fmt.Fprintf(&b, "zone %q { type secondary; file \"%[1]s.copy\"; allow-notify { key %s; }; primaries port %d { %s key %[2]s; }; };\n",
				name, keyName, n.port, n.addr(r.primary))
			continue
		}
		fmt.Fprintf(&b, "zone %q { type primary; file \"%[1]s.zone\"; allow-update { key %s; }; also-notify port %d {", name, updName, n.port)
		for _, h := range r.tell {
			fmt.Fprintf(&b, " %s key %s;", n.addr(h), keyName)
		}
		b.WriteString(" }; };\n")
	}
	return b.String()
}

func (n *network) nsd(host int, r *role) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  ip-address: %s@%d\n  username: \"\"\n  chroot: \"\"\n  server-count: 1\n  log-only-syslog: no\n", n.addr(host), n.port)
	fmt.Fprintf(&b, "  zonesdir: %[1]s\n  pidfile: %[1]s/nsd.pid\n  xfrdfile: %[1]s/xfrd\n  xfrdir: %[1]s\n  zonelistfile: %[1]s/zones.list\n", n.home(host))
	b.WriteString("  database: \"\"\n  rrl-ratelimit: 0\n  xfrd-reload-timeout: 0\nremote-control:\n  control-enable: no\n")
	fmt.Fprintf(&b, "key:\n  name: %q\n  algorithm: hmac-sha256\n  secret: %q\n", keyName, r.secret())
	for name, text := range r.zones {
		fmt.Fprintf(&b, "zone:\n  name: %q\n  provide-xfr: 127.0.0.0/8 %s\n  outgoing-interface: %s\n", name, keyName, n.addr(host))
		if text == "" {
			fmt.Fprintf(&b, "  zonefile: \"%s.copy\"\n  store-ixfr: yes\n  allow-notify: %s %s\n  request-xfr: %s@%d %[3]s\n", name, n.addr(r.primary), keyName, n.addr(r.primary), n.port)
			continue
		}
		fmt.Fprintf(&b, "  zonefile: \"%s.zone\"\n  store-ixfr: yes\n  create-ixfr: yes\n  ixfr-number: 500\n", name)
		for _, h := range r.tell {
			fmt.Fprintf(&b, "  notify: %s@%d %s\n", n.addr(h), n.port, keyName)
		}
	}
	return b.String()
}

func (n *network) knot(host int, r *role) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  rundir: %s\n  listen: %s@%d\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 2\n", n.home(host), n.addr(host), n.port)
	fmt.Fprintf(&b, "database:\n  storage: %s\nlog:\n  - target: stderr\n    any: info\n", n.home(host))
	fmt.Fprintf(&b, "key:\n  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", keyName, r.secret())
	fmt.Fprintf(&b, "  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", updName, updKey)
	b.WriteString("remote:\n")
	remotes := append([]int{r.primary}, r.tell...)
	slices.Sort(remotes)
	for _, h := range slices.Compact(remotes) {
		fmt.Fprintf(&b, "  - id: r%d\n    address: %s@%d\n    via: %s\n    key: %s\n", h, n.addr(h), n.port, n.addr(host), keyName)
	}
	fmt.Fprintf(&b, "acl:\n  - id: transfer\n    key: %s\n    action: [transfer, notify]\n  - id: update\n    key: %s\n    action: update\n", keyName, updName)
	fmt.Fprintf(&b, "template:\n  - id: default\n    storage: %s\n    journal-content: all\n    zonefile-sync: -1\n    zonefile-load: none\n    acl: [transfer, update]\n    semantic-checks: off\nzone:\n", n.home(host))
	for name, text := range r.zones {
		fmt.Fprintf(&b, "  - domain: %s\n", name)
		if text == "" {
			fmt.Fprintf(&b, "    master: r%d\n", r.primary)
			continue
		}
		fmt.Fprintf(&b, "    file: %s.zone\n    zonefile-load: difference\n    notify: [", name)
		for i, h := range r.tell {
			fmt.Fprintf(&b, "%sr%d", strings.Repeat(", ", min(i, 1)), h)
		}
		b.WriteString("]\n")
	}
	return b.String()
}
