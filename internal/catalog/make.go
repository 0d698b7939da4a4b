package catalog

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// What a catalog that is made here holds beside its members. Nobody asks for its
// records, so that their TTL is 0; nor is there a server to be asked, as RFC 9432
// 4.1 recommends. A secondary that lost its primary goes on for as long as SOAs
// can say, since a catalog that expires helps nobody.
const (
	ttl     = 0
	refresh = 3600
	retry   = 600
	expire  = 1<<31 - 1
	minimum = 0

	invalid    = "\x07invalid\x00"
	hostmaster = "\x0ahostmaster" + invalid
)

// The labels of catalogs that names are made of: group is the longest that stands
// in front of a member's own.
const (
	zones   = "\x05zones"
	version = "\x07version"
	group   = "\x05group"
	coo     = "\x03coo"
)

// labelLen is how long the labels are that Make finds.
const labelLen = 2 * sha1.Size

// Make makes the catalog zone of a list of zones, with the changes that lead to it
// from old, the version before. If nothing is to be changed, it returns old, and no
// changes. If old is nil, it makes a new zone, and the changes are nil.
//
// apex is the catalog's name. The new version's serial is serial if that is higher
// than old's (RFC 1982), else old's plus one; 0 is no serial. The members may come in any order,
// and more than once; the catalog itself is left out. A member without ID keeps
// the one that it had in old; a new one gets the SHA-1 of its name in hex, as is
// usual, so that all primaries make the same catalog of the same zones.
//
// What old holds that Make knows nothing of, custom properties say, stays until its
// member goes.
func Make(old *zone.Zone, apex []byte, serial uint32, members []Member) (*zone.Zone, *zone.Changeset, error) {
	return makeBy(hashLabel, old, apex, serial, members)
}

// makeBy is Make with a way to find labels.
func makeBy(label func(name []byte, attempt int) string, old *zone.Zone, apex []byte, serial uint32, members []Member) (*zone.Zone, *zone.Changeset, error) {
	m := maker{old: old, apex: wire.AppendLower(nil, apex), label: label}
	if err := m.prepare(members); err != nil {
		return nil, nil, fmt.Errorf("catalog %s: %w", nameText(apex), err)
	}
	if old == nil {
		z, err := m.build(serial)
		return z, nil, err
	}
	m.changes()
	if m.c.Empty() {
		return old, &m.c, nil
	}
	m.raise(serial)
	z, err := old.Apply(&m.c)
	if err != nil {
		return nil, nil, fmt.Errorf("catalog %s: %w", nameText(apex), err)
	}
	return z, &m.c, nil
}

// hashLabel is the label of a name at the nth attempt: all but the first one are
// for names whose labels would be the same.
func hashLabel(name []byte, attempt int) string {
	if attempt > 0 {
		name = binary.BigEndian.AppendUint32(bytes.Clone(name), uint32(attempt))
	}
	sum := sha1.Sum(name)
	return hex.EncodeToString(sum[:])
}

func nameText(name []byte) string {
	if n := wire.NameLen(name); n == 0 || n != len(name) {
		return fmt.Sprintf("%q", name)
	}
	return wire.NameString(name)
}

// maker is a Make under way.
type maker struct {
	old         *zone.Zone
	apex, zones []byte
	label       func(name []byte, attempt int) string
	wanted      []Member // sorted, with IDs
	byID        map[string]int
	// kept says which of wanted stand in old under their ID.
	kept []bool
	c    zone.Changeset
}

// prepare checks the input and brings it into order.
func (m *maker) prepare(members []Member) error {
	if n := wire.NameLen(m.apex); n == 0 || n != len(m.apex) {
		return errors.New("its name is not valid")
	}
	if room := wire.MaxName - len(group) - 1 - labelLen - len(zones); len(m.apex) > room {
		return fmt.Errorf("its name takes %d octets, and leaves no room for the names below; choose one of at most %d", len(m.apex), room)
	}
	if m.old != nil && !bytes.Equal(m.old.Apex(), m.apex) {
		return fmt.Errorf("the version before is the zone %s", wire.NameString(m.old.Apex()))
	}
	m.zones = append([]byte(zones), m.apex...)
	m.wanted = make([]Member, 0, len(members))
	for i := range members {
		w, err := normal(&members[i])
		if err != nil {
			return err
		}
		if !bytes.Equal(w.Name, m.apex) {
			m.wanted = append(m.wanted, w)
		}
	}
	slices.SortStableFunc(m.wanted, func(a, b Member) int { return wire.CompareNames(a.Name, b.Name) })
	m.wanted = slices.CompactFunc(m.wanted, func(a, b Member) bool { return bytes.Equal(a.Name, b.Name) })
	if err := m.assign(); err != nil {
		return err
	}
	for i := range m.wanted {
		if w := &m.wanted[i]; len(group)+1+len(w.ID)+len(m.zones) > wire.MaxName {
			return fmt.Errorf("the label %q of %s leaves no room for its properties; choose a shorter one", w.ID, wire.NameString(w.Name))
		}
	}
	return nil
}

