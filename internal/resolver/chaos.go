package resolver

import "geodns/internal/wire"

// The names under which servers are asked for themselves (RFC 4892 and BIND's
// habit).
const (
	versionBind   = "\x07version\x04bind\x00"
	versionServer = "\x07version\x06server\x00"
	hostnameBind  = "\x08hostname\x04bind\x00"
	idServer      = "\x02id\x06server\x00"
)

// chaos answers class CHAOS: the server's version and name if it is told to
// give them, else it is refused like all other classes.
func (v *Resolver) chaos() Outcome {
	var text []byte
	if v.in.Identity != nil && (v.q.Type == wire.TypeTXT || v.q.Type == wire.TypeANY) {
		switch string(v.q.Name.Bytes()) {
		case versionBind, versionServer:
			text = v.in.Identity.Version
		case hostnameBind, idServer:
			text = v.in.Identity.ID
		}
	}
	if len(text) == 0 {
		return v.refuse(wire.RcodeRefused, BadClass)
	}
	v.r.Class = wire.ClassCH
	v.r.Answer = append(v.r.Answer, wire.Set{Type: wire.TypeTXT, Records: text})
	return Chaos
}
