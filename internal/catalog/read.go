package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Catalog is what one version of a catalog zone says.
type Catalog struct {
	// Apex is the catalog's own name in wire form, lower case.
	Apex []byte
	// Serial is its SOA's.
	Serial uint32
	// Members are sorted by Name, each name once.
	Members []Member
}

// Member is one zone of a catalog.
type Member struct {
	// Name is the zone's, in wire form, lower case.
	Name []byte
	// ID is the label that tags it (<unique-N> in RFC 9432 4.2), without its length
	// octet, in lower case. Make finds one if there is none.
	ID string
	// Groups are the values of its group property, sorted, each once (RFC 9432
	// 4.4.2). The strings of one TXT are joined.
	Groups []string
	// Coo is the name of the catalog that may take the zone over, in wire form,
	// lower case; nil: none (RFC 9432 4.4.1).
	Coo []byte
}

// Problem is something in a catalog zone that is not as RFC 9432 has it.
type Problem struct {
	// Owner is the name where it stands, in wire form.
	Owner []byte
	// Message says in plain English what is wrong, and what to do.
	Message string
}

// Error is the problem with its place.
func (p Problem) Error() string { return wire.NameString(p.Owner) + ": " + p.Message }

// maxProblems bounds what is told of one catalog.
const maxProblems = 20

// Members reads a catalog zone. A catalog that is broken is nil: it says nothing,
// the problems say why, and what its last good version said goes on to hold
// (RFC 9432 5.1). With a Catalog, problems are about members that were left out.
//
// Records that the RFC does not name are ignored: custom properties, properties of
// newer versions, those of BIND's first version.
func Members(z *zone.Zone) (*Catalog, []Problem) {
	r := reader{z: z, apex: z.Apex()}
	r.zones = append([]byte(zones), r.apex...)
	if !r.version() {
		return nil, r.problems
	}
	r.collect()
	r.properties()
	r.twice()
	if r.broken {
		return nil, r.problems
	}
	return &Catalog{Apex: bytes.Clone(r.apex), Serial: z.Serial(), Members: r.members}, r.problems
}

// reader is a Members under way.
type reader struct {
	z           *zone.Zone
	apex, zones []byte
	members     []Member
	problems    []Problem
	broken      bool
	owner       [2 * wire.MaxName]byte
}

// fail notes what breaks the catalog.
func (r *reader) fail(owner []byte, format string, args ...any) {
	if !r.broken {
		r.problems = nil // what was left out doesn't matter any more
	}
	r.broken = true
	r.tell(owner, format, args...)
}

func (r *reader) tell(owner []byte, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{bytes.Clone(owner), fmt.Sprintf(format, args...)})
	}
}

// version reports whether the zone is a catalog of the one version that there is
// (RFC 9432 4.3.1).
func (r *reader) version() bool {
	owner := append([]byte(version), r.apex...)
	const remedy = `a catalog has one such record: "version TXT 2" (RFC 9432 4.3.1)`
	set, ok := r.set(owner, wire.TypeTXT)
	switch {
	case !ok:
		r.fail(owner, "there is no TXT record, so that the zone is no catalog; %s", remedy)
	case set.Count() > 1:
		r.fail(owner, "there are %d TXT records; %s", set.Count(), remedy)
	default:
		data, _, _ := wire.NextRecord(set.Records)
		if string(data) != "\x012" {
			r.fail(owner, "version %q is not known; %s", text(data), remedy)
		}
	}
	return !r.broken
}

// set is an RRset of a name, which may be too long to exist.
func (r *reader) set(owner []byte, t wire.Type) (zone.RRset, bool) {
	if len(owner) > wire.MaxName {
		return zone.RRset{}, false
	}
	n, ok := r.z.Find(owner)
	if !ok {
		return zone.RRset{}, false
	}
	return n.Set(t)
}

