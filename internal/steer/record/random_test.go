package record

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"geodns/internal/wire"

	"pgregory.net/rapid"
)

// Random values of each record, valid by themselves.

var (
	drawLabel = rapid.StringMatching(`[a-z0-9_-]{1,12}`)
	drawText  = rapid.Custom(func(t *rapid.T) string {
		return trim(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{";", "%", "%3B", "%3b", "%25", "3B", "2", "5", " ", "a", "=", "é", ","}), 0, 20).Draw(t, "text"), ""))
	})
	drawCountry = rapid.SampledFrom([]string{"US", "CA", "GB", "DE", "CN", "XK"})
)

func drawAddr(t *rapid.T) netip.Addr {
	if rapid.Bool().Draw(t, "v4") {
		return netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "b"), 1, rapid.Byte().Draw(t, "d")})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: rapid.Byte().Draw(t, "g"), 15: rapid.Byte().Draw(t, "h")})
}

func drawAddrs(t *rapid.T, most int) []netip.Addr {
	out := rapid.SliceOfNDistinct(rapid.Custom(drawAddr), 0, most, rapid.ID).Draw(t, "addrs")
	if len(out) == 0 {
		return nil
	}
	return out
}

func drawStep(t *rapid.T) string {
	if rapid.Bool().Draw(t, "address") {
		return drawAddr(t).String()
	}
	return drawLabel.Draw(t, "label")
}

func drawLabels(t *rapid.T, g *rapid.Generator[string], least int) []string {
	out := rapid.SliceOfNDistinct(g, least, 4, rapid.ID).Draw(t, "labels")
	if len(out) == 0 {
		return nil
	}
	return out
}

// drawName is a name of any octets.
func drawName(t *rapid.T) Name {
	var b []byte
	for range rapid.IntRange(0, 4).Draw(t, "depth") {
		label := wire.AppendLower(nil, rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "octets"))
		b = append(append(b, byte(len(label))), label...)
	}
	return Name(append(b, 0))
}

func drawDuration(t *rapid.T, low, high time.Duration) time.Duration {
	n := rapid.Int64Range(low.Milliseconds(), high.Milliseconds()).Draw(t, "ms")
	if rapid.Bool().Draw(t, "round") && n >= 1000 {
		n -= n % 1000
	}
	return max(time.Duration(n)*time.Millisecond, low)
}

func drawSite(t *rapid.T) Site {
	s := Site{Drain: rapid.Bool().Draw(t, "drain"), Capacity: rapid.Uint64Range(0, maxCapacity).Draw(t, "capacity")}
	for _, a := range drawAddrs(t, 5) {
		s.Nets = append(s.Nets, netip.PrefixFrom(a, a.BitLen()))
	}
	if rapid.Bool().Draw(t, "placed") {
		s.Placed = true
		s.Lat = float64(rapid.IntRange(-90e4, 90e4).Draw(t, "lat")) / 1e4
		s.Lon = float64(rapid.IntRange(-180e4, 180e4).Draw(t, "lon")) / 1e4
	}
	s.Countries = drawLabels(t, drawCountry, 0)
	s.Subdivisions = drawLabels(t, rapid.SampledFrom([]string{"US-CA", "US-1", "GB-ENG", "DE-BY"}), 0)
	s.Continents = drawLabels(t, rapid.SampledFrom([]string{"EU", "NA", "AF", "AS", "OC"}), 0)
	s.ASNs = append(s.ASNs, rapid.SliceOfNDistinct(rapid.Uint32Min(1), 0, 3, rapid.ID).Draw(t, "asns")...)
	if rapid.Bool().Draw(t, "must") && len(s.Nets) > 0 {
		s.Must = []string{"net"}
	}
	return s
}

