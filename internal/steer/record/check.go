package record

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"geodns/internal/wire"
)

// Limits and defaults of how often is probed.
const (
	minEvery       = 200 * time.Millisecond
	minTimeout     = 10 * time.Millisecond
	defaultEvery   = 10 * time.Second
	defaultTimeout = 2 * time.Second
	defaultFall    = 3
	defaultRise    = 2
	maxTurns       = 100 // of fall= and rise=
)

// ParseCheck reads a _check record. The Check is whole only if no problem is an
// error.
func ParseCheck(text []byte, o Origin) (Check, []Problem) {
	p := newParser(check, text, o)
	c := Check{Every: defaultEvery, Fall: defaultFall, Rise: defaultRise, Must: p.must, Tags: p.all}
	if !p.checkType(&c) {
		return c, p.done()
	}
	p.ownTags(c.Type)
	c.setDefaults(o)
	for i := range p.tags {
		t := &p.tags[i]
		if !p.checkTiming(&c, t) && !p.checkWeb(&c, t) && !p.checkTLS(&c, t) {
			p.checkProtocol(&c, t)
		}
	}
	p.checkWhole(&c)
	return c, p.done()
}

// checkType finds type=, on which all other tags depend.
func (p *parser) checkType(c *Check) bool {
	t := p.tag("type")
	if t == nil {
		return false
	}
	words := make([]string, len(checkTypes))
	for i, ct := range checkTypes {
		words[i] = string(ct)
	}
	w, ok := p.word(t, words...)
	c.Type = CheckType(w)
	return ok
}

// tag is the first tag with a key that may be read, or nil.
func (p *parser) tag(key string) *Tag {
	for i := range p.tags {
		if p.tags[i].Key == key {
			return &p.tags[i]
		}
	}
	return nil
}

// ownTags takes out the tags that are not for the type.
func (p *parser) ownTags(ct CheckType) {
	docs := docsOf(check)
	p.tags = slices.DeleteFunc(p.tags, func(t Tag) bool {
		types := find(docs, t.Key).Types
		if types == nil || slices.Contains(types, ct) {
			return false
		}
		p.clash(t.At, t.Key, t.Key+"= is not for type="+string(ct), "remove it; it is for "+joinTypes(types))
		return true
	})
}

func joinTypes(types []CheckType) string {
	out := ""
	for i, ct := range types {
		if i > 0 {
			out += ", "
		}
		out += string(ct)
	}
	return out
}

// setDefaults sets what the type's defaults are but for those that depend on
// other tags.
func (c *Check) setDefaults(o Origin) {
	switch c.Type {
	case CheckHTTP, CheckHTTPS:
		c.Path, c.Method, c.Status = "/", "GET", []StatusRange{{200, 299}}
		if c.Type == CheckHTTPS {
			c.TLS = TLSYes
		}
	case CheckDNS:
		c.Name, _ = finish(nil, o.Apex)
		c.QType = wire.TypeSOA
	}
}

// defaultPort is the port of a type, 0 if it has none or must be told.
func defaultPort(c *Check) uint16 {
	var plain, secure uint16
	switch c.Type {
	case CheckHTTP:
		plain = 80
	case CheckHTTPS:
		secure = 443
	case CheckSMTP:
		plain, secure = 25, 465
	case CheckIMAP:
		plain, secure = 143, 993
	case CheckPOP3:
		plain, secure = 110, 995
	case CheckDNS:
		plain = 53
	case CheckMySQL:
		plain = 3306
	case CheckPostgres:
		plain = 5432
	}
	if c.TLS == TLSYes {
		return secure
	}
	return plain
}

// checkTiming reads what all types have; false: the tag is another one.
func (p *parser) checkTiming(c *Check, t *Tag) bool {
	switch t.Key {
	case "every":
		if d, ok := p.duration(t, minEvery, day); ok {
			c.Every = d
		}
	case "timeout":
		c.Timeout, _ = p.duration(t, minTimeout, day)
	case "fall":
		if n, ok := p.number(t, 1, maxTurns); ok {
			c.Fall = int(n)
		}
	case "rise":
		if n, ok := p.number(t, 1, maxTurns); ok {
			c.Rise = int(n)
		}
	case "port":
		n, _ := p.number(t, 1, 65535)
		c.Port = uint16(n)
	case "hold":
		c.Hold = p.yes(t)
	default:
		return false
	}
	return true
}

// checkWeb reads the tags of http, https and grpc.
func (p *parser) checkWeb(c *Check, t *Tag) bool {
	switch t.Key {
	case "path":
		c.Path = p.path(t)
	case "host":
		c.Host, _ = p.hostname(t)
	case "method":
		c.Method, _ = p.word(t, "GET", "HEAD")
	case "status":
		c.Status = p.status(t)
	case "body":
		c.Body, _ = p.text255(t)
	case "http2":
		c.HTTP2 = p.yes(t)
	case "service":
		c.Service, _ = p.text255(t)
	default:
		return false
	}
	return true
}

// path reads the target of a request in origin form (RFC 9112 3.2.1).
func (p *parser) path(t *Tag) string {
	switch {
	case t.Value[0] != '/':
		p.bad(t, "path="+quote(t.Value)+" does not begin with /", "write the path from the / on, without scheme and host")
	case strings.ContainsFunc(t.Value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }):
		p.bad(t, "path="+quote(t.Value)+" has a character that a request cannot have", "write blanks and characters outside of ASCII as %20 and the like, and remove what # begins")
	case len(t.Value) > 1024:
		p.bad(t, fmt.Sprintf("path= has %d octets", len(t.Value)), "shorten it to 1024")
	}
	return t.Value
}

