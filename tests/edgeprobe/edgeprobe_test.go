// Package edgeprobe sends odd messages to a server, and holds each of its
// replies to be one that BIND, NSD or Knot gives too. What these said is kept
// in testdata/reference.tsv, with their versions in its first line.
package edgeprobe

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"geodns/tests/harness"
)

// zone is what all the probes are about.
const zone = `$ORIGIN example.
$TTL 3600
@    SOA  ns1 hostmaster 1 3600 600 604800 60
     NS   ns1
ns1  A    192.0.2.53
www  A    192.0.2.1
`

const referenceFile = "testdata/reference.tsv"

// target is the server under test: TestMain builds it once.
var target harness.Target

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &target)) }

// question is the probes' plain question; a probe that begins with it differs
// in what comes after it.
const question = "question www.example. A"

// probes returns the messages; the names are the reference's.
func probes() []harness.Probe {
	p := func(name string, lines ...string) harness.Probe {
		return harness.Probe{Name: name, Lines: lines}
	}
	return []harness.Probe{
		p("AXFR/udp", "question example. AXFR"),
		p("IXFR/udp ser=0", "question example. IXFR", "authority example. 0 SOA ns1.example. hostmaster.example. 0 2 3 4 5"),
		p("IXFR/udp no SOA", "question example. IXFR"),
		p("QDCOUNT=0"),
		p("QDCOUNT=0+cookie", "opt 10:3132333435363738"),
		p("QDCOUNT=2", question, "question www.example. AAAA"),
		p("trailing byte", question, "octets 78"),
		p("QR=1", "header flags=0x8000", question),
		p("ANCOUNT=1 in query", question, "answer www.example. 4 A 1.2.3.4"),
		p("class CH A", "question www.example. A CH"),
		p("class ANY", "question www.example. A ANY"),
		p("class NONE", "question www.example. A NONE"),
		p("class 0", "question www.example. A CLASS0"),
		p("class 4660", "question www.example. A CLASS4660"),
		p("version.bind CH TXT", "question version.bind. TXT CH"),
		p("out of zone", "question nope.invalid. A"),
		p("root NS", "question . NS"),
		p("type 0", "question www.example. TYPE0"),
		p("type OPT(41)", "question www.example. OPT"),
		p("type TSIG(250)", "question www.example. TSIG"),
		p("type MAILB(253)", "question www.example. MAILB"),
		p("type ANY", "question example. ANY"),
		p("type RRSIG", "question example. RRSIG"),
		p("type 65535", "question www.example. TYPE65535"),
		p("opcode IQUERY(1)", "header opcode=1", question),
		p("opcode STATUS(2)", "header opcode=2", question),
		p("opcode NOTIFY(4)", "header opcode=4 flags=0x0400", "question example. SOA"),
		p("opcode UPDATE(5)", "header opcode=5", "question example. SOA"),
		p("opcode DSO(6)", "header opcode=6"),
		p("opcode 15", "header opcode=15", question),
		p("EDNS v1", question, "opt version=1"),
		p("two OPT", question, "opt", "opt"),
		p("OPT owner x.", question, "opt owner=x."),
		p("OPT in answer", question, "opt in=answer"),
		p("OPT size 0", question, "opt size=0"),
		p("OPT rdlen overrun", question, "opt rdlen=5", "octets 000a000801"),
		p("EDNS flags 0x7fff", question, "opt flags=0x7fff"),
		p("keepalive/udp", question, "opt 11"),
		p("cookie 7 octets", question, "opt 10:31323334353637"),
		p("TSIG unknown key", question, "tsig nokey."),
		p("TSIG then OPT", question, "tsig nokey.", "opt"),
		p("all header flags", "header flags=0x07f0", question),
		p("pointer loop qname", "header qd=1", "octets c00c 0001 0001"),
		p("label type 0x40", "header qd=1", "octets 4100 0001 0001"),
		p("11-octet header", question, "cut 11"),
	}
}

// reference reads what each server replied, by the probe's name.
func reference(t *testing.T) map[string]map[harness.Kind]string {
	t.Helper()
	f, err := os.Open(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]map[harness.Kind]string{}
	sc := bufio.NewScanner(f)
	for line := 1; sc.Scan(); line++ {
		c := strings.Split(sc.Text(), "\t")
		if len(c) != 5 {
			t.Fatalf("%s:%d: %d columns, not 5", referenceFile, line, len(c))
		}
		if line > 1 {
			out[c[0]] = map[harness.Kind]string{harness.BIND: c[1], harness.NSD: c[2], harness.Knot: c[3]}
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// like reports whether a reply is what a server of the reference says. The
// authority and additional data of a positive answer are a matter of taste:
// there, the reference's numbers are an upper bound.
func like(got, want string) bool {
	if got == want {
		return true
	}
	g, w := strings.Fields(got), strings.Fields(want)
	if len(g) < 5 || len(g) != len(w) || !strings.HasPrefix(got, "NOERROR AA") || !slices.Contains(g, "a1") {
		return false
	}
	n := len(g) - 2
	return slices.Equal(g[:n], w[:n]) && g[n] <= w[n] && g[n+1] <= w[n+1]
}

func TestEdges(t *testing.T) {
	if err := harness.NoteSources("../.."); err != nil {
		t.Fatal(err)
	}
	ref := reference(t)
	probes := probes()
	if len(probes) != len(ref) {
		t.Fatalf("%d probes, but %d lines of reference", len(probes), len(ref))
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "zones", "example.zone"), []byte(zone), 0o644); err != nil {
		t.Fatal(err)
	}
	server, err := target.Start(harness.Spec{Dir: dir, Version: "geodns"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for _, p := range probes {
		t.Run(p.Name, func(t *testing.T) {
			want := ref[p.Name]
			if want == nil {
				t.Fatalf("%s does not know this probe", referenceFile)
			}
			got, err := p.Send(server)
			if err != nil {
				t.Fatal(err)
			}
			s := got.Summary()
			for _, w := range want {
				if like(s, w) {
					return
				}
			}
			t.Errorf("got %s; BIND says %s, NSD %s, Knot %s", s, want[harness.BIND], want[harness.NSD], want[harness.Knot])
		})
	}
}
