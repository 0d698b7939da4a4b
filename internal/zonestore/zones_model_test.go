package zonestore

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"geodns/internal/wire"
)

// modelZone is what a store should keep of a zone: all of it in plain lists.
type modelZone struct {
	versions []modelVersion // the oldest first; the first is what history begins with
	current  int            // which of them is kept as a whole; -1: none
	seed     []wire.RR
}

// modelVersion is one version, and the change that led to it.
type modelVersion struct {
	records []wire.RR
	change  *Change // nil for the first
	serial  uint32
}

func (z *modelZone) last() *modelVersion { return &z.versions[len(z.versions)-1] }

var drawRR = rapid.Custom(func(t *rapid.T) wire.RR {
	label := rapid.SliceOfN(rapid.ByteRange('a', 'c'), 0, 4)
	var owner []byte
	for range rapid.IntRange(0, 3).Draw(t, "labels") {
		if l := label.Draw(t, "label"); len(l) > 0 {
			owner = append(append(owner, byte(len(l))), l...)
		}
	}
	return wire.RR{
		Owner: owner, Type: wire.Type(rapid.SampledFrom([]uint16{1, 16, 28, 65280}).Draw(t, "type")),
		TTL: rapid.Uint32().Draw(t, "ttl"), Data: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data"),
	}
})

func drawRecords(t *rapid.T, apex []byte, serial uint32) []wire.RR {
	list := []wire.RR{soaOf(apex, serial)}
	for _, rr := range rapid.SliceOfN(drawRR, 0, 12).Draw(t, "records") {
		rr.Owner = append(slices.Clone(rr.Owner), apex...)
		list = append(list, rr)
	}
	return list
}

// A store equals plain lists, whatever is done to it.
func TestZonesModel(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := &zonesModel{t: t, path: filepath.Join(dir, fmt.Sprint(runs), "geodns.db"), zones: map[string]*modelZone{}}
		m.open()
		defer func() { mustClose(t, m.s) }()
		rt.Repeat(map[string]func(*rapid.T){
			"content": m.putContent, "begin": m.begin, "append": m.append, "compact": m.compact, "seed": m.putSeed,
			"forget": func(rt *rapid.T) {
				apex := m.apex(rt)
				must(t, m.s.Forget(apex))
				delete(m.zones, string(apex))
			},
			"reopen": func(*rapid.T) {
				mustClose(t, m.s)
				m.open()
			},
			"": m.compare,
		})
	})
}

type zonesModel struct {
	t     *testing.T
	path  string
	s     *Store
	log   logged
	zones map[string]*modelZone
}

func (m *zonesModel) open() {
	m.s = mustOpen(m.t, m.path, &m.log)
	// Nothing here ends the process, so that nothing need be on the disk.
	m.s.db.NoSync = true
}

func (m *zonesModel) apex(rt *rapid.T) []byte {
	return name(rapid.SampledFrom([]string{".", "a.", "b.a."}).Draw(rt, "zone"))
}

func (m *zonesModel) zone(apex []byte) *modelZone {
	if m.zones[string(apex)] == nil {
		m.zones[string(apex)] = &modelZone{current: -1}
	}
	return m.zones[string(apex)]
}

func (m *zonesModel) putContent(rt *rapid.T) {
	apex, serial := m.apex(rt), rapid.Uint32().Draw(rt, "serial")
	list := drawRecords(rt, apex, serial)
	must(m.t, m.s.PutContent(apex, Current, Version{Serial: serial}, Hash{}, listed(list)))
	z := m.zone(apex)
	z.versions, z.current = []modelVersion{{list, nil, serial}}, 0
}

func (m *zonesModel) putSeed(rt *rapid.T) {
	apex := m.apex(rt)
	list := drawRecords(rt, apex, 1)
	must(m.t, m.s.PutContent(apex, Seed, Version{Serial: 1}, Hash{}, listed(list)))
	m.zone(apex).seed = list
}

func (m *zonesModel) begin(rt *rapid.T) {
	apex, serial := m.apex(rt), rapid.Uint32().Draw(rt, "serial")
	z := m.zone(apex)
	if len(z.versions) > 0 && rapid.Bool().Draw(rt, "the same") {
		serial = z.last().serial
	}
	must(m.t, m.s.Begin(apex, Version{Serial: serial}, Hash{}))
	if z.current = -1; len(z.versions) == 0 || z.last().serial != serial {
		z.versions = []modelVersion{{nil, nil, serial}}
	}
}

func (m *zonesModel) append(rt *rapid.T) {
	apex := m.apex(rt)
	z := m.zone(apex)
	if len(z.versions) == 0 {
		expect(m.t, "append to nothing", m.s.Append(apex, step(apex, 1, 1)), ErrNotThere, "")
		return
	}
	var list []*Change
	for range rapid.IntRange(1, 4).Draw(rt, "changes") {
		before := z.last()
		c := &Change{From: before.serial, Version: Version{Serial: before.serial + rapid.Uint32Range(1, 1<<20).Draw(rt, "ahead")}}
		c.Del = []wire.RR{soaOf(apex, before.serial)}
		c.Add = drawRecords(rt, apex, c.Serial)
		z.versions = append(z.versions, modelVersion{append(slices.Clone(before.records), c.Add...), c, c.Serial})
		list = append(list, c)
	}
	must(m.t, m.s.Append(apex, list...))
}