func (p *parser) status(t *Tag) (out []StatusRange) {
	for _, it := range t.items() {
		low, high, ok := strings.Cut(it.text, "-")
		if !ok {
			high = low
		}
		r := StatusRange{code(low), code(high)}
		switch {
		case r.Low == 0 || r.High == 0:
			p.fail(it.at, t.Key, quote(it.text)+" is not a status code", "write three digits from 100 to 599, or two such with - in between, as in status=200-299,404")
		case r.Low > r.High:
			p.fail(it.at, t.Key, "the range "+it.text+" is empty", "write the lower code first")
		default:
			out = append(out, r)
		}
	}
	return out
}

// code reads an HTTP status code; 0 if it is none.
func code(s string) int {
	n, err := strconv.ParseUint(trim(s), 10, 16)
	if err != nil || n < 100 || n > 599 {
		return 0
	}
	return int(n)
}

// checkTLS reads the tags of types that speak TLS.
func (p *parser) checkTLS(c *Check, t *Tag) bool {
	switch t.Key {
	case "tls":
		words := []string{"no", "yes"}
		if c.Type == CheckSMTP || c.Type == CheckIMAP || c.Type == CheckPOP3 {
			words = append(words, "starttls")
		}
		w, _ := p.word(t, words...)
		c.TLS = TLSMode(max(slices.Index(words, w), 0))
	case "sni":
		c.SNI, _ = p.hostname(t)
	case "verify":
		c.Verify = p.yes(t)
	case "cert-days":
		n, _ := p.number(t, 1, 3650)
		c.CertDays = int(n)
	default:
		return false
	}
	return true
}

// checkProtocol reads what is left: tags of one or two types.
func (p *parser) checkProtocol(c *Check, t *Tag) {
	switch t.Key {
	case "expect":
		c.Expect, _ = p.text255(t)
	case "helo":
		c.Helo, _ = p.hostname(t)
	case "name":
		c.Name, _ = p.name(t.Key, item{t.Value, t.ValueAt})
	case "qtype":
		c.QType = p.qtype(t)
	case "rcode":
		c.Rcode = p.rcode(t)
	case "answer":
		if a, ok := p.text255(t); ok {
			if slices.Contains(c.Answers, a) {
				p.twice(t.ValueAt, t.Key, "answer="+quote(a)+" stands twice", "keep one of them")
			} else {
				c.Answers = append(c.Answers, a)
			}
		}
	case "transport":
		w, _ := p.word(t, "udp", "tcp")
		c.TCP = w == "tcp"
	case "use":
		c.Use = p.use(t)
	case "role":
		words := []string{"any", "writable", "replica"}
		w, _ := p.word(t, words...)
		c.Role = Role(max(slices.Index(words, w), 0))
	case "lag":
		c.Lag, _ = p.duration(t, time.Second, day)
	}
}

// qtypes are the types that qtype= knows by name.
var qtypes = []struct {
	name string
	t    wire.Type
}{
	{"A", wire.TypeA},
	{"AAAA", wire.TypeAAAA},
	{"CNAME", wire.TypeCNAME},
	{"MX", wire.TypeMX},
	{"NS", wire.TypeNS},
	{"PTR", wire.TypePTR},
	{"SOA", wire.TypeSOA},
	{"SRV", wire.TypeSRV},
	{"TXT", wire.TypeTXT},
}

func (p *parser) qtype(t *Tag) wire.Type {
	v := strings.ToUpper(t.Value)
	for _, q := range qtypes {
		if q.name == v {
			return q.t
		}
	}
	// RFC 3597 5.
	if digits, ok := strings.CutPrefix(v, "TYPE"); ok {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err == nil && !wire.MetaType(wire.Type(n)) {
			return wire.Type(n)
		}
	}
	p.bad(t, quote(t.Value)+" is not a type that can be asked for", "write A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT, or TYPE and the number of another, as in TYPE257")
	return 0
}

func typeText(t wire.Type) string {
	for _, q := range qtypes {
		if q.t == t {
			return q.name
		}
	}
	return "TYPE" + strconv.Itoa(int(t))
}

var rcodes = []struct {
	name string
	code wire.Rcode
}{
	{"NOERROR", wire.RcodeNoError},
	{"NXDOMAIN", wire.RcodeNXDomain},
	{"REFUSED", wire.RcodeRefused},
	{"SERVFAIL", wire.RcodeServFail},
}

func (p *parser) rcode(t *Tag) wire.Rcode {
	words := make([]string, len(rcodes))
	for i, r := range rcodes {
		words[i] = r.name
	}
	w, _ := p.word(t, words...)
	return rcodes[max(slices.Index(words, w), 0)].code
}

// use reads the name of an entry in geodns.yaml.
func (p *parser) use(t *Tag) string {
	ok := len(t.Value) <= 63
	for _, c := range []byte(t.Value) {
		ok = ok && (letter(c) || digit(c) || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		p.bad(t, "use="+quote(t.Value)+" is not the name of an entry of checks:", "write the name alone, of letters, digits, -, _ and .; what it runs, reads or logs in with stands in geodns.yaml")
		return ""
	}
	return t.Value
}
