package record

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"geodns/internal/wire"
)

// The canonical form: the tags in the order of Tags, without those that say
// what leaving them out says too, names absolute. Parsing it gives the same
// value; tags that were not known are not in it.

// writer appends tags.
type writer struct{ b []byte }

func begin(dst []byte, record string) *writer {
	return &writer{append(dst, "v="+record+"1"...)}
}

// tag writes a tag, if it has a value.
func (w *writer) tag(key, value string) {
	if value != "" {
		w.b = append(w.b, "; "+key+"="...)
		w.b = append(w.b, encode(value)...)
	}
}

func (w *writer) list(key string, values []string) { w.tag(key, strings.Join(values, ",")) }

func (w *writer) each(key string, values []string) {
	for _, v := range values {
		w.tag(key, v)
	}
}

// number writes a number but for the default.
func (w *writer) number(key string, n, standard uint64) {
	if n != standard {
		w.tag(key, strconv.FormatUint(n, 10))
	}
}

func (w *writer) duration(key string, d, standard time.Duration) {
	if d != standard {
		w.tag(key, durationText(d))
	}
}

func (w *writer) yes(key string, set bool) {
	if set {
		w.tag(key, "yes")
	}
}

// word writes the word of an enumeration but for the first, its default.
func (w *writer) word(key string, i int, words ...string) {
	if i > 0 && i < len(words) {
		w.tag(key, words[i])
	}
}

func (w *writer) addrs(key string, addrs []netip.Addr) {
	for _, a := range addrs {
		w.tag(key, a.String())
	}
}

// host writes a host name that is held without its final dot.
func (w *writer) host(key, name string) {
	if name != "" {
		w.tag(key, name+".")
	}
}

func (w *writer) domain(key string, n Name) {
	if n != "" {
		w.tag(key, n.String())
	}
}

// AppendText appends the canonical form. The error is always nil.
func (s Site) AppendText(dst []byte) ([]byte, error) {
	w := begin(dst, site)
	for _, n := range s.Nets {
		w.tag("net", n.String())
	}
	if s.Placed {
		w.tag("at", strconv.FormatFloat(s.Lat, 'f', -1, 64)+","+strconv.FormatFloat(s.Lon, 'f', -1, 64))
	}
	w.each("subdivision", s.Subdivisions)
	w.each("country", s.Countries)
	for _, n := range s.ASNs {
		w.number("asn", uint64(n), 0)
	}
	w.each("continent", s.Continents)
	w.yes("drain", s.Drain)
	w.number("capacity", s.Capacity, 0)
	w.list("must", s.Must)
	return w.b, nil
}

// AppendText appends the canonical form. The error is always nil.
func (n Node) AppendText(dst []byte) ([]byte, error) {
	w := begin(dst, node)
	w.addrs("addr", n.Addrs)
	w.addrs("probe", n.Probes)
	if len(n.Probes) > 0 {
		w.number("need", uint64(n.Need), 1)
	}
	w.number("weight", uint64(n.Weight), 1)
	w.tag("site", n.Site)
	w.yes("drain", n.Drain)
	w.number("capacity", n.Capacity, 0)
	w.list("must", n.Must)
	return w.b, nil
}

// AppendText appends the canonical form. The error is always nil.
func (c Check) AppendText(dst []byte) ([]byte, error) {
	w := begin(dst, check)
	w.tag("type", string(c.Type))
	w.number("port", uint64(c.Port), uint64(defaultPort(&c)))
	w.duration("every", c.Every, defaultEvery)
	w.duration("timeout", c.Timeout, min(defaultTimeout, c.Every))
	w.number("fall", uint64(c.Fall), defaultFall)
	w.number("rise", uint64(c.Rise), defaultRise)
	w.yes("hold", c.Hold)
	w.web(&c)
	if c.Type != CheckHTTPS {
		w.word("tls", int(c.TLS), "no", "yes", "starttls")
	}
	if c.SNI != c.Host {
		w.host("sni", c.SNI)
	}
	w.yes("verify", c.Verify)
	w.number("cert-days", uint64(c.CertDays), 0)
	w.tag("expect", c.Expect)
	w.host("helo", c.Helo)
	w.dns(&c)
	w.tag("use", c.Use)
	w.word("role", int(c.Role), "any", "writable", "replica")
	w.duration("lag", c.Lag, 0)
	w.tag("service", c.Service)
	w.list("must", c.Must)
	return w.b, nil
}

// web writes the tags of http and https.
func (w *writer) web(c *Check) {
	if c.Path != "/" {
		w.tag("path", c.Path)
	}
	w.host("host", c.Host)
	if c.Method != "GET" {
		w.tag("method", c.Method)
	}
	var status []string
	for _, r := range c.Status {
		text := strconv.Itoa(r.Low)
		if r.High != r.Low {
			text += "-" + strconv.Itoa(r.High)
		}
		status = append(status, text)
	}
	if len(status) != 1 || status[0] != "200-299" {
		w.list("status", status)
	}
	w.tag("body", c.Body)
	w.yes("http2", c.HTTP2)
}

