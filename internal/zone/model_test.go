package zone

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// model is a zone as naive as can be: every answer is found by walking over
// all of it. The compiled zone must equal it.
type model struct {
	apex  string
	names map[string]map[setID]*modelSet
}

type setID struct{ typ, covered wire.Type }

type modelSet struct {
	ttl     uint32
	records map[string]string // by what makes two records the same
}

func newModel(apex string) *model {
	return &model{apex: apex, names: map[string]map[setID]*modelSet{}}
}

func (m *model) clone() *model {
	c := newModel(m.apex)
	for name, sets := range m.names {
		c.names[name] = map[setID]*modelSet{}
		for id, s := range sets {
			c.names[name][id] = &modelSet{s.ttl, maps.Clone(s.records)}
		}
	}
	return c
}

func idOf(rr *wire.RR) setID {
	id := setID{typ: rr.Type}
	if (rr.Type == wire.TypeRRSIG || rr.Type == wire.TypeSIG) && len(rr.Data) >= 2 {
		id.covered = wire.Type(rr.Data[0])<<8 | wire.Type(rr.Data[1])
	}
	return id
}

// sameKey is RDATA with the name at its end in lower case.
func sameKey(t wire.Type, data []byte) string {
	at, ok := map[wire.Type]int{wire.TypeNS: 0, wire.TypeCNAME: 0, wire.TypePTR: 0, wire.TypeDNAME: 0, wire.TypeMX: 2, wire.TypeSRV: 6}[t]
	if !ok || at > len(data) {
		return string(data)
	}
	return string(data[:at]) + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, latin1(data[at:]))
}

// latin1 makes each octet a rune, so that strings.Map leaves them all alone.
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

func (m *model) inZone(name string) bool {
	for {
		if name == m.apex {
			return true
		}
		if name == "\x00" {
			return false
		}
		name = up(name)
	}
}

func up(name string) string { return name[1+int(name[0]):] }

var errModel = errors.New("refused by the model")

// misplaced says that no zone can hold the record, whatever else there is.
func (m *model) misplaced(rr *wire.RR) bool {
	return wire.MetaType(rr.Type) || !m.inZone(string(rr.Owner)) ||
		rr.Type == wire.TypeSOA && string(rr.Owner) != m.apex || len(rr.Data) > 65533
}

// add takes a record in. again: a record that is there already is no error,
// and of two TTLs the lower one holds.
func (m *model) add(rr *wire.RR, again bool) error {
	if m.misplaced(rr) {
		return errModel
	}
	sets := m.names[string(rr.Owner)]
	if sets == nil {
		sets = map[setID]*modelSet{}
		m.names[string(rr.Owner)] = sets
	}
	id := idOf(rr)
	s := sets[id]
	if s == nil {
		sets[id] = &modelSet{rr.TTL, map[string]string{sameKey(rr.Type, rr.Data): string(rr.Data)}}
		return nil
	}
	key := sameKey(rr.Type, rr.Data)
	if _, there := s.records[key]; there {
		if again {
			return nil
		}
		return errModel
	}
	if rr.Type == wire.TypeSOA || rr.Type == wire.TypeCNAME || rr.Type == wire.TypeDNAME {
		return errModel
	}
	s.records[key] = string(rr.Data)
	if !again || rr.TTL < s.ttl {
		s.ttl = rr.TTL
	}
	return nil
}

func (m *model) del(rr *wire.RR) error {
	if m.misplaced(rr) {
		return errModel
	}
	sets := m.names[string(rr.Owner)]
	s := sets[idOf(rr)]
	if s == nil {
		return errModel
	}
	key := sameKey(rr.Type, rr.Data)
	if _, there := s.records[key]; !there {
		return errModel
	}
	delete(s.records, key)
	if len(s.records) == 0 {
		delete(sets, idOf(rr))
	}
	if len(sets) == 0 {
		delete(m.names, string(rr.Owner))
	}
	return nil
}