func (m *zonesModel) compact(rt *rapid.T) {
	apex := m.apex(rt)
	z := m.zone(apex)
	if len(z.versions) == 0 {
		return
	}
	which := rapid.IntRange(0, len(z.versions)-1).Draw(rt, "which")
	v := &z.versions[which]
	// What is kept as a whole need not be what changes make of it, to a store.
	v.records = drawRecords(rt, apex, v.serial)
	for i := which + 1; i < len(z.versions); i++ {
		z.versions[i].records = append(slices.Clone(z.versions[i-1].records), z.versions[i].change.Add...)
	}
	must(m.t, m.s.Compact(apex, listed(v.records)))
	z.current = which
}

func (m *zonesModel) compare(rt *rapid.T) {
	infos, err := m.s.Zones()
	must(m.t, err)
	kept := 0
	for text, z := range m.zones {
		if len(z.versions) == 0 && z.seed == nil {
			continue
		}
		kept++
		m.compareZone([]byte(text), z)
	}
	if len(infos) != kept {
		m.t.Errorf("%d zones, not %d", len(infos), kept)
	}
	tidy(m.t, m.s)
	if m.t.Failed() || m.log.Len() > 0 {
		rt.Fatalf("logged: %s", m.log.String())
	}
}

func (m *zonesModel) compareZone(apex []byte, z *modelZone) {
	t := m.t
	if z.seed != nil {
		if _, got := contentOf(t, m.s, apex, Seed); !slices.EqualFunc(got, z.seed, equalRR) {
			t.Errorf("the seed is %v, not %v", got, z.seed)
		}
	}
	if len(z.versions) == 0 {
		return
	}
	var got []wire.RR
	_, err := m.s.Load(apex, func(rr *wire.RR) error { got = append(got, copied(rr)); return nil },
		func(c *Change) error { got = append(got, c.Add...); return nil })
	if z.current < 0 {
		expect(t, "load", err, ErrNotThere, "")
	} else if must(t, err); !slices.EqualFunc(got, z.last().records, equalRR) {
		t.Errorf("loaded %v, not %v", got, z.last().records)
	}
	for i := range z.versions {
		n := i + 1
		must(t, m.s.Journal(apex, z.versions[i].serial, func(c *Change) error {
			want := z.versions[n].change
			if c.From != want.From || c.Version != want.Version || !slices.EqualFunc(c.Del, want.Del, equalRR) || !slices.EqualFunc(c.Add, want.Add, equalRR) {
				t.Errorf("change %d is %v, not %v", n, c, want)
			}
			n++
			return nil
		}))
		if n != len(z.versions) {
			t.Errorf("the journal from %d ends at %d of %d", i, n, len(z.versions))
		}
	}
	list, err := m.s.History(apex, 1000)
	if err != nil || len(list) != len(z.versions) || list[0].Serial != z.last().serial {
		t.Errorf("history: %v, %v, not %d", list, err, len(z.versions))
	}
}

// Whatever blobs hold, decoding ends, and what was decoded encodes to what
// decodes to the same.
func FuzzDecodeZones(f *testing.F) {
	apex := name("example.org.")
	p, err := pack(apex, step(apex, 1, 1))
	must(f, err)
	h := head{known: true, tail: Version{Serial: 2, At: day, By: "x"}, journal: 3, next: 2, replay: 1}
	h.contents[Current] = stored{Content: Content{Records: 9}, gen: 1, blobs: 1}
	f.Add(encodeHead(&h))
	f.Add(encodeTimers(Timers{Serial: 1, Primary: "x"})[sealSize:])
	f.Add(p.blobs[0])
	e := encodeEntry(&p.entry)
	f.Add(append([]byte{byte(len(e))}, e...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, err := decodeHead(payload); err == nil {
			again, err := decodeHead(encodeHead(h))
			if err != nil || fmt.Sprint(h) != fmt.Sprint(again) {
				t.Errorf("%v, %v: %v", h, again, err)
			}
		} else if !isDamage(err) {
			t.Error(err)
		}
		if _, err := decodeTimers(payload); err != nil && !isDamage(err) {
			t.Error(err)
		}
		if e, rest, err := decodeEntry(payload); err == nil {
			if _, err := unpack(apex, &e, [][]byte{rest}); err != nil && !isDamage(err) {
				t.Error(err)
			}
		} else if !isDamage(err) {
			t.Error(err)
		}
		u := &unpacker{apex: apex}
		again := &packer{apex: apex}
		for u.reset(payload); len(u.rest) > 0; {
			var rr wire.RR
			if _, err := u.next(&rr); err != nil {
				if !isDamage(err) {
					t.Error(err)
				}
				break
			}
			if _, err := again.append(nil, &rr, 0); err != nil {
				t.Error(err)
			}
		}
	})
}
