package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/control"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
	"geodns/internal/zonemd"
)

// must runs a command that has to succeed, and returns what it prints.
func (s *site) must(args ...string) string {
	s.t.Helper()
	code, out, errs := s.geodns(args...)
	if code != exitOK || errs != "" {
		s.t.Fatalf("geodns %s: %d %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refused runs a command that has to fail with a message.
func (s *site) refused(message string, args ...string) {
	s.t.Helper()
	if code, out, errs := s.geodns(args...); code != exitFailure || !strings.Contains(errs, message) {
		s.t.Errorf("geodns %s: %d %s%s; want %s", strings.Join(args, " "), code, out, errs, message)
	}
}

// has checks what a command prints against a pattern.
func (s *site) has(pattern string, args ...string) {
	s.t.Helper()
	if out := s.must(args...); !regexp.MustCompile("(?s)^" + pattern + "$").MatchString(out) {
		s.t.Errorf("geodns %s:\n%swant %s", strings.Join(args, " "), out, pattern)
	}
}

// zone is what the server tells of one.
func (s *site) zone(name string) control.Zone {
	s.t.Helper()
	var list []control.Zone
	if err := json.Unmarshal([]byte(s.must("zone", "status", name, "-o", "json")), &list); err != nil || len(list) != 1 {
		s.t.Fatalf("%v %v", list, err)
	}
	return list[0]
}

// exportedZone reads what zone export prints.
func (s *site) exportedZone(args ...string) *zone.Zone {
	s.t.Helper()
	return readZone(s.t, s.must(append([]string{"zone", "export"}, args...)...))
}

func readZone(t *testing.T, text string) *zone.Zone {
	t.Helper()
	path := filepath.Join(t.TempDir(), "read.zone")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := zonedir.ReadFile(path)
	if r.Zone == nil || len(r.Findings) > 0 {
		t.Fatalf("%v\n%s", r.Findings, text)
	}
	if out, err := exec.Command("named-checkzone", "-k", "ignore", "-i", "none", strings.TrimSuffix(dnsName(r.Zone.Apex()), "."), path).CombinedOutput(); err != nil {
		t.Errorf("named-checkzone: %v\n%s%s", err, out, text)
	}
	return r.Zone
}

func dnsName(apex []byte) string {
	name, _, err := dns.UnpackDomainName(apex, 0)
	if err != nil {
		return err.Error()
	}
	return name
}

// sameContent compares all but the serial.
func sameContent(t *testing.T, what string, got, want *zone.Zone) {
	t.Helper()
	for _, list := range [][]string{recordLines(zone.Diff(want, got).Del, 99), recordLines(zone.Diff(want, got).Add, 99)} {
		for _, l := range list {
			if !strings.Contains(l, " SOA ") {
				t.Errorf("%s: differs in %s", what, l)
			}
		}
	}
}

// steeredText is a zone of which a site can be drained.
func steeredText(serial int, more string) string {
	return fmt.Sprintf(`$ORIGIN a.example.
$TTL 60
@ SOA ns1 hostmaster %d 60 60 60 60
@ NS ns1
ns1 A 192.0.2.53
www A 192.0.2.10
www A 198.51.100.10
txt TXT "one; \"two\"" "three\\" ( "four"
  )
lon._site TXT "v=site1; net=192.0.2.0/24"
nyc._site TXT "v=site1; net=198.51.100.0/24"
www._steer TXT "v=steer1"
`, serial) + more
}

// withStore keeps versions; somebody may have the zones, so that commands travel.
const withStore = "store: geodns.db\ncontrol: run/control.sock\nhttp: \"\"\ntransfer: {allow: [127.0.0.1]}\n" + unwatched

// A zone of a file: its history, older versions of it, and the way back.
func TestZoneHistory(t *testing.T) {
	first := steeredText(10, "old A 192.0.2.7\n")
	s := startSiteWith(t, withStore, [2]string{"zones/a.example.zone", first})
	s.has(`SERIAL  MADE +ORIGIN  BY +\+  -  NOTE\n10 +\S+Z  file    a\.example\.zone + history begins here\n`, "zone", "history", "a.example")
	s.write("zones/a.example.zone", steeredText(10, "new 300 MX 10 mail\nmail A 192.0.2.8\n"))
	s.must("reload")
	s.must("drain", "lon")
	s.awaitSerial("a.example", 12)
	s.has(`SERIAL .*\n12 +\S+  command  -   .*1  0  commands in force\n11  +\S+Z  file     a\.example\.zone  2  1  +\n10 .*`, "zone", "history", "a.example")
	s.has(`SERIAL .*\n12 [^\n]*\nthere are older ones: -n tells more\n`, "zone", "history", "a.example", "-n", "1")
	s.has(`; a\.example\. 10 -> 11, \S+Z, by file \(a\.example\.zone\)
- a\.example\. 60 IN SOA ns1\.a\.example\. hostmaster\.a\.example\. 10 [^\n]*
- old\.a\.example\. 60 IN A 192\.0\.2\.7
\+ a\.example\. 60 IN SOA [^\n]* 11 [^\n]*
\+ (mail\.a\.example\. 60 IN A 192\.0\.2\.8|new\.a\.example\. 300 IN MX 10 mail\.a\.example\.)
\+ [^\n]*
`, "zone", "history", "a.example", "--diff", "11")
	s.refused("its history begins there", "zone", "history", "a.example", "--diff", "10")
	s.refused("serial 9 of a.example. is not kept", "zone", "history", "a.example", "--diff", "9")
	s.refused("the zone b.example. is not served here", "zone", "history", "b.example")

	// What it was, and what it is; the drain is no part of it.
	old := s.exportedZone("a.example", "--serial", "10")
	if diff := zone.Diff(readZone(t, first), old); !diff.Empty() {
		t.Errorf("serial 10 is exported with %v", diff)
	}
	if z := s.exportedZone("a.example"); z.Serial() != 12 {
		t.Errorf("serial %d is exported", z.Serial())
	}
	if text := s.must("zone", "export", "a.example", "--all"); !strings.Contains(text, "lon._state\t\tTXT\t\"v=state1; drain") {
		t.Errorf("--all:\n%s", text)
	}
	if text := s.must("zone", "export", "a.example", "--stripped"); strings.Contains(text, "_") || !strings.Contains(text, "www\t\tA") {
		t.Errorf("--stripped:\n%s", text)
	}
	s.refused("serial 9 of a.example. is not kept", "zone", "export", "a.example", "--serial", "9")

	s.has(`(- [^\n]*\n){2}\+ old\.a\.example\. 60 IN A 192\.0\.2\.7\na\.example\.: not changed; 2 records would go and 1 come, as serial 13\n`, "zone", "rollback", "a.example", "10", "--dry-run")
	if z := s.zone("a.example"); z.Serial != 12 {
		t.Errorf("a dry run made %d", z.Serial)
	}
	s.has(`.*a\.example\.: serial 13 says what serial 10 said: 2 records went and 1 came\n\S+ still says otherwise, .*`, "zone", "rollback", "a.example", "10")
	s.has(`a\.example\.: serial 13 says the same as serial 13; nothing was done\n`, "zone", "rollback", "a.example", "13")
	sameContent(t, "rolled back", s.exportedZone("a.example"), old)
	if text := s.must("zone", "export", "a.example", "--all"); !strings.Contains(text, "lon._state") {
		t.Errorf("the drain is gone:\n%s", text)
	}
	s.has(fmt.Sprintf(`SERIAL .*\n13 +\S+  command  uid %d +1  2  rollback to 10\n.*`, os.Getuid()), "zone", "history", "a.example", "-n", "1")
	if z := s.zone("a.example"); z.Serial != 13 {
		t.Errorf("status tells of serial %d", z.Serial)
	}

	// The file counts again when the server is restarted, as a newer version.
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.log.b.Reset()
	s.begin()
	if z := s.zone("a.example"); z.Serial != 14 {
		t.Errorf("serial %d after a restart", z.Serial)
	}
	if text := s.must("zone", "export", "a.example"); !strings.Contains(text, "mail\t") {
		t.Errorf("after a restart:\n%s", text)
	}
}

// awaitSerial waits until a version is served.
func (s *site) awaitSerial(name string, serial uint32) {
	s.t.Helper()
	for end := time.Now().Add(patience); s.zone(name).Serial != serial; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("serial %d of %s, want %d", s.zone(name).Serial, name, serial)
		}
	}
}

// The way back stays by writing to the file what is served.
func TestRollbackWritten(t *testing.T) {
	s := startSiteWith(t, withStore, [2]string{"zones/a.example.zone", steeredText(10, "")})
	s.write("zones/a.example.zone", steeredText(11, "new A 192.0.2.9\n"))
	s.must("reload")
	s.must("zone", "rollback", "a.example", "10")
	s.has(`a\.example\.: serial 12, 9 records: \S+a\.example\.zone written\n`, "zone", "export", "a.example", "--write")
	if z := s.zone("a.example"); z.Serial != 12 || z.Broken() {
		t.Errorf("%+v", z)
	}
	s.has(`.*says so already\n`, "zone", "export", "a.example", "--write")
	history := s.must("zone", "history", "a.example")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.log.b.Reset()
	s.begin()
	if text := s.must("zone", "export", "a.example"); strings.Contains(text, "new") || s.zone("a.example").Serial != 12 {
		t.Errorf("after a restart:\n%s", text)
	}
	if now := s.must("zone", "history", "a.example"); now != history {
		t.Errorf("after a restart:\n%s\nwas\n%s", now, history)
	}
}

// What can't be rolled back, or written, says why, and nothing changes.
func TestZoneCommandsRefused(t *testing.T) {
	s := startSiteWith(t, withStore+"zone: {strict.example: {serial: strict}}\n",
		[2]string{"zones/a.example.zone", steeredText(10, "")},
		[2]string{"zones/strict.example.zone", zoneText(1, 4)},
		[2]string{"zones/more.example.zone", zoneText(1, 4) + "$INCLUDE more.txt\n"},
		[2]string{"zones/more.txt", "x 60 A 192.0.2.1\n"},
	)
	s.refused("strict.example. is numbered by its file", "zone", "rollback", "strict.example", "1")
	s.refused("serial 7 of a.example. is not kept", "zone", "rollback", "a.example", "7")
	s.refused("takes in other files with $INCLUDE", "zone", "export", "more.example", "--write")
	s.refused("not a zone that is fetched from a primary", "zone", "retransfer", "a.example")
	s.write("zones/a.example.zone", steeredText(11, "x A 1.2.3\n"))
	s.refused("a.example.zone of a.example. is broken", "zone", "export", "a.example", "--write")
	if z := s.zone("a.example"); z.State != control.StateKept || z.Serial != 10 {
		t.Errorf("%+v", z)
	}
	if _, out, _ := s.geodns("zone", "export", "a.example"); !strings.Contains(out, " 10 60 60 60 60\n") {
		t.Errorf("the version that is kept: %s", out)
	}

	none := startSiteWith(t, "control: run/control.sock\nhttp: \"\"\n"+unwatched)
	for _, args := range []string{"history a.example", "export a.example --serial 9", "rollback a.example 9"} {
		none.refused("there is no store", append([]string{"zone"}, strings.Fields(args)...)...)
	}
	none.must("zone", "export", "a.example")
	none.refused("nobody is told of a.example.", "zone", "notify", "a.example")
}

const farmSecret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ=="

const takesUpdates = withStore + `keys: [{name: farm., algorithm: hmac-sha256, secret: "` + farmSecret + `"}]
zone: {a.example: {updates: [{key: farm., names: ["*"], types: [A, TXT, MX]}]}}
`

// update changes records by a signed message.
func (s *site) update(change func(*dns.Msg, func(string) dns.RR)) {
	s.t.Helper()
	m := new(dns.Msg)
	m.SetUpdate("a.example.")
	change(m, func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			s.t.Fatal(err)
		}
		return r
	})
	m.SetTsig("farm.", dns.HmacSHA256, 300, time.Now().Unix())
	c := dns.Client{TsigSecret: map[string]string{"farm.": farmSecret}}
	r, _, err := c.Exchange(m, s.addr())
	if err != nil || r.Rcode != dns.RcodeSuccess {
		s.t.Fatalf("update: %v %v\n%s", r, err, s.log)
	}
}

