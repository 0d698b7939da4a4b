package check

import (
	"bytes"
	"strings"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// services looks at the records that say how and where a service is offered.
func (c *checker) services(n *node) {
	if recs := n.get(wire.TypeSRV); recs != nil && !underscored(n.owner, isService) {
		c.at(srvOwner, recs[0], "nobody asks for a SRV record at "+text(n.owner), "its owner begins with the service and the protocol, such as _imaps._tcp (RFC 2782)")
	}
	if recs := n.get(typeTLSA); recs != nil && !underscored(n.owner, isPort) {
		c.at(tlsaOwner, recs[0], "nobody asks for a TLSA record at "+text(n.owner), "its owner begins with the port and the protocol, such as _25._tcp (RFC 6698 3)")
	}
	for _, r := range n.get(typeCAA) {
		c.caa(r)
	}
	for _, t := range []wire.Type{wire.TypeSVCB, wire.TypeHTTPS} {
		if recs := n.get(t); recs != nil {
			c.svcb(n, t, recs)
		}
	}
}

// underscored reports whether a name begins with two labels that first, and an
// underscore, accept. A wildcard may stand for the first.
func underscored(owner []byte, first func(label []byte) bool) bool {
	a, b := labelAt(owner, 0), labelAt(owner, 1)
	return len(b) > 1 && b[0] == '_' && (string(a) == "*" || len(a) > 1 && a[0] == '_' && first(a[1:]))
}

func isService([]byte) bool { return true }

func isPort(label []byte) bool { return len(bytes.Trim(label, "0123456789")) == 0 }

// caa looks at a CAA record (RFC 8659 4).
func (c *checker) caa(r recID) {
	data := c.z.data(r)
	if len(data) < 2 || len(data) < 2+int(data[1]) {
		return
	}
	tag, value := string(lowered(data[2:2+int(data[1])])), string(data[2+int(data[1]):])
	switch tag {
	case "issue", "issuewild", "issuemail", "issuevmc":
		domain, _, _ := strings.Cut(value, ";")
		if strings.ContainsAny(strings.TrimSpace(domain), "/:@ ,") {
			c.at(caaValue, r, "the value of "+tag+", "+zonefileQuote(value)+", names no authority", `write its domain, such as "ca.example.net", or ";" for nobody (RFC 8659 4.2)`)
		}
	case "iodef":
		if !hasScheme(value, "mailto:", "http://", "https://") {
			c.at(caaValue, r, "the value of iodef, "+zonefileQuote(value)+", is no address to report to", `write a URL, such as "mailto:security@example.org" (RFC 8659 4.4)`)
		}
	case "contactemail", "contactphone":
	default:
		c.at(caaValue, r, "no authority knows the tag "+zonefileQuote(tag), "write issue, issuewild, issuemail, issuevmc, iodef, contactemail or contactphone")
	}
}

func zonefileQuote(s string) string { return `"` + strings.ToValidUTF8(s, "?") + `"` }

func hasScheme(value string, schemes ...string) bool {
	for _, s := range schemes {
		if len(value) > len(s) && strings.EqualFold(value[:len(s)], s) {
			return true
		}
	}
	return false
}

// svcb looks at a name's SVCB or HTTPS records (RFC 9460).
func (c *checker) svcb(n *node, t wire.Type, recs []recID) {
	name := zonefile.TypeString(t)
	alias, service := recID(0), recID(0)
	for _, r := range recs {
		data := c.z.data(r)
		target := targetOf(t, data)
		switch {
		case len(target) == 0:
			continue
		case data[0]|data[1] == 0: // RFC 9460 2.4.2: AliasMode
			alias = r
			if same(target, n.owner) {
				c.at(svcbLoop, r, "the "+name+" alias leads to its own owner", "let it lead elsewhere (RFC 9460 2.4.2)")
			} else if !isRoot(target) && !c.offers(target, t) {
				c.follow(r, target, svcbPointer)
			}
			continue
		case isRoot(target):
			// RFC 9460 2.5.2: the owner itself.
			target = n.owner
		}
		service = r
		if !hinted(data[2+wire.NameLen(data[2:]):]) {
			c.serve(n, r, target)
		}
	}
	if alias != 0 && service != 0 {
		c.at(svcbMixed, max(alias, service), "there are "+name+" aliases (priority 0) and services at "+text(n.owner)+": the aliases are ignored, or the services, as clients like", "keep one kind (RFC 9460 2.4.1)")
	}
}

// offers reports whether a name has records of the type itself.
func (c *checker) offers(name []byte, t wire.Type) bool {
	k, n := c.z.resolve(name)
	return (k == exists || k == wildcard) && c.z.set(n, t) != 0
}

// serve looks at the target of a record that offers a service itself.
func (c *checker) serve(n *node, r recID, target []byte) {
	if !same(target, n.owner) {
		c.follow(r, target, svcbPointer)
		return
	}
	// What SVCB alone means depends on the protocol (RFC 9460 2.4).
	if c.z.rec(r).typ != wire.TypeHTTPS {
		return
	}
	if k, at := c.z.resolve(target); k == exists && !c.z.has(at, hasAddress|hasCNAME) && !hasUnderscore(target) {
		c.at(svcbNoAddress, r, "the HTTPS record offers a service at "+text(target)+" itself, which has no address", "add its A or AAAA record, or name the host that serves")
	}
}

// hinted reports whether well-formed parameters hold ipv4hint or ipv6hint
// (RFC 9460 7.3).
func hinted(params []byte) bool {
	for len(params) >= 4 {
		if k := int(params[0])<<8 | int(params[1]); k == 4 || k == 6 {
			return true
		}
		params = params[min(len(params), 4+(int(params[2])<<8|int(params[3]))):]
	}
	return false
}