// collect finds the member nodes: names one label below zones that have a PTR.
func (r *reader) collect() {
	r.z.Each(func(owner []byte, s *zone.RRset) bool {
		if s.Type != wire.TypePTR || !isMemberNode(owner, r.zones) {
			return true
		}
		// RFC 9432 4.2: more than one is a broken catalog.
		if n := s.Count(); n > 1 {
			r.fail(owner, "%d PTR records; a member has one, and one label below zones (RFC 9432 4.2)", n)
			return true
		}
		name, ok := target(s)
		if !ok {
			r.fail(owner, "the PTR record holds no name; have the catalog published anew")
			return true
		}
		r.members = append(r.members, Member{Name: name, ID: string(owner[1 : 1+owner[0]])})
		return true
	})
}

// isMemberNode reports whether a name is one label below zones.
func isMemberNode(owner, zones []byte) bool {
	at := len(owner) - len(zones)
	return at > 0 && at == 1+int(owner[0]) && bytes.Equal(owner[at:], zones)
}

// target is the name that the first PTR record of a set holds, in lower case.
func target(s *zone.RRset) ([]byte, bool) {
	data, _, ok := wire.NextRecord(s.Records)
	if n := wire.NameLen(data); !ok || n == 0 || n != len(data) {
		return nil, false
	}
	return wire.AppendLower(nil, data), true
}

// under is the name of a property of a member, or of its node if that is empty. It
// holds until the next.
func (r *reader) under(property, id string) []byte {
	owner := append(append(r.owner[:0], property...), byte(len(id)))
	return append(append(owner, id...), r.zones...)
}

// properties reads the properties of all members that RFC 9432 4.4 knows. One
// of another type than it has there is ignored (4.3).
func (r *reader) properties() {
	for i := range r.members {
		m := &r.members[i]
		owner := r.under(coo, m.ID)
		if s, ok := r.set(owner, wire.TypePTR); ok {
			// RFC 9432 4.4.1.
			if n := s.Count(); n > 1 {
				r.fail(owner, "%d PTR records; a zone can go to one catalog (RFC 9432 4.4.1)", n)
			}
			if m.Coo, ok = target(&s); !ok {
				r.fail(owner, "the PTR record holds no name; have the catalog published anew")
			}
		}
		owner = r.under(group, m.ID)
		if s, ok := r.set(owner, wire.TypeTXT); ok {
			m.Groups = groups(&s)
		}
	}
}

func groups(s *zone.RRset) (list []string) {
	for packed := s.Records; ; {
		data, rest, ok := wire.NextRecord(packed)
		if !ok {
			break
		}
		list = append(list, text(data))
		packed = rest
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// text joins the strings of a TXT record.
func text(data []byte) string {
	var out []byte
	for len(data) > 0 {
		n := min(1+int(data[0]), len(data))
		out = append(out, data[1:n]...)
		data = data[n:]
	}
	return string(out)
}

// twice sorts the members, and finds those that are there more than once.
func (r *reader) twice() {
	slices.SortFunc(r.members, func(a, b Member) int {
		if c := wire.CompareNames(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	for i := 1; i < len(r.members); i++ {
		a, b := &r.members[i-1], &r.members[i]
		if bytes.Equal(a.Name, b.Name) {
			// RFC 9432 4.2: then it is not processed.
			r.fail(r.under("", b.ID),
				"%s is listed here and under the label %q; list each zone once (RFC 9432 4.2)", wire.NameString(b.Name), a.ID)
		}
	}
	// RFC 9432 5.2: a name that is a zone already is not taken for another.
	r.members = slices.DeleteFunc(r.members, func(m Member) bool {
		if !bytes.Equal(m.Name, r.apex) {
			return false
		}
		r.tell(r.under("", m.ID), "the catalog lists itself; this member is ignored")
		return true
	})
}

// Find returns the member of a name, in lower case.
func (c *Catalog) Find(name []byte) (*Member, bool) {
	i, ok := slices.BinarySearchFunc(c.Members, name, func(m Member, name []byte) int { return wire.CompareNames(m.Name, name) })
	if !ok {
		return nil, false
	}
	return &c.Members[i], true
}