func drawNode(t *rapid.T) Node {
	n := Node{
		Addrs: drawAddrs(t, 4), Probes: drawAddrs(t, 4), Weight: rapid.IntRange(0, maxWeight).Draw(t, "weight"),
		Drain: rapid.Bool().Draw(t, "drain"), Capacity: rapid.Uint64Range(0, maxCapacity).Draw(t, "capacity"),
	}
	if n.Addrs == nil {
		n.Addrs = []netip.Addr{drawAddr(t)}
	}
	if len(n.Probes) > 0 {
		n.Need = rapid.IntRange(1, len(n.Probes)).Draw(t, "need")
	}
	if rapid.Bool().Draw(t, "site") {
		n.Site = drawLabel.Draw(t, "site")
	}
	return n
}

func drawCheck(t *rapid.T) Check {
	c := Check{
		Type:  rapid.SampledFrom(checkTypes).Draw(t, "type"),
		Every: drawDuration(t, 10*time.Second, day), Fall: rapid.IntRange(3, maxTurns).Draw(t, "fall"), Rise: rapid.IntRange(1, maxTurns).Draw(t, "rise"),
	}
	c.Timeout = drawDuration(t, 1100*time.Millisecond, c.Every)
	knows := map[string]bool{}
	for _, d := range docsOf(check) {
		for _, ct := range d.Types {
			knows[d.Tag] = knows[d.Tag] || ct == c.Type
		}
	}
	if knows["port"] {
		c.Port = uint16(rapid.IntRange(1, 65535).Draw(t, "port"))
	}
	c.Hold = knows["hold"] && rapid.Bool().Draw(t, "hold")
	if knows["use"] {
		c.Use = drawLabel.Draw(t, "use")
	}
	if knows["role"] {
		if c.Role = Role(rapid.IntRange(0, 2).Draw(t, "role")); c.Role == RoleReplica {
			c.Lag = drawDuration(t, time.Second, day)
		}
	}
	if knows["host"] && rapid.Bool().Draw(t, "host") {
		c.Host = "h" + drawLabel.Draw(t, "host")
	}
	if knows["expect"] {
		c.Expect = drawText.Draw(t, "expect")
	}
	if knows["helo"] && rapid.Bool().Draw(t, "helo") {
		c.Helo = "h" + drawLabel.Draw(t, "helo") + ".example"
	}
	if knows["service"] {
		c.Service = drawText.Draw(t, "service")
	}
	drawWeb(t, &c)
	drawTLS(t, &c, knows)
	drawDNS(t, &c)
	return c
}

func drawWeb(t *rapid.T, c *Check) {
	if c.Type != CheckHTTP && c.Type != CheckHTTPS {
		return
	}
	c.Path = "/" + rapid.SampledFrom([]string{"", "healthz", "a;b%3B%20", "?q=1&r=%25"}).Draw(t, "path")
	c.HTTP2 = c.Type == CheckHTTPS && rapid.Bool().Draw(t, "http2")
	c.Method = rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(t, "method")
	if c.Method == "GET" {
		c.Body = drawText.Draw(t, "body")
	}
	for range rapid.IntRange(1, 3).Draw(t, "ranges") {
		low := rapid.IntRange(100, 599).Draw(t, "low")
		c.Status = append(c.Status, StatusRange{low, rapid.IntRange(low, 599).Draw(t, "high")})
	}
}

func drawTLS(t *rapid.T, c *Check, knows map[string]bool) {
	switch {
	case c.Type == CheckHTTPS:
		c.TLS = TLSYes
	case knows["helo"] || c.Type == CheckIMAP || c.Type == CheckPOP3:
		c.TLS = TLSMode(rapid.IntRange(0, 2).Draw(t, "tls"))
	case knows["tls"]:
		c.TLS = TLSMode(rapid.IntRange(0, 1).Draw(t, "tls"))
	}
	if c.TLS == TLSNone {
		return
	}
	if c.SNI = c.Host; rapid.Bool().Draw(t, "sni") {
		c.SNI = "s" + drawLabel.Draw(t, "sni")
	}
	c.Verify = c.SNI != "" && rapid.Bool().Draw(t, "verify")
	c.CertDays = rapid.IntRange(0, 3650).Draw(t, "days")
}

