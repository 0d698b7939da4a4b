package record

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"geodns/internal/wire"
)

// ParseSteer reads a _steer record. The Steer is whole only if no problem is an
// error.
func ParseSteer(text []byte, o Origin) (Steer, []Problem) {
	p := newParser(steer, text, o)
	s := Steer{Must: p.must, Tags: p.all}
	q := steerReader{parser: p, seen: map[string]bool{}}
	for i := range p.tags {
		t := &p.tags[i]
		if !q.sites(&s, t) {
			q.answer(&s, t)
		}
	}
	if p.tag("empty") == nil && s.Policy == PolicyFailover {
		s.Empty = EmptyHold
	}
	p.steerWhole(&s)
	return s, p.done()
}

// steerReader knows what repeated tags have named: their key and =, and it.
type steerReader struct {
	*parser
	seen map[string]bool
}

// sites reads the tags that choose sites; false: the tag is another one.
func (p *steerReader) sites(s *Steer, t *Tag) bool {
	switch t.Key {
	case "policy":
		words := policyWords[:]
		w, _ := p.word(t, words...)
		s.Policy = Policy(max(slices.Index(words, w), 0))
	case "order":
		s.Order = p.labels(t, p.step)
	case "failback":
		s.Failback = p.failback(t)
	case "lead":
		w, _ := p.word(t, "primary", "self")
		s.LeadSelf = w == "self"
	case "default":
		s.Default, _ = p.label(t.Key, item{t.Value, t.ValueAt})
	case "country":
		p.countryOverride(s, t)
	case "check":
		s.Check = p.labels(t, p.label)
	case "floor":
		s.Floor = p.floor(t)
	case "with":
		s.With = p.zone(t)
	default:
		return false
	}
	return true
}

// answer reads the tags that make the answer.
func (p *steerReader) answer(s *Steer, t *Tag) {
	switch t.Key {
	case "type":
		s.Types = p.types(t)
	case "empty":
		p.empty(s, t)
	case "pick":
		words := pickWords[:]
		w, _ := p.word(t, words...)
		s.Pick = Pick(max(slices.Index(words, w), 0))
	case "weight":
		p.weight(s, t)
	case "answers":
		n, _ := p.number(t, 1, 65535)
		s.Answers = int(n)
	case "cname":
		p.cname(s, t)
	case "ttl":
		s.TTLLow, s.TTLHigh = p.ttl(t)
	case "ramp":
		s.Ramp, _ = p.duration(t, time.Second, day)
	}
}

// The words of enumerations, in their order.
var (
	policyWords = [...]string{"all", "nearest", "failover"}
	pickWords   = [...]string{"rotate", "weighted", "sticky"}
	emptyWords  = [...]string{"all", "none", "hold"}
)

// steeredType is a type that a policy can be for.
type steeredType struct {
	name string
	t    wire.Type
	thin bool // only thinned, never chosen by place
}

// steered are the types that a policy can be for.
var steered = []steeredType{
	{"A", wire.TypeA, false},
	{"AAAA", wire.TypeAAAA, false},
	{"MX", wire.TypeMX, true},
	{"SRV", wire.TypeSRV, true},
	{"HTTPS", wire.TypeHTTPS, true},
	{"SVCB", wire.TypeSVCB, true},
}

func (p *parser) types(t *Tag) (out []wire.Type) {
	for _, it := range t.items() {
		i := slices.IndexFunc(steered, func(s steeredType) bool { return strings.EqualFold(s.name, it.text) })
		switch {
		case i < 0:
			p.fail(it.at, t.Key, quote(it.text)+" is not a type that can be steered", "write A, AAAA, MX or SRV, several with commas in between")
		case slices.Contains(out, steered[i].t):
			p.twice(it.at, t.Key, steered[i].name+" stands twice in type=", "keep one of them")
		default:
			out = append(out, steered[i].t)
		}
	}
	return out
}

func (p *parser) failback(t *Tag) Failback {
	switch strings.ToLower(t.Value) {
	case "auto":
		return Failback{}
	case "manual":
		return Failback{Mode: FailbackManual}
	}
	if !digit(t.Value[0]) {
		p.bad(t, "failback="+quote(t.Value)+" is not known", "write auto, manual, or a duration as in 10m")
		return Failback{}
	}
	d, ok := p.duration(t, time.Second, 30*day)
	if !ok {
		return Failback{}
	}
	return Failback{Mode: FailbackAfter, After: d}
}

// pair reads LEFT:RIGHT.
func (p *parser) pair(t *Tag, form string) (left, right item, ok bool) {
	i := strings.IndexByte(t.Value, ':')
	if i <= 0 || trim(t.Value[i+1:]) == "" {
		p.bad(t, t.Key+"="+quote(t.Value)+" has not the form "+form, "write "+find(docsOf(steer), t.Key).Example+" or the like")
		return left, right, false
	}
	rest := t.Value[i+1:]
	at := t.ValueAt
	if !strings.ContainsAny(t.Value[:i], ";%") { // else the text is longer
		at += i + 1 + indent(rest)
	}
	return item{trim(t.Value[:i]), t.ValueAt}, item{trim(rest), at}, true
}

func (p *steerReader) countryOverride(s *Steer, t *Tag) {
	c, site, ok := p.pair(t, "COUNTRY:SITE")
	if !ok {
		return
	}
	country, okCountry := p.country(t.Key, c)
	to, okSite := p.label(t.Key, site)
	switch {
	case !okCountry || !okSite:
	case p.seen["country="+country]:
		p.twice(t.ValueAt, t.Key, "the country "+country+" is sent to a site twice", "keep one of them")
	default:
		p.seen["country="+country] = true
		s.CountryOverrides = append(s.CountryOverrides, CountryOverride{country, to})
	}
}