// check holds the rules that need more than one record.
func (m *model) check() error {
	has := func(name string, t wire.Type) bool { return m.names[name][setID{typ: t}] != nil }
	if !has(m.apex, wire.TypeSOA) || !has(m.apex, wire.TypeNS) {
		return errModel
	}
	for name, sets := range m.names {
		if has(name, wire.TypeCNAME) {
			for id := range sets {
				if !slices.Contains([]wire.Type{wire.TypeCNAME, wire.TypeRRSIG, wire.TypeNSEC, wire.TypeSIG, wire.TypeKEY, wire.TypeNXT}, id.typ) {
					return errModel
				}
			}
		}
		if name != m.apex && has(name, wire.TypeDNAME) && has(name, wire.TypeNS) {
			return errModel
		}
	}
	return nil
}

// apply is what Apply has to do: all, or nothing and an error.
func (m *model) apply(c *Changeset) (*model, error) {
	n := m.clone()
	for i := range c.Del {
		if err := n.del(&c.Del[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.Add {
		if err := n.add(&c.Add[i], false); err != nil {
			return nil, err
		}
	}
	return n, n.check()
}

// records lists all records, in no order.
func (m *model) records() (list []wire.RR) {
	for name, sets := range m.names {
		for id, s := range sets {
			for _, data := range s.records {
				list = append(list, wire.RR{Owner: []byte(name), Type: id.typ, TTL: s.ttl, Data: []byte(data)})
			}
		}
	}
	return list
}

// exists is the set of names that exist: those with something but NSEC3, and
// the ones above them (RFC 4592 2.2, RFC 5155 7.2.8).
func (m *model) exists() map[string]bool {
	e := map[string]bool{m.apex: true}
	for name, sets := range m.names {
		for id := range sets {
			if id.typ == wire.TypeNSEC3 || id.covered == wire.TypeNSEC3 {
				continue
			}
			for n := name; !e[n]; n = up(n) {
				e[n] = true
			}
		}
	}
	return e
}

// lookup is RFC 1034 4.3.2 step 3 by the letter.
func (m *model) lookup(exists map[string]bool, name string) (kind Kind, node string) {
	path := []string{name}
	for path[0] != m.apex {
		path = append([]string{up(path[0])}, path...)
	}
	for i, at := range path {
		if !exists[at] {
			return Missing, path[i-1]
		}
		if at != m.apex && m.names[at][setID{typ: wire.TypeNS}] != nil {
			return Cut, at
		}
		if at != name && m.names[at][setID{typ: wire.TypeDNAME}] != nil {
			return Redirected, at
		}
	}
	return Exact, name
}

// chain is the names with NSEC, or NSEC3, in canonical order, and whether it is
// NSEC3; nil if there is no chain.
func (m *model) chain() (names []string, nsec3 bool) {
	apex := m.names[m.apex]
	t := wire.TypeNSEC
	if nsec3 = apex[setID{typ: wire.TypeNSEC3PARAM}] != nil; nsec3 {
		t = wire.TypeNSEC3
	} else if apex[setID{typ: wire.TypeNSEC}] == nil {
		return nil, false
	}
	for name, sets := range m.names {
		if sets[setID{typ: t}] != nil {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, canonical)
	return names, nsec3
}

// canonical compares lists of labels from the right (RFC 4034 6.1).
func canonical(a, b string) int {
	return slices.Compare(labelsFromRight(a), labelsFromRight(b))
}

func labelsFromRight(name string) (l []string) {
	for ; name != "\x00"; name = up(name) {
		l = append([]string{name[1 : 1+name[0]]}, l...)
	}
	return l
}

// dump is everything that a zone of these contents has to be, as text.
func (m *model) dump() string {
	var lines []string
	exists := m.exists()
	all := maps.Clone(exists)
	for name := range m.names {
		all[name] = true
	}
	for name := range all {
		children, wildcard := 0, false
		for other := range exists {
			if other != m.apex && up(other) == name {
				children++
				wildcard = wildcard || other[:2] == "\x01*"
			}
		}
		lines = append(lines, fmt.Sprintf("%q exists=%t children=%d wildcard=%t", name, exists[name], children, wildcard))
		for id, s := range m.names[name] {
			for _, data := range s.records {
				lines = append(lines, fmt.Sprintf("%q %v %d %x", name, id, s.ttl, data))
			}
		}
	}
	chain, nsec3 := m.chain()
	return finishDump(lines, chain, nsec3)
}

func finishDump(lines, chain []string, nsec3 bool) string {
	slices.Sort(lines)
	return fmt.Sprintf("%s\nnsec3=%t %q", strings.Join(lines, "\n"), nsec3, chain)
}

// dump is a compiled zone in the same words.
func dump(z *Zone) string {
	var lines, chain []string
	z.index.each(func(pos uint32) bool {
		n := Node{z.at(pos)}
		name := string(n.Rel()) + string(z.Apex())
		lines = append(lines, fmt.Sprintf("%q exists=%t children=%d wildcard=%t", name, n.flags()&flagHidden == 0, n.children(), n.flags()&flagWildcard != 0))
		return true
	})
	z.Each(func(owner []byte, s *RRset) bool {
		for r := s.Records; ; {
			data, rest, ok := wire.NextRecord(r)
			if !ok {
				return true
			}
			lines = append(lines, fmt.Sprintf("%q %v %d %x", owner, setID{s.Type, s.Covered()}, s.TTL, data))
			r = rest
		}
	})
	if z.order != nil {
		for _, c := range z.order.chunks {
			for _, pos := range c {
				chain = append(chain, string(z.rel(pos))+string(z.Apex()))
			}
		}
	}
	return finishDump(lines, chain, z.NSEC3())
}

// compare holds a compiled zone against a model: contents, order, the look-up
// of some names, and what must be true of the memory inside.
func compare(t rapid.TB, z *Zone, m *model, names []string) {
	t.Helper()
	if got, want := dump(z), m.dump(); got != want {
		t.Fatalf("the zone is\n%s\nbut should be\n%s", got, want)
	}
	audit(t, z)
	exists := m.exists()
	chain, _ := m.chain()
	for _, name := range names {
		if m.inZone(name) {
			compareLookup(t, z, m, exists, name)
			compareDenial(t, z, chain, name)
		}
	}
}

func compareLookup(t rapid.TB, z *Zone, m *model, exists map[string]bool, name string) {
	t.Helper()
	var n wire.Name
	if !n.Set([]byte(name)) {
		t.Fatalf("%q is no name", name)
	}
	kind, node := m.lookup(exists, name)
	got := z.Lookup(&n)
	if got.Kind != kind || string(got.Node.Rel())+m.apex != node || string(n.Suffix(got.Label)) != node {
		t.Fatalf("Lookup(%q) = kind %d, node %q, label %d; the model says kind %d, node %q",
			name, got.Kind, string(got.Node.Rel())+m.apex, got.Label, kind, node)
	}
	wild, ok := z.Wildcard(&got)
	if ok != exists["\x01*"+node] || ok && string(wild.Rel())+m.apex != "\x01*"+node {
		t.Fatalf("Wildcard below %q: %t", node, ok)
	}
	found, ok := z.Find([]byte(name))
	if want := exists[name] || m.names[name] != nil; ok != want || ok && string(found.Rel())+m.apex != name {
		t.Fatalf("Find(%q) = %t, want %t", name, ok, want)
	}
	if !ok {
		return
	}
	for id := range m.names[name] {
		if s, ok := found.Set(id.typ); !ok || s.Type != id.typ {
			t.Fatalf("%q has no set of type %d", name, id.typ)
		}
		if s, ok := found.Signatures(id.covered); id.typ == wire.TypeRRSIG && (!ok || s.Covered() != id.covered) {
			t.Fatalf("%q has no signatures of type %d", name, id.covered)
		}
	}
	if _, ok := found.Set(61000); ok {
		t.Fatalf("%q has a type that was never put there", name)
	}
}

// compareDenial looks for the last name of the chain that is not after name.
func compareDenial(t rapid.TB, z *Zone, chain []string, name string) {
	t.Helper()
	n, exact, ok := z.Denial([]byte(strings.TrimSuffix(name, string(z.Apex()))))
	if ok != (len(chain) > 0) {
		t.Fatalf("Denial(%q) = %t with %d names in the chain", name, ok, len(chain))
	}
	if !ok {
		return
	}
	want := chain[len(chain)-1]
	for _, c := range chain {
		if canonical(c, name) <= 0 {
			want = c
		}
	}
	if canonical(chain[0], name) > 0 {
		want = chain[len(chain)-1]
	}
	if got := string(n.Rel()) + string(z.Apex()); got != want || exact != (want == name) {
		t.Fatalf("Denial(%q) = %q, exact %t; want %q", name, got, exact, want)
	}
}

// audit checks what every zone's memory must hold to.
func audit(t rapid.TB, z *Zone) {
	t.Helper()
	names, live := 0, 0
	z.index.each(func(pos uint32) bool {
		n := Node{z.at(pos)}
		names++
		live += n.size()
		if _, _, at, ok := z.index.find(&z.arena, z.index.hashRel(n.Rel()), nil, n.Rel()); !ok || at != pos {
			t.Fatalf("%q is in the index, and not found", n.Rel())
		}
		return true
	})
	if n := (Node{z.at(gone)}).b[0]; n != 0xff {
		t.Fatalf("slots whose node is gone lead to a name of %d octets", n)
	}
	if names != z.Names() || z.index.used < z.index.names || z.index.used >= z.index.slots {
		t.Fatalf("%d names, but the index says %d (%d of %d slots used)", names, z.Names(), z.index.used, z.index.slots)
	}
	if live != z.live {
		t.Fatalf("%d octets are live, but the arena says %d", live, z.live)
	}
	room := 0
	for _, c := range z.chunks {
		room += len(c)
	}
	if z.live > z.total || z.total > room {
		t.Fatalf("%d octets live, %d in all, room for %d", z.live, z.total, room)
	}
	soa, ok := z.ApexNode().Set(wire.TypeSOA)
	if !ok || soa.Count() != 1 || z.Serial() != soaSerial(soa.Records) {
		t.Fatalf("serial %d, SOA %x", z.Serial(), soa.Records)
	}
}

// compile builds a zone of records that must be fine.
func compile(t rapid.TB, b *Builder, records []wire.RR) *Zone {
	t.Helper()
	b.Reset(0)
	for i := range records {
		if p := b.Add(&records[i]); p != nil && !p.Warning {
			t.Fatalf("record %d, %s type %d: %v", i, wire.NameString(records[i].Owner), records[i].Type, p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatalf("no zone: %v", problems)
	}
	return z
}

// name puts a name together.
func name(labels ...string) string {
	var b []byte
	for _, l := range labels {
		b = append(append(b, byte(len(l))), l...)
	}
	return string(append(b, 0))
}

func rr(owner string, t wire.Type, ttl uint32, data string) wire.RR {
	return wire.RR{Owner: []byte(owner), Type: t, TTL: ttl, Data: []byte(data)}
}

// soa is the RDATA of a SOA with that serial.
func soa(serial uint32) string {
	b := []byte(name("ns1") + name("root"))
	for _, v := range []uint32{serial, 3600, 600, 604800, 300} {
		b = append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return string(b)
}

func address(n int) string { return string([]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }

// basics are the records that every zone needs.
func basics(apex string) []wire.RR {
	return []wire.RR{rr(apex, wire.TypeSOA, 3600, soa(1)), rr(apex, wire.TypeNS, 3600, name("ns1"))}
}

// sorted is a changeset in an order of its own, to be compared.
func sorted(list []wire.RR) []wire.RR {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b wire.RR) int {
		return cmp.Or(bytes.Compare(a.Owner, b.Owner), cmp.Compare(a.Type, b.Type), bytes.Compare(a.Data, b.Data))
	})
	return list
}
