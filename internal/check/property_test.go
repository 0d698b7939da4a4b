package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"

	"pgregory.net/rapid"
)

// randomLine is a record of a small world, in which many things meet.
func randomLine(t *rapid.T) string {
	label := rapid.SampledFrom([]string{"a", "b", "*", "ns1", "x_y", "1", "_tcp", "example", "_25", `\200\255`, `A\.\000`})
	name := func(what string) string {
		labels := rapid.SliceOfN(label, 1, 4).Draw(t, what)
		return strings.Join(labels, ".") + rapid.SampledFrom([]string{"", "", "", ".example.", ".sub.example.", "."}).Draw(t, what+" end")
	}
	owner := rapid.SampledFrom([]string{"", "@", name("owner"), name("owner")}).Draw(t, "line")
	ttl := rapid.SampledFrom([]string{"", "0", "300", "604801", "99999999999"}).Draw(t, "ttl")
	target := name("target")
	data := rapid.SampledFrom([]string{
		"A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", "A 192.0.2.256", "NS " + target, "CNAME " + target, "DNAME " + target,
		"MX 10 " + target, "MX 0 .", "SRV 0 0 1 " + target, "PTR " + target, "TXT \"v=spf1 -all\"", "HTTPS 0 " + target, "HTTPS 1 .",
		"SVCB 1 " + target + " ipv4hint=192.0.2.1", "DS 1 13 2 00", "DS 1 13 2 " + strings.Repeat("00", 32), "CAA 0 issue \"x\"", "TLSA 3 1 1 00",
		"SOA ns1 a.b 1 3600 600 604800 300", "SOA . . 0 0 0 0 0", "DNSKEY 257 3 13 AAAA", "NSEC " + target + " A NS",
		"NSEC3 1 0 0 - 0000 A", "RRSIG A 13 2 300 20261220000000 20261101000000 1 example. AAAA", "TYPE65280 \\# 1 00", "NSEC3PARAM 1 0 0 -",
	}).Draw(t, "data")
	return fmt.Sprintf("%s %s %s\n", owner, ttl, data)
}

func randomZone(t *rapid.T, what string) string {
	text := "$TTL 300\n"
	if rapid.IntRange(0, 9).Draw(t, what+" begins") > 0 {
		text += "@ SOA ns1 hostmaster 1 3600 600 604800 300\n@ NS ns1\n"
	}
	for range rapid.IntRange(0, 30).Draw(t, what+" lines") {
		text += randomLine(t)
	}
	return text
}

// Whatever files say: what serve refuses has an error, everything that serve
// says of a line is said, and zones can be checked beside each other.
func TestRandomZones(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		files := []string{filepath.Join(dir, "example.zone"), filepath.Join(dir, "sub.example.zone"), filepath.Join(dir, "2.0.192.in-addr.arpa.zone")}
		for _, f := range files {
			if err := os.WriteFile(f, []byte(randomZone(t, filepath.Base(f))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		report := Files(files, Options{Now: today()})
		said, rules := map[string]bool{}, map[string]bool{}
		for _, f := range report.Findings {
			said[f.Pos.String()+f.Rule] = true
			rules[f.Pos.File+f.Rule] = true
		}
		for i, file := range files {
			served := zonedir.ReadFile(file)
			s := report.Zones[i]
			if served.Broken() && s.Errors == 0 {
				t.Errorf("%s: serve refuses it, and there is no error; serve says %v", file, served.Findings)
			}
			if served.Broken() && !s.Refused || s.Refused && !served.Broken() && !rules[file+"zone-twice"] {
				t.Errorf("%s: refused %v, serve: %v", file, s.Refused, served.Broken())
			}
			for _, f := range served.Findings {
				early := f.Pos.Line == 1 || strings.HasPrefix(f.Message, "before the SOA, at ")
				if early && !rules[file+f.Rule] || !early && !said[f.Pos.String()+f.Rule] {
					t.Errorf("serve says %s [%s], check does not", f, f.Rule)
				}
			}
		}
	})
}

// What names come to here is what they come to in the zone that is served.
func TestResolveAsServed(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		file := filepath.Join(dir, "example.zone")
		if err := os.WriteFile(file, []byte(randomZone(t, "zone")), 0o644); err != nil {
			t.Fatal(err)
		}
		served := zonedir.ReadFile(file).Zone
		if served == nil {
			return
		}
		c := newReader().check(file, &Options{Now: today()})
		for range 20 {
			label := rapid.SampledFrom([]string{"a", "b", "*", "ns1", "x_y", "1", "example", "none", "A", `\200\255`})
			text := strings.Join(rapid.SliceOfN(label, 0, 5).Draw(t, "question"), ".")
			raw, err := zonefile.ParseName(strings.TrimPrefix(text+".example.", "."), nil)
			if err != nil {
				t.Fatal(err)
			}
			var name wire.Name
			name.Set(raw)
			got, _ := c.z.resolve(raw)
			if want := kindOf(served, &name); got != want {
				t.Errorf("%s.example. comes to %d, served to %d", text, got, want)
			}
		}
	})
}

// kindOf is what a zone that is served makes of a name.
func kindOf(z *zone.Zone, name *wire.Name) kind {
	m := z.Lookup(name)
	switch m.Kind {
	case zone.Exact:
		return exists
	case zone.Cut:
		return delegated
	case zone.Redirected:
		return redirected
	}
	if _, ok := z.Wildcard(&m); ok {
		return wildcard
	}
	return missing
}
