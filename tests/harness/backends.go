package harness

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Spec is what a scenario wants of a server.
type Spec struct {
	// Dir holds the folder zones, and takes the server's own files.
	Dir string
	// Config is a geodns configuration to use instead of the one that the
	// harness writes; @PORT@ in it stands for the port.
	Config string
	// Unloaded are zones whose files cannot be loaded: nobody waits for them.
	Unloaded []string
	// Identity; empty: not set.
	NSID, Version, ID string
	// Idle is the TCP idle timeout in seconds; 0: the server's own.
	Idle int
	// Probes is how many sockets the server may have open because it is probing.
	Probes int
}

// has reports whether a scenario has a file.
func (s Spec) has(name string) bool {
	_, err := os.Stat(filepath.Join(s.Dir, name))
	return err == nil
}

// zone is a zone file and the name that it is served as.
type zone struct{ name, file string }

// zones lists the zone files of a scenario: NAME.zone, root.zone for the root.
func (s Spec) zones() ([]zone, error) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "zones", "*.zone"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no zones/*.zone in %s: %w", s.Dir, os.ErrNotExist)
	}
	var zs []zone
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".zone") + "."
		if name == "root." {
			name = "."
		}
		zs = append(zs, zone{name, f})
	}
	return zs, nil
}

// command writes the configuration for a server and returns its arguments.
// state is a folder with a short path, for sockets.
func (t Target) command(s Spec, port int, state string) ([]string, error) {
	zs, err := s.zones()
	if err != nil {
		return nil, err
	}
	var conf string
	var args []string
	file := filepath.Join(s.Dir, string(t.Kind)+".conf")
	switch t.Kind {
	case Geodns:
		file = filepath.Join(s.Dir, "geodns.yaml")
		conf, args = geodnsConfig(s, port, state), []string{"serve", "--config", file}
	case Knot:
		conf, args = knotConfig(s, port, state, zs), []string{"-c", file}
	case NSD:
		conf, args = nsdConfig(s, port, state, zs), []string{"-d", "-c", file}
	case BIND:
		conf, args = bindConfig(s, port, state, zs), []string{"-g", "-n", "1", "-c", file}
	}
	return args, os.WriteFile(file, []byte(conf), 0o644)
}

func geodnsConfig(s Spec, port int, state string) string {
	if s.Config != "" {
		return strings.ReplaceAll(s.Config, "@PORT@", fmt.Sprint(port))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "listen: [\"127.0.0.1:%d\"]\nzones: zones\n", port)
	fmt.Fprintf(&b, "store: %s/geodns.db\ncontrol: %s/control.sock\n", state, state)
	if s.has("networks.csv") {
		b.WriteString("geo: {networks: networks.csv}\n")
	}
	fmt.Fprintf(&b, "http: \"\"\nidentity: {nsid: %q, version: %q, id-server: %q}\n", s.NSID, s.Version, s.ID)
	if s.Idle > 0 {
		fmt.Fprintf(&b, "limits: {tcp-idle: %ds}\n", s.Idle)
	}
	return b.String()
}

func knotConfig(s Spec, port int, state string, zs []zone) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  rundir: %s\n  listen: 127.0.0.1@%d\n", state, port)
	b.WriteString("  edns-client-subnet: on\n  answer-rotation: on\n  udp-workers: 1\n  tcp-workers: 1\n")
	for key, value := range map[string]string{"nsid": s.NSID, "version": s.Version, "identity": s.ID} {
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(&b, "  %s: %s\n", key, value)
	}
	if s.Idle > 0 {
		fmt.Fprintf(&b, "  tcp-idle-timeout: %d\n  tcp-io-timeout: %d\n", s.Idle, s.Idle*1000)
	}
	fmt.Fprintf(&b, "database:\n  storage: %s\nlog:\n  - target: stderr\n    any: info\n", state)
	b.WriteString("template:\n  - id: default\n    zonefile-sync: -1\n    journal-content: none\nzone:\n")
	for _, z := range zs {
		fmt.Fprintf(&b, "  - domain: %s\n    file: %s\n", z.name, z.file)
	}
	return b.String()
}

func nsdConfig(s Spec, port int, state string, zs []zone) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  ip-address: 127.0.0.1@%d\n  username: \"\"\n  chroot: \"\"\n", port)
	fmt.Fprintf(&b, "  pidfile: %[1]s/nsd.pid\n  xfrdfile: %[1]s/xfrd\n  xfrdir: %[1]s\n  zonelistfile: %[1]s/zones\n  zonesdir: %[2]s\n", state, s.Dir)
	// Without a database, which all NSDs of a machine would share.
	b.WriteString("  database: \"\"\n  server-count: 1\n  minimal-responses: yes\n  refuse-any: no\n  round-robin: yes\n  rrl-ratelimit: 0\n  log-only-syslog: no\n")
	if s.NSID != "" {
		fmt.Fprintf(&b, "  nsid: \"ascii_%s\"\n", s.NSID)
	}
	if s.Version != "" {
		fmt.Fprintf(&b, "  version: %q\n", s.Version)
	} else {
		b.WriteString("  hide-version: yes\n")
	}
	if s.ID != "" {
		fmt.Fprintf(&b, "  identity: %q\n", s.ID)
	} else {
		b.WriteString("  hide-identity: yes\n")
	}
	if s.Idle > 0 {
		fmt.Fprintf(&b, "  tcp-timeout: %d\n", s.Idle)
	}
	b.WriteString("remote-control:\n  control-enable: no\n")
	for _, z := range zs {
		fmt.Fprintf(&b, "zone:\n  name: %q\n  zonefile: %q\n", z.name, z.file)
	}
	return b.String()
}

func bindConfig(s Spec, port int, state string, zs []zone) string {
	var b strings.Builder
	fmt.Fprintf(&b, "options {\n directory %q;\n listen-on port %d { 127.0.0.1; };\n listen-on-v6 { none; };\n", state, port)
	fmt.Fprintf(&b, " pid-file none;\n session-keyfile %q;\n lock-file none;\n", filepath.Join(state, "session.key"))
	b.WriteString(" recursion no;\n minimal-responses no-auth;\n minimal-any yes;\n notify no;\n dnssec-validation no;\n empty-zones-enable no;\n")
	b.WriteString(" max-udp-size 1232;\n max-records-per-type 0;\n check-names primary ignore;\n check-mx ignore;\n check-sibling no;\n check-integrity no;\n allow-transfer { none; };\n")
	for key, value := range map[string]string{"version": s.Version, "server-id": firstOf(s.NSID, s.ID)} {
		if value == "" {
			fmt.Fprintf(&b, " %s none;\n", key)
		} else {
			fmt.Fprintf(&b, " %s %q;\n", key, value)
		}
	}
	if s.Idle > 0 {
		fmt.Fprintf(&b, " tcp-idle-timeout %d;\n tcp-initial-timeout %d;\n", s.Idle*10, max(s.Idle*10, 25))
	}
	// The secret is a placeholder: rndc is never used, but named would
	// otherwise look for a key of the machine that it runs on.
	secret := base64.StdEncoding.EncodeToString([]byte("not a secret at all"))
	fmt.Fprintf(&b, "};\nkey rndc { algorithm hmac-sha256; secret %q; };\ncontrols { };\n", secret)
	for _, z := range zs {
		fmt.Fprintf(&b, "zone %q { type primary; file %q; };\n", z.name, z.file)
	}
	return b.String()
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