func drawDNS(t *rapid.T, c *Check) {
	if c.Type != CheckDNS {
		return
	}
	c.Name = drawName(t)
	c.TCP = rapid.Bool().Draw(t, "tcp")
	c.QType = rapid.SampledFrom([]wire.Type{wire.TypeA, wire.TypeSOA, wire.TypeTXT, 257, 65535}).Draw(t, "qtype")
	switch {
	case c.QType == wire.TypeSOA:
		c.Rcode = rapid.SampledFrom([]wire.Rcode{0, wire.RcodeNXDomain, wire.RcodeRefused, wire.RcodeServFail}).Draw(t, "rcode")
	case c.QType == wire.TypeTXT:
		for _, s := range drawLabels(t, drawText, 0) {
			if s != "" {
				c.Answers = append(c.Answers, s)
			}
		}
	}
}

func drawSteer(t *rapid.T) Steer {
	s := Steer{
		Policy: Policy(rapid.IntRange(0, 2).Draw(t, "policy")), Pick: Pick(rapid.IntRange(0, 2).Draw(t, "pick")),
		Empty: Empty(rapid.IntRange(0, 4).Draw(t, "empty")), Check: drawLabels(t, drawLabel, 0), Answers: rapid.IntRange(0, 65535).Draw(t, "answers"),
	}
	switch s.Policy {
	case PolicyFailover:
		s.Order = drawLabels(t, rapid.Custom(drawStep), 1)
		s.Failback.Mode = FailbackMode(rapid.IntRange(0, 2).Draw(t, "failback"))
		s.LeadSelf = s.Failback.Mode == FailbackManual && rapid.Bool().Draw(t, "lead")
		if s.Failback.Mode == FailbackAfter {
			s.Failback.After = drawDuration(t, time.Second, 30*day)
		}
	case PolicyNearest:
		s.Default = drawLabel.Draw(t, "default")
		for _, c := range drawLabels(t, drawCountry, 0) {
			s.CountryOverrides = append(s.CountryOverrides, CountryOverride{c, drawLabel.Draw(t, "to")})
		}
	}
	switch rapid.IntRange(0, 2).Draw(t, "floor") {
	case 1:
		s.Floor.Percent = rapid.IntRange(1, 100).Draw(t, "percent")
	case 2:
		s.Floor.Count = rapid.IntRange(1, 65535).Draw(t, "count")
	}
	if s.Pick == PickWeighted {
		for _, what := range drawLabels(t, rapid.Custom(drawStep), 0) {
			s.Weights = append(s.Weights, Weight{what, rapid.IntRange(0, maxWeight).Draw(t, "weight")})
		}
	}
	switch s.Empty {
	case EmptyAddress:
		s.EmptyAddrs = append(drawAddrs(t, 1), netip.MustParseAddr("192.0.2.99"))
	case EmptyHost:
		label := drawLabel.Draw(t, "host")
		s.EmptyHost = Name(string(rune(len(label)+1)) + "h" + label + string(apex))
	}
	if s.TTLHigh = rapid.Uint32Range(0, wire.MaxTTL).Draw(t, "high"); s.TTLHigh > 0 {
		s.TTLLow = rapid.Uint32Range(0, s.TTLHigh).Draw(t, "low")
	}
	drawWith(t, &s)
	return s
}

// drawWith draws what excludes other tags.
func drawWith(t *rapid.T, s *Steer) {
	if rapid.Bool().Draw(t, "ramp") {
		s.Ramp = drawDuration(t, time.Second, day)
	}
	if rapid.Bool().Draw(t, "with") {
		s.With = drawName(t)
	}
	switch rapid.IntRange(0, 2).Draw(t, "owner") {
	case 1:
		s.Types = []wire.Type{wire.TypeAAAA}
	case 2:
		if s.Empty == EmptyAddress {
			return
		}
		s.Answers = min(s.Answers, 1)
		for _, at := range drawLabels(t, drawLabel, 1) {
			s.CNAMEs = append(s.CNAMEs, CNAME{at, drawName(t)})
		}
	}
}

func drawState(t *rapid.T) State {
	s := State{Active: drawStep(t), Reason: drawText.Draw(t, "reason")}
	if rapid.Bool().Draw(t, "drain") {
		s.Drain = true
		s.From = time.Unix(rapid.Int64Range(0, 1e10).Draw(t, "from"), 0).UTC()
		s.Until = s.From.Add(time.Duration(rapid.Int64Range(1, 1e6).Draw(t, "for")) * time.Second)
	}
	return s
}

