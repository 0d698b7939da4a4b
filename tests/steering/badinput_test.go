package steering

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

const cluster = `$ORIGIN cluster.test.
$TTL 60
@ SOA ns1 hostmaster %d 3600 600 604800 60
@ NS ns1
ns1 A 192.0.2.53
www A 192.0.2.1
www A 198.51.100.1
plain A 192.0.2.%[1]d
lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
`

const nearest = "www._steer TXT \"v=steer1; policy=nearest\"\n"

// networks is a world in which one network is near a point.
func networks(lat, lon float64) string {
	return fmt.Sprintf("prefix,lat,lon\n203.0.113.0/24,%.2f,%.2f\n2001:db8::/32,%.2f,%.2f\n", lat, lon, lat, lon)
}

const (
	client = "203.0.113.0/24"
	lon    = "192.0.2.1"
	nyc    = "198.51.100.1"
)

// answers is the address that the client gets, or all of them.
func answers(t *testing.T, s *harness.Server) string {
	t.Helper()
	var list []string
	for _, rr := range ask(t, s, "www.cluster.test.", dns.TypeA, client).Answer {
		list = append(list, rr.(*dns.A).A.String())
	}
	return strings.Join(list, " ")
}

// await waits until something is so.
func await(t *testing.T, s *harness.Server, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(takenWithin); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v\n%s", what, takenWithin, s.Log())
		}
	}
}

// said waits until the server has told of something since its log was so long.
func said(t *testing.T, s *harness.Server, since int, parts ...string) {
	t.Helper()
	await(t, s, "the log says "+strings.Join(parts, ", "), func() bool {
		for line := range strings.Lines(s.Log()[since:]) {
			all := true
			for _, p := range parts {
				all = all && strings.Contains(line, p)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// TestBrokenSteering: a _steer record that is wrong keeps the zone as it was,
// data and steering, and is told with its line and a remedy.
func TestBrokenSteering(t *testing.T) {
	file := "zones/cluster.test.zone"
	s, dir := serve(t, target, config("geo: {networks: own.csv}\n"), map[string]string{
		file: fmt.Sprintf(cluster, 1) + nearest, "own.csv": networks(50, 0),
	})
	plain := func() string {
		return ask(t, s, "plain.cluster.test.", dns.TypeA, "").Answer[0].(*dns.A).A.String()
	}
	if got := answers(t, s); got != lon {
		t.Fatalf("the client near London gets %q", got)
	}
	for serial, broken := range []struct{ record, line, remedy string }{
		{`www._steer TXT "v=steer1; policy=nearest; floor=half"`, "11:", "write as in floor=50% or floor=2"},
		{`www._steer TXT "v=steer1; policy=nearest; default=par"`, "11:", "declare par._site"},
		{`nobody._steer TXT "v=steer1"`, "11:", "give it A or AAAA records"},
		{`www._steer TXT "v=steer1; check=web"`, "11:", "declare web._check"},
	} {
		since := len(s.Log())
		write(t, filepath.Join(dir, file), fmt.Sprintf(cluster, serial+2)+broken.record+"\n")
		said(t, s, since, "cluster.test.zone", broken.line, broken.remedy)
		if got, other := answers(t, s), plain(); got != lon || other != "192.0.2.1" {
			t.Errorf("with %s, the client gets %q, and plain is %s", broken.record, got, other)
		}
	}
	write(t, filepath.Join(dir, file), fmt.Sprintf(cluster, 9)+`www._steer TXT "v=steer1; policy=failover; order=nyc"`+"\n")
	await(t, s, "the corrected file is served", func() bool { return answers(t, s) == nyc && plain() == "192.0.2.9" })
}

// TestBadNetworks: own networks that are wrong change nothing; good ones are
// taken, whether the file is replaced or written into.
func TestBadNetworks(t *testing.T) {
	s, dir := serve(t, target, config("geo: {networks: own.csv}\n"), map[string]string{
		"zones/cluster.test.zone": fmt.Sprintf(cluster, 1) + nearest, "own.csv": networks(50, 0),
	})
	file := filepath.Join(dir, "own.csv")
	if got := answers(t, s); got != lon {
		t.Fatalf("the client near London gets %q", got)
	}
	for _, broken := range []struct{ text, says string }{
		{networks(40, -74) + "203.0.113.0/33,1,1\n", "own.csv:4:"},
		{networks(40, -74) + "203.0.113.1/24,1,200\n", "own.csv:4:"},
		{"prefix,lat,lon\n203.0.113.0/24,40.7,west\n", "own.csv:2:"},
	} {
		since := len(s.Log())
		write(t, file, broken.text)
		said(t, s, since, broken.says)
		if got := answers(t, s); got != lon {
			t.Errorf("with %q the client gets %q", broken.text, got)
		}
	}
	write(t, file, networks(40, -74))
	await(t, s, "good networks are taken", func() bool { return answers(t, s) == nyc })
	overwrite(t, file, []byte(networks(50, 0)))
	await(t, s, "networks that were overwritten are taken", func() bool { return answers(t, s) == lon })
}

// database builds an .mmdb in which the client is near a point.
func database(t *testing.T, lat, lon float64) []byte {
	t.Helper()
	dir := t.TempDir()
	var csv strings.Builder
	csv.WriteString(networks(lat, lon))
	for i := range 2000 { // so that there is something to cut off
		fmt.Fprintf(&csv, "%s/32,%d,%d\n", netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), i%90, i%180)
	}
	write(t, filepath.Join(dir, "world.csv"), csv.String())
	out := filepath.Join(dir, "world.mmdb")
	cmd := exec.Command(target.Binary, "geo", "build", "--out", out, "--csv", filepath.Join(dir, "world.csv"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("geodns geo build: %v\n%s", err, text)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestTruncatedDatabase: a database that is cut off, or is none, changes
// nothing; a good one is taken.
func TestTruncatedDatabase(t *testing.T) {
	atLon, atNyc := database(t, 50, 0), database(t, 40, -74)
	s, dir := serve(t, target, config("geo: {database: world.mmdb}\n"), map[string]string{
		"zones/cluster.test.zone": fmt.Sprintf(cluster, 1) + nearest, "world.mmdb": string(atLon),
	})
	file := filepath.Join(dir, "world.mmdb")
	if got := answers(t, s); got != lon {
		t.Fatalf("the client near London gets %q", got)
	}
	// A cut anywhere, a part that was flipped, nothing at all.
	flipped := append([]byte(nil), atNyc...)
	for i := range 64 {
		flipped[len(flipped)/4+i] ^= 0xff
	}
	for i, broken := range [][]byte{atNyc[:len(atNyc)/2], atNyc[:len(atNyc)-10], {}, flipped, []byte("no database")} {
		since := len(s.Log())
		if i%2 == 0 {
			overwrite(t, file, broken)
		} else {
			write(t, file, string(broken))
		}
		said(t, s, since, "world.mmdb", "refused")
		if got := answers(t, s); got != lon {
			t.Errorf("with %d octets of %d, variant %d, the client gets %q", len(broken), len(atNyc), i, got)
		}
	}
	write(t, file, string(atNyc))
	await(t, s, "a good database is taken", func() bool { return answers(t, s) == nyc })
	overwrite(t, file, atLon)
	await(t, s, "a database that was overwritten is taken", func() bool { return answers(t, s) == lon })
}