// normal is a member in lower case and in order.
func normal(in *Member) (Member, error) {
	for _, name := range [][]byte{in.Name, in.Coo} {
		if n := wire.NameLen(name); len(name) > 0 && (n == 0 || n != len(name)) || len(in.Name) == 0 {
			return Member{}, fmt.Errorf("%q is no valid name in wire form", name)
		}
	}
	if len(in.ID) > wire.MaxLabel {
		return Member{}, fmt.Errorf("the label %q of %s is longer than %d octets", in.ID, wire.NameString(in.Name), wire.MaxLabel)
	}
	out := Member{Name: wire.AppendLower(nil, in.Name), ID: string(wire.AppendLower(nil, []byte(in.ID))), Groups: slices.Clone(in.Groups)}
	if len(in.Coo) > 0 {
		out.Coo = wire.AppendLower(nil, in.Coo)
	}
	slices.Sort(out.Groups)
	out.Groups = slices.Compact(out.Groups)
	return out, nil
}

// assign gives each member its label: the one that was asked for, the one that it
// has, the one of its name.
func (m *maker) assign() error {
	m.byID = make(map[string]int, len(m.wanted))
	for i := range m.wanted {
		w := &m.wanted[i]
		if w.ID == "" {
			continue
		}
		if other, taken := m.byID[w.ID]; taken {
			return fmt.Errorf("%s and %s are to have the same label %q; give each its own, or none", wire.NameString(m.wanted[other].Name), wire.NameString(w.Name), w.ID)
		}
		m.byID[w.ID] = i
	}
	had := m.labels()
	for i := range m.wanted {
		w := &m.wanted[i]
		if id, ok := had[string(w.Name)]; ok && w.ID == "" {
			if _, taken := m.byID[id]; !taken {
				w.ID = id
				m.byID[id] = i
			}
		}
	}
	for i := range m.wanted {
		w := &m.wanted[i]
		for attempt := 0; w.ID == ""; attempt++ {
			id := m.label(w.Name, attempt)
			if _, taken := m.byID[id]; !taken {
				w.ID = id
				m.byID[id] = i
			}
		}
	}
	return nil
}

// labels are those of the version before, by name. Of several, which no catalog
// should have, the first in the order of strings holds.
func (m *maker) labels() map[string]string {
	if m.old == nil {
		return nil
	}
	had := make(map[string]string, len(m.wanted))
	m.old.Each(func(owner []byte, s *zone.RRset) bool {
		if s.Type != wire.TypePTR || !isMemberNode(owner, m.zones) || s.Count() != 1 {
			return true
		}
		if name, ok := target(s); ok {
			id := string(owner[1 : 1+owner[0]])
			if other, twice := had[string(name)]; !twice || strings.Compare(id, other) < 0 {
				had[string(name)] = id
			}
		}
		return true
	})
	return had
}

// build makes a zone of nothing.
func (m *maker) build(serial uint32) (*zone.Zone, error) {
	b := zone.NewBuilder()
	b.Reset(3 * len(m.wanted))
	m.add(m.apex, wire.TypeSOA, ttl, soaData(max(serial, 1)))
	m.add(m.apex, wire.TypeNS, ttl, []byte(invalid))
	m.add(m.versionOwner(), wire.TypeTXT, ttl, []byte("\x012"))
	for i := range m.wanted {
		m.addMember(&m.wanted[i])
	}
	for i := range m.c.Add {
		if p := b.Add(&m.c.Add[i]); p != nil {
			return nil, fmt.Errorf("catalog %s: %s: %w", nameText(m.apex), wire.NameString(m.c.Add[i].Owner), p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		return nil, fmt.Errorf("catalog %s: %w", nameText(m.apex), problems[0])
	}
	return z, nil
}

func soaData(serial uint32) []byte {
	data := []byte(invalid + hostmaster)
	for _, n := range []uint32{serial, refresh, retry, expire, minimum} {
		data = binary.BigEndian.AppendUint32(data, n)
	}
	return data
}

func (m *maker) add(owner []byte, t wire.Type, ttl uint32, data []byte) {
	m.c.Add = append(m.c.Add, wire.RR{Owner: owner, Type: t, TTL: ttl, Data: data})
}

func (m *maker) versionOwner() []byte { return append([]byte(version), m.apex...) }

// node is the name of a member, with a property in front of it if there is one.
func (m *maker) node(property string, w *Member) []byte {
	owner := make([]byte, 0, len(property)+1+len(w.ID)+len(m.zones))
	owner = append(append(owner, property...), byte(len(w.ID)))
	return append(append(owner, w.ID...), m.zones...)
}

func (m *maker) addMember(w *Member) {
	m.add(m.node("", w), wire.TypePTR, ttl, w.Name)
	for _, data := range w.groupData() {
		m.add(m.node(group, w), wire.TypeTXT, ttl, data)
	}
	if w.Coo != nil {
		m.add(m.node(coo, w), wire.TypePTR, ttl, w.Coo)
	}
}

// groupData are the groups as TXT, in strings of at most 255 octets.
func (w *Member) groupData() (list [][]byte) {
	for _, g := range w.Groups {
		list = append(list, wire.AppendText(nil, g))
	}
	return list
}