// What is formatted is read as the same value, without a word.
func TestRoundTrip(t *testing.T) {
	draws := map[string]func(*rapid.T) fmt.Stringer{
		site:  func(t *rapid.T) fmt.Stringer { return drawSite(t) },
		node:  func(t *rapid.T) fmt.Stringer { return drawNode(t) },
		check: func(t *rapid.T) fmt.Stringer { return drawCheck(t) },
		steer: func(t *rapid.T) fmt.Stringer { return drawSteer(t) },
		state: func(t *rapid.T) fmt.Stringer { return drawState(t) },
	}
	for record, draw := range draws {
		t.Run(record, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				value := draw(t)
				text := value.String()
				got, problems := parseAny(text, Origin{Apex: apex})
				if len(problems) > 0 {
					t.Fatalf("%s: %s", text, show(problems))
				}
				if d := diff(any(value), got); d != "" {
					t.Fatalf("%s: -want +got\n%s", text, d)
				}
				// Tags promises this order.
				last := 0
				for part := range strings.SplitSeq(text, "; ") {
					key, _, _ := strings.Cut(part, "=")
					at := index(docsOf(record), key)
					if at < last {
						t.Fatalf("%s: %s= stands too late", text, key)
					}
					last = at
				}
			})
		})
	}
}

func seeds(f *testing.F, record string) {
	for _, c := range parsed {
		if strings.Contains(c.text, record+"1") {
			f.Add([]byte(c.text), true)
			f.Add([]byte(c.text+"; x=1; must=x; "+c.text), false)
		}
	}
}

// fuzz holds what is true of any text.
func fuzz(f *testing.F, record string) {
	seeds(f, record)
	f.Fuzz(func(t *testing.T, text []byte, lenient bool) {
		o := Origin{Apex: apex, Lenient: lenient}
		before := bytes.Clone(text)
		problems := problemsOf(record, string(text), o)
		if !bytes.Equal(before, text) {
			t.Fatal("the text was changed")
		}
		if len(problems) > 2*maxProblems {
			t.Fatalf("%d problems", len(problems))
		}
		for i, p := range problems {
			if p.At < 0 || p.At > len(text) || p.Text == "" || p.Remedy == "" || i > 0 && p.At < problems[i-1].At {
				t.Fatalf("problem %d of %q is %+v", i, text, p)
			}
		}
		if Failed(problems) {
			return
		}
		value, _ := parseAny(string(text), o)
		canonical := value.(fmt.Stringer).String()
		again, problems := parseAny(canonical, o)
		if d := diff(value, again); d != "" || Failed(problems) {
			t.Fatalf("%q formatted as %q: %s %s", text, canonical, show(problems), d)
		}
	})
}

func FuzzSite(f *testing.F)  { fuzz(f, site) }
func FuzzNode(f *testing.F)  { fuzz(f, node) }
func FuzzCheck(f *testing.F) { fuzz(f, check) }
func FuzzSteer(f *testing.F) { fuzz(f, steer) }
func FuzzState(f *testing.F) { fuzz(f, state) }

// Every octet of a joined record is read a bounded number of times, whatever
// tag repeats.
func BenchmarkParseLongest(b *testing.B) {
	for _, part := range []string{"; net=10.0.0.0/8", ";a", "; must=a", ";;;;;;", "; country=US"} {
		text := []byte("v=site1" + strings.Repeat(part, 65000/len(part)))
		b.Run(strings.Trim(part, "; "), func(b *testing.B) {
			for b.Loop() {
				if _, problems := ParseSite(text, Origin{}); len(problems) > 2*maxProblems {
					b.Fatal(len(problems))
				}
			}
		})
	}
}

func BenchmarkParseSteer(b *testing.B) {
	text := []byte("v=steer1; policy=nearest; check=web; answers=2; floor=50%; ttl=30-300")
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := ParseSteer(text, Origin{Apex: apex}); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
