package send

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"geodns/internal/wire"
	"geodns/internal/zone"
)

// drawn draws a record of a small world, so that changes meet the same ones
// again: names of all depths, hidden ones, RDATA names of either case.
func drawn(rt *rapid.T, tb testing.TB) wire.RR {
	label := rapid.SampledFrom([]string{"a", "b", "www", "*", "_tcp", "a-rather-long-label-that-is-worth-a-pointer"})
	owner := ""
	for range rapid.IntRange(1, 4).Draw(rt, "depth") {
		owner += label.Draw(rt, "label") + "."
	}
	owner += rapid.SampledFrom([]string{"", "", "", "_site.", "_state."}).Draw(rt, "subtree")
	target := rapid.SampledFrom([]string{"Mail.Example.", "mail.example.", "www.a.example.", "example.", "EXAMPLE.", "other.test.", "a.Other.test.", "."}).Draw(rt, "target")
	n := rapid.IntRange(0, 3).Draw(rt, "n")
	// One TTL a type, since an RRset has one.
	data := rapid.SampledFrom([]string{
		fmt.Sprintf("60 A 192.0.2.%d", n), fmt.Sprintf("61 AAAA 2001:db8::%d", n), fmt.Sprintf("62 MX %d %s", n, target),
		fmt.Sprintf("63 TXT \"text %d\"", n), fmt.Sprintf("64 SRV 0 0 %d %s", n, target), fmt.Sprintf("65 PTR %s", target),
		fmt.Sprintf("66 TYPE65280 \\# 1 0%d", n), fmt.Sprintf("67 NS %s", target), "68 TYPE65281 \\# 0", fmt.Sprintf("69 MINFO %s a.example.", target),
	}).Draw(rt, "data")
	return record(tb, owner+"example. "+data)
}

// version changes a zone by some records, and returns the change too.
func version(rt *rapid.T, tb testing.TB, z *zone.Zone) (*zone.Zone, Change) {
	c := Change{From: z.Serial(), To: z.Serial() + uint32(rapid.IntRange(1, 1<<27).Draw(rt, "step"))}
	c.Del = append(c.Del, record(tb, soaText(c.From)))
	c.Add = append(c.Add, record(tb, soaText(c.To)))
	touched := map[string]bool{}
	for range rapid.IntRange(0, 8).Draw(rt, "changes") {
		rr := drawn(rt, tb)
		data := rr.Data
		if at, ok := zone.NameIn(rr.Type); ok {
			data = wire.AppendLower(slices.Clone(rr.Data[:at]), rr.Data[at:])
		}
		id := fmt.Sprintf("%x %d %x", rr.Owner, rr.Type, data)
		if touched[id] {
			continue
		}
		touched[id] = true
		have, ok := stored(z, &rr)
		if ok {
			c.Del = append(c.Del, have)
		}
		if !ok || rapid.Bool().Draw(rt, "again") && string(have.Data) != string(rr.Data) {
			c.Add = append(c.Add, rr)
		}
	}
	next, err := z.Apply(&zone.Changeset{Del: c.Del, Add: c.Add})
	if err != nil {
		rt.Fatalf("the test makes a change that is none: %v", err)
	}
	return next, c
}

// stored is the record of the zone that is the same as rr to DNS.
func stored(z *zone.Zone, rr *wire.RR) (wire.RR, bool) {
	n, ok := z.Find(rr.Owner)
	if !ok {
		return wire.RR{}, false
	}
	s, _ := n.Set(rr.Type)
	for r := s.Records; ; {
		data, rest, ok := wire.NextRecord(r)
		if !ok {
			return wire.RR{}, false
		}
		if zone.SameData(rr.Type, data, rr.Data) {
			return wire.RR{Owner: rr.Owner, Type: rr.Type, TTL: s.TTL, Data: data}, true
		}
		r = rest
	}
}

// A client that has any version, and asks in any way, has ours afterwards, octet
// by octet; or is told in the one message of UDP to come by TCP.
func TestClientGetsVersion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		serial := rapid.Uint32().Draw(rt, "serial")
		versions := []*zone.Zone{texts(t, serial)}
		j := &journal{}
		for range rapid.IntRange(0, 6).Draw(rt, "versions") {
			z, c := version(rt, t, versions[len(versions)-1])
			versions, j.changes = append(versions, z), append(j.changes, c)
		}
		s := newSender(j)
		s.maxHeld = rapid.SampledFrom([]int{0, 1500, maxHeld}).Draw(rt, "held")
		// Not always the newest: the journal goes on beyond the snapshot.
		to := rapid.IntRange(0, len(versions)-1).Draw(rt, "to")
		from := rapid.IntRange(0, to).Draw(rt, "from")
		a := asked{
			typ: rapid.SampledFrom([]uint16{dns.TypeAXFR, dns.TypeIXFR, dns.TypeIXFR}).Draw(rt, "type"), serial: versions[from].Serial(),
			strip: rapid.Bool().Draw(rt, "strip"), signed: rapid.Bool().Draw(rt, "signed"), edns: rapid.Bool().Draw(rt, "edns"),
			size: rapid.SampledFrom([]int{0, 512, 700, 1232}).Draw(rt, "size"),
			name: rapid.SampledFrom([]string{"", "example.", "eXample."}).Draw(rt, "name"),
		}
		a.udp = a.typ == dns.TypeIXFR && rapid.Bool().Draw(rt, "udp")
		r := transfer(t, s, versions[to], a)
		got, err := r.apply(set(versions[from], a.strip))
		if err != nil {
			rt.Fatal(err)
		}
		if r.out.Kind == UseTCP {
			if !a.udp || len(r.rrs) != 1 {
				rt.Fatalf("%+v", r.out)
			}
			return
		}
		if r.out.Why != "" || (a.typ == dns.TypeAXFR) != (r.out.Kind == Whole) || (r.out.Kind == Current) != (a.typ == dns.TypeIXFR && from == to) {
			rt.Fatalf("%+v from %d to %d", r.out, from, to)
		}
		same(rt, got, set(versions[to], a.strip))
	})
}

// Condensed changes have nothing in them that the two versions have both.
func TestCondensedIsDifference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		versions := []*zone.Zone{texts(t, 7)}
		j := &journal{}
		for range rapid.IntRange(1, 12).Draw(rt, "versions") {
			z, c := version(rt, t, versions[len(versions)-1])
			versions, j.changes = append(versions, z), append(j.changes, c)
		}
		old, now := versions[0], versions[len(versions)-1]
		r := transfer(t, newSender(j), now, asked{typ: dns.TypeIXFR, serial: 7})
		diff := zone.Diff(old, now)
		want := map[string]int{}
		for i := range diff.Del {
			want[key(&diff.Del[i])]--
		}
		for i := range diff.Add {
			want[key(&diff.Add[i])]++
		}
		// The SOAs around the lists.
		soa := key(&r.rrs[0])
		got := map[string]int{}
		adding := -1
		for i := 1; i < len(r.rrs)-1; i++ {
			if i > 1 && key(&r.rrs[i]) == soa {
				adding = 1
			}
			got[key(&r.rrs[i])] += adding
		}
		if !maps.Equal(got, want) {
			rt.Fatalf("got %v\nwant %v", got, want)
		}
	})
}