func (p *parser) floor(t *Tag) (f Floor) {
	digits, percent := strings.CutSuffix(t.Value, "%")
	n, err := strconv.ParseUint(trim(digits), 10, 31)
	switch {
	case err != nil:
		p.bad(t, "floor="+quote(t.Value)+" is neither a percentage nor a number", "write as in floor=50% or floor=2")
	case n == 0:
		p.bad(t, "floor="+t.Value+" holds for every site", "remove floor=, or write 1 or more")
	case percent && n > 100:
		p.bad(t, "floor="+t.Value+" is more than 100%", "write 1% to 100%")
	case percent:
		f.Percent = int(n)
	case n > 65535:
		p.bad(t, "floor="+t.Value+" is more than an RRset can hold", "write 65535 or less")
	default:
		f.Count = int(n)
	}
	return f
}

// zone reads the name of a zone, which is always absolute: what it names lies
// elsewhere.
func (p *parser) zone(t *Tag) Name {
	n, wrong := readName(t.Value, nil)
	switch {
	case wrong != "" || t.Value == "@":
		if wrong == "" {
			wrong = "@ would be this zone itself"
		}
		p.bad(t, quote(t.Value)+" is not the name of a zone: "+wrong, "write the whole name of a zone that is served here")
		return ""
	case wire.EqualFold([]byte(n), p.origin.Apex):
		p.bad(t, "with= names this zone itself", "remove it: a zone's own sites, checks and nodes are always looked up first")
		return ""
	}
	return n
}

// empty reads what is answered when nothing is live. A host that is called like
// one of the words has to be written with its final dot.
func (p *parser) empty(s *Steer, t *Tag) {
	words := emptyWords[:]
	if i := slices.Index(words, strings.ToLower(t.Value)); i >= 0 {
		s.Empty = Empty(i)
		return
	}
	items := t.items()
	if !looksLikeAddr(items[0].text) {
		if near := nearest(t.Value, words); near != "" && !strings.HasSuffix(t.Value, ".") {
			p.warn(RuleWord, t, "empty="+quote(t.Value)+" is the name of a host", "did you mean "+near+"?")
		}
		n, ok := p.name(t.Key, item{t.Value, t.ValueAt})
		switch {
		case !ok:
		case !n.isHost():
			p.bad(t, "empty="+quote(t.Value)+" is neither all, none or hold nor the name of a host", "write a name of letters, digits, - and _, or addresses")
		default:
			s.Empty, s.EmptyHost = EmptyHost, n
		}
		return
	}
	seen := map[netip.Addr]bool{}
	for _, it := range items {
		a, ok := p.addr(t.Key, it)
		switch {
		case !ok:
		case seen[a]:
			p.twice(it.at, t.Key, a.String()+" stands twice in empty=", "keep one of them")
		default:
			seen[a] = true
			s.Empty, s.EmptyAddrs = EmptyAddress, append(s.EmptyAddrs, a)
		}
	}
}

func (p *steerReader) weight(s *Steer, t *Tag) {
	number, what, ok := strings.Cut(t.Value, "@")
	n, err := strconv.ParseUint(trim(number), 10, 16)
	if !ok || err != nil {
		p.bad(t, "weight="+quote(t.Value)+" is not a number from 0 to 65535 at a site, node or address", "write as in weight=3@lon")
		return
	}
	label, ok := p.step(t.Key, item{trim(what), t.ValueAt + len(number) + 1 + indent(what)})
	switch {
	case !ok:
	case p.seen["weight="+label]:
		p.twice(t.ValueAt, t.Key, label+" has two weights", "keep one of them")
	default:
		p.seen["weight="+label] = true
		s.Weights = append(s.Weights, Weight{label, int(n)})
	}
}

func (p *steerReader) cname(s *Steer, t *Tag) {
	left, right, ok := p.pair(t, "SITE:NAME")
	if !ok {
		return
	}
	site, okSite := p.label(t.Key, left)
	target, okTarget := p.name(t.Key, right)
	switch {
	case !okSite || !okTarget:
	case p.seen["cname="+site]:
		p.twice(t.ValueAt, t.Key, "the site "+site+" has two cname=", "keep one of them: a name has one CNAME (RFC 2181 10.1)")
	default:
		p.seen["cname="+site] = true
		s.CNAMEs = append(s.CNAMEs, CNAME{site, target})
	}
}

func (p *parser) ttl(t *Tag) (low, high uint32) {
	first, second, ok := strings.Cut(t.Value, "-")
	if !ok {
		second = first
	}
	a, errA := strconv.ParseUint(trim(first), 10, 31)
	b, errB := strconv.ParseUint(trim(second), 10, 31)
	switch {
	case errA != nil || errB != nil:
		p.bad(t, "ttl="+quote(t.Value)+" is not a range of seconds", fmt.Sprintf("write as in ttl=30-300, without units, up to %d (RFC 2181 8)", uint32(math.MaxInt32)))
	case b == 0:
		p.bad(t, "ttl="+t.Value+" would keep every answer out of caches", "write 1 or more")
	case a > b:
		p.bad(t, fmt.Sprintf("ttl=%s: %d is more than %d", t.Value, a, b), fmt.Sprintf("write the low end first: ttl=%d-%d", b, a))
	default:
		return uint32(a), uint32(b)
	}
	return 0, 0
}
