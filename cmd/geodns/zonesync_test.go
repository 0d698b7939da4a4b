package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
)

// pairText is a zone whose name servers are elsewhere.
func pairText(serial int, more string) string {
	return fmt.Sprintf("$TTL 60\n@ SOA ns1.example.net. hostmaster %d 3600 600 604800 60\n@ NS ns1.example.net.\nwww A 192.0.2.1\n", serial) + more
}

// pair is a primary, and a secondary that takes a.example from it.
func pair(t *testing.T) (primary, secondary *site) {
	t.Helper()
	at := freePort(t)
	primary = startSiteWith(t, fmt.Sprintf("store: geodns.db\ncontrol: run/control.sock\nhttp: \"\"\ntransfer: {allow: [127.0.0.1], notify: [%q]}\n%s", at, unwatched),
		[2]string{"zones/a.example.zone", pairText(10, "")})
	http := freePort(t).String()
	secondary = newSite(t)
	secondary.http = http
	secondary.write("geodns.yaml", fmt.Sprintf("listen: [%q]\nstore: geodns.db\ncontrol: run/control.sock\nhttp: %q\nsecondary:\n  - {zone: a.example, primaries: [%q]}\n  - {zone: missing.example, primaries: [%q]}\n",
		at, http, primary.addr(), primary.addr()))
	secondary.begin()
	return primary, secondary
}

func (s *site) awaitZone(name, what string, ok func(*control.Zone) bool) control.Zone {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		z := s.zone(name)
		if ok(&z) {
			return z
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s is not %s: %+v %+v", name, what, z, z.Copy)
		}
	}
}

// A secondary tells how its copies are, and a primary who was told.
func TestZoneCopies(t *testing.T) {
	primary, secondary := pair(t)
	z := secondary.awaitZone("a.example", "there", func(z *control.Zone) bool { return z.Serial == 10 && !z.Copy.Next.IsZero() })
	if c := z.Copy; z.State != control.StateServing || z.File != "" || z.Records != 3 || c.Primary != primary.addr() || c.Kind != "AXFR" || c.Confirmed.IsZero() ||
		time.Until(c.Expires) < 6*24*time.Hour || c.Error != "" {
		t.Errorf("%+v %+v", z, c)
	}
	z = secondary.awaitZone("missing.example", "asked for", func(z *control.Zone) bool { return z.Copy.Error != "" })
	if z.State != control.StateWaiting || z.Serial != 0 || z.Broken() {
		t.Errorf("%+v %+v", z, z.Copy)
	}
	if st := secondary.status(); st.Zones != 1 || st.Records != 3 {
		t.Errorf("%d zones with %d records", st.Zones, st.Records)
	}
	secondary.has(`ZONE  .*\na\.example\. +10 +3 +\S+Z +127\.0\.0\.1:\d+ +serving\nmissing\.example\. +0 +0 +never +- +waiting\nmissing\.example\.: no primary has given it yet; [^\n]*\nmissing\.example\.: [^\n]*\n`, "zone", "status")
	secondary.has(`ZONE  .*\na\.example\.: confirmed by 127\.0\.0\.1:\d+ \S+ ago, came by AXFR; asked again in \S+; expires in 6d23h\n`, "zone", "status", "a.example")
	secondary.refused("geodns zone retransfer", "zone", "reload", "a.example")
	secondary.refused("roll it back at its primary", "zone", "rollback", "a.example", "10")
	secondary.refused("has no file here", "zone", "export", "a.example", "--write")
	secondary.has(`; a\.example\. serial 10, .*\$ORIGIN a\.example\.\n.*www\t\tA\t192\.0\.2\.1\n`, "zone", "export", "a.example")

	// The primary's changes arrive, and it knows who was told.
	primary.write("zones/a.example.zone", pairText(10, "new A 192.0.2.2\n"))
	primary.must("reload")
	secondary.awaitSerial("a.example", 11)
	told := primary.awaitZone("a.example", "acknowledged", func(z *control.Zone) bool { return len(z.Told) == 1 && !z.Told[0].Pending }).Told[0]
	if told.Server != secondary.addr() || !told.Known || told.Acknowledged != 11 || told.Serial != 11 || told.Error != "" {
		t.Errorf("%+v", told)
	}
	primary.has(`127\.0\.0\.1:\d+: acknowledged serial 11 at \S+Z\n`, "zone", "notify", "a.example")
	primary.has(`ZONE .*\n127\.0\.0\.1:\d+: acknowledged serial 11 at \S+Z\n`, "zone", "status", "a.example")
	secondary.has(`SERIAL .*\n11 +\S+Z  transfer  IXFR  1 +0 .*\n10 +\S+Z  transfer  AXFR .*history begins here\n`, "zone", "history", "a.example")
	secondary.has(`; a\.example\. 10 -> 11, .*\+ new\.a\.example\. 60 IN A 192\.0\.2\.2\n`, "zone", "history", "a.example", "--diff", "11")

	primary.must("zone", "rollback", "a.example", "10")
	secondary.awaitSerial("a.example", 12)
	sameContent(t, "the copy of what was rolled back", secondary.exportedZone("a.example"), readZone(t, "$ORIGIN a.example.\n"+pairText(10, "")))
}

// Primaries are asked when somebody says so, and what comes of it is told.
func TestZoneRetransfer(t *testing.T) {
	primary, secondary := pair(t)
	secondary.awaitSerial("a.example", 10)
	secondary.has(`a\.example\.: serial 10, as 127\.0\.0\.1:\d+ has it\n`, "zone", "retransfer", "a.example")
	secondary.has(`a\.example\.: serial 10, as 127\.0\.0\.1:\d+ has it\n`, "zone", "retransfer", "a.example", "--full")
	secondary.has(`a\.example\.: its primaries are being asked\n`, "zone", "retransfer", "a.example", "--wait", "0s")
	if code, out, _ := secondary.geodns("zone", "retransfer", "missing.example"); code != exitFailure || !strings.HasPrefix(out, "missing.example.: nothing came: ") {
		t.Errorf("%d %s", code, out)
	}

	if code, body := secondary.get("/readyz"); code != 503 || !strings.HasPrefix(body, "zone missing.example. has not come from its primaries yet: ") || strings.Contains(body, "a.example") {
		t.Errorf("readyz: %d %s", code, body)
	}

	// Metrics tell the same.
	code, body := secondary.get("/metrics")
	for _, want := range []string{
		`geodns_secondary_zones{state="serving"} 1`, `geodns_secondary_zones{state="waiting"} 1`, `geodns_secondary_zones{state="expired"} 0`,
		`geodns_zone_serial{zone="a.example."} 10`, `geodns_zone_records{zone="a.example."} 3`, "geodns_zones 1\n", "geodns_records 3\n",
		`geodns_zone_expires_seconds{zone="a.example."} 60`, `geodns_transfers_total{kind="axfr"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%d: metrics lack %s", code, want)
		}
	}
	if strings.Contains(body, `geodns_zone_loaded_timestamp_seconds{zone="a.example."}`) {
		t.Error("a copy was read from no file")
	}
	if err := primary.end(); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := secondary.geodns("zone", "retransfer", "a.example"); code != exitFailure || !strings.Contains(out, "nothing came: ") {
		t.Errorf("%d %s", code, out)
	}
	if _, body := secondary.get("/metrics"); !strings.Contains(body, `geodns_secondary_zones{state="failing"} 1`) {
		t.Error("the copy does not count as failing")
	}
}
