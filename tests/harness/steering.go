package harness

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// samplesDir is where the sample clusters are, seen from the package that runs
// the scripts.
const samplesDir = "../zones"

// cmdSamples copies sample clusters, and where their clients are, into the
// script's folder: all of them, or those that are named.
func cmdSamples(ts *testscript.TestScript, neg bool, names []string) {
	if neg {
		ts.Fatalf("! means nothing here")
	}
	files, err := filepath.Glob(filepath.Join(samplesDir, "*.zone"))
	ts.Check(err)
	ts.Check(os.MkdirAll(ts.MkAbs("zones"), 0o755))
	copied := 0
	for _, f := range files {
		base := filepath.Base(f)
		if len(names) > 0 && !slices.Contains(names, strings.TrimSuffix(base, ".zone")) {
			continue
		}
		copyFile(ts, f, ts.MkAbs("zones/"+base))
		copied++
	}
	if copied == 0 || len(names) > 0 && copied < len(names) {
		ts.Fatalf("of %v there are %d samples", names, copied)
	}
	copyFile(ts, filepath.Join(samplesDir, "networks.csv"), ts.MkAbs("networks.csv"))
}

func copyFile(ts *testscript.TestScript, from, to string) {
	data, err := os.ReadFile(from)
	ts.Check(err)
	ts.Check(os.WriteFile(to, data, 0o644))
}

// cmdLog prints what the server said so far.
func cmdLog(ts *testscript.TestScript, neg bool, _ []string) {
	fmt.Fprint(ts.Stdout(), running(ts, neg).Log())
}

// cmdShare asks a question many times, and compares how often each record comes
// first with what is expected: "share 3000 www.example. A 192.0.2.1=1/3 ...".
// [from=ADDRESS] says who asks. Records that are not named must never come first.
// The word same instead of records: one of them is always first.
func cmdShare(ts *testscript.TestScript, neg bool, args []string) {
	server := running(ts, neg)
	who, args := askerOf(server, args)
	if len(args) < 4 {
		ts.Fatalf("usage: share [from=ADDRESS] N NAME TYPE DATA=SHARE...|same")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	typ, err := typeNumber(args[2])
	ts.Check(err)
	if args[3] == "same" {
		got, err := who.firsts(n, args[1], typ)
		ts.Check(err)
		if len(got) != 1 {
			ts.Fatalf("of %d answers to %s %s not all begin alike: %v", n, args[1], args[2], got)
		}
		return
	}
	want := map[string]float64{}
	for _, a := range args[3:] {
		at := strings.LastIndexByte(a, '=')
		if at < 0 {
			ts.Fatalf("%q is not DATA=SHARE", a)
		}
		want[a[:at]] = fraction(ts, a[at+1:])
	}
	got, err := who.firsts(n, args[1], typ)
	ts.Check(err)
	if wrong := compareShares(n, got, want); wrong != "" {
		ts.Fatalf("of %d answers to %s %s:\n%s", n, args[1], args[2], wrong)
	}
}

// fraction reads 1/3 or 0.25.
func fraction(ts *testscript.TestScript, s string) float64 {
	above, below, _ := strings.Cut(s, "/")
	a, err := strconv.ParseFloat(above, 64)
	ts.Check(err)
	b, err := strconv.ParseFloat(cmp.Or(below, "1"), 64)
	ts.Check(err)
	return a / b
}

// firsts counts the data of the first records of n answers.
func (a asker) firsts(n int, name string, typ uint16) (map[string]int, error) {
	dialer := &net.Dialer{}
	if a.from != "" {
		dialer.LocalAddr = &net.UDPAddr{IP: net.ParseIP(a.from)}
	}
	client := &dns.Client{Dialer: dialer}
	conn, err := client.Dial(fmt.Sprintf("127.0.0.1:%d", a.port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	got := map[string]int{}
	for range n {
		r, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(name, typ), conn)
		if err != nil {
			return nil, err
		}
		if len(r.Answer) == 0 {
			return nil, fmt.Errorf("the answer is empty:\n%s", r)
		}
		data := strings.TrimPrefix(r.Answer[0].String(), r.Answer[0].Header().String())
		got[strings.Join(strings.Fields(data), " ")]++
	}
	return got, nil
}

// compareShares says which counts are no longer chance: farther from what is
// expected than six standard deviations, which happens once in 500 million.
func compareShares(n int, got map[string]int, want map[string]float64) string {
	var out strings.Builder
	for data, share := range want {
		mean := float64(n) * share
		if math.Abs(float64(got[data])-mean) > 6*math.Sqrt(mean*(1-share)) {
			fmt.Fprintf(&out, "  %s came first %d times; expected are about %.0f\n", data, got[data], mean)
		}
	}
	for data, times := range got {
		if _, ok := want[data]; !ok {
			fmt.Fprintf(&out, "  %s came first %d times; expected is never\n", data, times)
		}
	}
	return out.String()
}
