// Package steering proves, with servers started for it, what steering must not
// do: change what isn't steered, show itself to strangers, or be carried away
// by bad input.
package steering

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// target is the server under test: TestMain builds it once.
var target harness.Target

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &target)) }

const (
	keyName = "xfer."
	secret  = "c3RlZXJpbmcgaXMgbm8gc2VjcmV0Li4="
	// takenWithin is how long a change of a file may take until it is served, on
	// a machine that is busy with other tests.
	takenWithin = 15 * time.Second
)

// config is a geodns.yaml with a key that may transfer; more is added to it.
func config(more string) string {
	return fmt.Sprintf("listen: [\"127.0.0.1:@PORT@\"]\nzones: zones\nstore: \"\"\ncontrol: \"\"\nhttp: \"\"\nkeys:\n  - {name: %s, algorithm: hmac-sha256, secret: \"%s\"}\ntransfer:\n  allow: [\"key:%s\"]\n%s", keyName, secret, keyName, more)
}

// serve starts a server with some files, which stops with the test.
func serve(t *testing.T, on harness.Target, conf string, files map[string]string) (*harness.Server, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	s, err := on.Start(harness.Spec{Dir: dir, Config: conf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// write makes a file anew, and puts it in its place at once.
func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+".new", []byte(text), 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// overwrite writes into a file where it is, as cp does.
func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// ask sends one question, with a client's network if it is not empty.
func ask(t *testing.T, s *harness.Server, name string, typ uint16, network string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	if network != "" {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		bits, _ := n.Mask.Size()
		o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(bits), Address: n.IP.To4()}
		m.IsEdns0().Option = append(m.IsEdns0().Option, o)
	}
	var reply *dns.Msg
	err := errors.New("not asked")
	for range 3 { // A busy machine may lose a datagram.
		if reply, _, err = (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, s.Addr()); err == nil {
			return reply
		}
	}
	t.Fatalf("%s: %s %s: %v", s.Target.Kind, name, dns.Type(typ), err)
	return nil
}

// text is all of a reply that is about the zone's data, in an order of its own.
func text(m *dns.Msg) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s aa=%t tc=%t\n", dns.RcodeToString[m.Rcode], m.Authoritative, m.Truncated)
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		var list []string
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT {
				list = append(list, strings.ToLower(rr.String()))
			}
		}
		slices.Sort(list)
		fmt.Fprintf(&b, "%d: %s\n", i, strings.Join(list, "\n   "))
	}
	return b.String()
}

// peer is another server than the one under test.
func peer(t *testing.T, kind harness.Kind) harness.Target {
	t.Helper()
	t.Setenv(harness.EnvServer, string(kind))
	p, err := harness.NewTarget(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