func (s *site) add(text string) {
	s.t.Helper()
	s.update(func(m *dns.Msg, rr func(string) dns.RR) { m.Insert([]dns.RR{rr(text)}) })
}

// What updates made of a zone is written to its file, and that changes nothing:
// neither then, nor after further updates, nor after a restart.
func TestWriteBack(t *testing.T) {
	s := startSiteWith(t, takesUpdates, [2]string{"zones/a.example.zone", steeredText(10, "old A 192.0.2.7\nslow A 192.0.2.8\n")})
	file := filepath.Join(s.dir, "zones", "a.example.zone")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	s.add(`node1.a.example. 60 A 192.0.2.21`)
	s.update(func(m *dns.Msg, rr func(string) dns.RR) {
		m.RemoveRRset([]dns.RR{rr("old.a.example. 60 A 192.0.2.7"), rr("slow.a.example. 60 A 192.0.2.8")})
		m.Insert([]dns.RR{rr("slow.a.example. 600 A 192.0.2.8"), rr(`t.a.example. 60 TXT "a;b\"c\\d" "\009\255"`)})
	})
	s.must("drain", "lon")
	s.awaitSerial("a.example", 13)
	before, history := s.exportedZone("a.example", "--all"), s.must("zone", "history", "a.example")
	if z := s.zone("a.example"); z.Serial != 13 || z.Records != before.Records() {
		t.Errorf("status: %+v, want %d records", z, before.Records())
	}
	unchanged := func(when string) {
		t.Helper()
		if diff := zone.Diff(before, s.exportedZone("a.example", "--all")); !diff.Empty() {
			t.Errorf("%s: changed by %v", when, diff)
		}
		if now := s.must("zone", "history", "a.example"); now != history {
			t.Errorf("%s: history\n%s\nwas\n%s", when, now, history)
		}
	}
	s.has(`a\.example\.: serial 13, 12 records: \S+ written\n`, "zone", "export", "a.example", "--write")
	unchanged("written")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := zone.Diff(readZone(t, string(text)), s.exportedZone("a.example")); !diff.Empty() || bytes.Contains(text, []byte("_state")) {
		t.Errorf("the file differs by %v\n%s", diff, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	s.must("zone", "reload", "a.example")
	unchanged("read again")

	// The file is the seed now: what an update takes away stays away.
	s.update(func(m *dns.Msg, rr func(string) dns.RR) {
		m.Remove([]dns.RR{rr("node1.a.example. 60 A 192.0.2.21")})
	})
	s.must("zone", "reload", "a.example")
	if out := s.must("zone", "export", "a.example"); strings.Contains(out, "node1") || s.zone("a.example").Serial != 14 {
		t.Errorf("after an update:\n%s", out)
	}
	before, history = s.exportedZone("a.example", "--all"), s.must("zone", "history", "a.example")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.log.b.Reset()
	s.begin()
	unchanged("after a restart")
	if left, _ := filepath.Glob(filepath.Join(s.dir, "zones", ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// Rolled back, it stays so through a restart: the store is the truth.
	s.has(`.*geodns zone export --write a\.example\. writes to it what is served\n`, "zone", "rollback", "a.example", "10")
	before, history = s.exportedZone("a.example", "--all"), s.must("zone", "history", "a.example")
	s.must("zone", "reload", "a.example")
	unchanged("rolled back, and the file read again")
	sameContent(t, "rolled back", s.exportedZone("a.example"), s.exportedZone("a.example", "--serial", "10"))
}

// What was changed in the file and not been read yet is not lost.
func TestWriteBackTakesEdits(t *testing.T) {
	s := startSiteWith(t, takesUpdates, [2]string{"zones/a.example.zone", steeredText(10, "")})
	s.add(`node1.a.example. 60 A 192.0.2.21`)
	s.write("zones/a.example.zone", steeredText(10, "edited A 192.0.2.9\n"))
	s.has(`a\.example\.: serial 12, .*`, "zone", "export", "a.example", "--write")
	text, err := os.ReadFile(filepath.Join(s.dir, "zones", "a.example.zone"))
	if err != nil || !bytes.Contains(text, []byte("\nedited\t")) || !bytes.Contains(text, []byte("\nnode1\t")) {
		t.Errorf("%v\n%s", err, text)
	}
}

// Updates go on while the zone is written back: none is undone by the file.
func TestWriteBackBesideUpdates(t *testing.T) {
	s := startSiteWith(t, takesUpdates, [2]string{"zones/a.example.zone", steeredText(10, "")})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 60 {
			s.add(fmt.Sprintf("n%d.a.example. 60 A 192.0.2.1", i))
			s.update(func(m *dns.Msg, rr func(string) dns.RR) {
				m.RemoveName([]dns.RR{rr(fmt.Sprintf("n%d.a.example. 60 A 192.0.2.1", i))})
			})
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s.must("zone", "export", "a.example", "--write")
	}
	if z := s.zone("a.example"); z.Serial != 10+120 || z.Records != 9 {
		t.Errorf("serial %d with %d records, want %d with 9:\n%s", z.Serial, z.Records, 10+120, s.must("zone", "history", "a.example"))
	}
}

// A zone whose versions carry a digest of their own has the right one after a
// rollback, too, and none in its file.
func TestVersionsSealed(t *testing.T) {
	s := startSiteWith(t, strings.Replace(takesUpdates, "updates:", "zonemd: make, updates:", 1), [2]string{"zones/a.example.zone", steeredText(10, "")})
	s.add(`node1.a.example. 60 A 192.0.2.21`)
	s.has(`.*: 1 record went and 0 came.*`, "zone", "rollback", "a.example", "10")
	if r := zonemd.Verify(s.exportedZone("a.example")); r.Status != zonemd.OK {
		t.Errorf("the digest of serial 12: %+v", r)
	}
	if r := zonemd.Verify(s.exportedZone("a.example", "--serial", "11")); r.Status != zonemd.OK {
		t.Errorf("the digest of serial 11: %+v", r)
	}
	history := s.must("zone", "history", "a.example")
	s.has(`.*serial 12, 9 records: .*`, "zone", "export", "a.example", "--write")
	if text, err := os.ReadFile(filepath.Join(s.dir, "zones", "a.example.zone")); err != nil || bytes.Contains(text, []byte("ZONEMD")) {
		t.Errorf("%v\n%s", err, text)
	}
	s.must("zone", "reload", "a.example")
	if now := s.must("zone", "history", "a.example"); now != history {
		t.Errorf("%s\nwas\n%s", now, history)
	}
}