func (w *writer) dns(c *Check) {
	if c.Type != CheckDNS {
		return
	}
	w.domain("name", c.Name)
	if c.QType != wire.TypeSOA {
		w.tag("qtype", typeText(c.QType))
	}
	for _, r := range rcodes {
		if r.code == c.Rcode && r.code != wire.RcodeNoError {
			w.tag("rcode", r.name)
		}
	}
	w.each("answer", c.Answers)
	if c.TCP {
		w.tag("transport", "tcp")
	}
}

// AppendText appends the canonical form. The error is always nil.
func (s Steer) AppendText(dst []byte) ([]byte, error) {
	w := begin(dst, steer)
	var types []string
	for _, t := range s.Types {
		for _, k := range steered {
			if k.t == t {
				types = append(types, k.name)
			}
		}
	}
	w.list("type", types)
	w.word("policy", int(s.Policy), policyWords[:]...)
	w.list("order", s.Order)
	switch s.Failback.Mode {
	case FailbackManual:
		w.tag("failback", "manual")
	case FailbackAfter:
		w.duration("failback", s.Failback.After, 0)
	}
	if s.LeadSelf {
		w.tag("lead", "self")
	}
	w.tag("default", s.Default)
	for _, c := range s.CountryOverrides {
		w.tag("country", c.Country+":"+c.Site)
	}
	w.list("check", s.Check)
	if s.Floor.Percent > 0 {
		w.tag("floor", strconv.Itoa(s.Floor.Percent)+"%")
	}
	w.number("floor", uint64(s.Floor.Count), 0)
	w.empty(&s)
	w.word("pick", int(s.Pick), pickWords[:]...)
	for _, x := range s.Weights {
		w.tag("weight", strconv.Itoa(x.Weight)+"@"+x.What)
	}
	w.number("answers", uint64(s.Answers), 0)
	for _, c := range s.CNAMEs {
		w.tag("cname", c.Site+":"+c.Target.String())
	}
	switch {
	case s.TTLHigh == 0:
	case s.TTLLow == s.TTLHigh:
		w.number("ttl", uint64(s.TTLHigh), 0)
	default:
		w.tag("ttl", strconv.FormatUint(uint64(s.TTLLow), 10)+"-"+strconv.FormatUint(uint64(s.TTLHigh), 10))
	}
	w.duration("ramp", s.Ramp, 0)
	w.domain("with", s.With)
	w.list("must", s.Must)
	return w.b, nil
}

func (w *writer) empty(s *Steer) {
	standard := EmptyAll
	if s.Policy == PolicyFailover {
		standard = EmptyHold
	}
	switch {
	case s.Empty == EmptyHost:
		w.domain("empty", s.EmptyHost)
	case s.Empty == EmptyAddress:
		texts := make([]string, len(s.EmptyAddrs))
		for i, a := range s.EmptyAddrs {
			texts[i] = a.String()
		}
		w.list("empty", texts)
	case s.Empty != standard:
		w.tag("empty", emptyWords[s.Empty])
	}
}

// AppendText appends the canonical form. The error is always nil.
func (s State) AppendText(dst []byte) ([]byte, error) {
	w := begin(dst, state)
	if s.Drain {
		w.b = append(w.b, "; drain"...)
	}
	w.when("from", s.From)
	w.when("until", s.Until)
	w.tag("active", s.Active)
	w.tag("reason", s.Reason)
	w.list("must", s.Must)
	return w.b, nil
}

func (w *writer) when(key string, t time.Time) {
	if !t.IsZero() {
		w.tag(key, t.UTC().Format(time.RFC3339))
	}
}

func text(b []byte, _ error) string { return string(b) }

// String is the canonical form.
func (s Site) String() string { return text(s.AppendText(nil)) }

// String is the canonical form.
func (n Node) String() string { return text(n.AppendText(nil)) }

// String is the canonical form.
func (c Check) String() string { return text(c.AppendText(nil)) }

// String is the canonical form.
func (s Steer) String() string { return text(s.AppendText(nil)) }

// String is the canonical form.
func (s State) String() string { return text(s.AppendText(nil)) }

// String is the word for policy=.
func (p Policy) String() string { return word(int(p), policyWords[:]) }

// String is the word for pick=.
func (p Pick) String() string { return word(int(p), pickWords[:]) }

// String is the word for empty=, or what stands in its place.
func (e Empty) String() string {
	return word(int(e), append(emptyWords[:len(emptyWords):len(emptyWords)], "address", "host"))
}

func word(i int, words []string) string {
	if i < len(words) {
		return words[i]
	}
	return strconv.Itoa(i)
}
