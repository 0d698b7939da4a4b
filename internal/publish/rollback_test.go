package publish

import (
	"testing"

	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonemd"
)

// version builds a version of example., with a refresh time of its own, addresses of
// www.example., and perhaps a command.
func version(t *testing.T, serial, refresh byte, state string, addresses ...byte) *zone.Zone {
	t.Helper()
	const apex = "\x07example\x00"
	b := zone.NewBuilder()
	list := []wire.RR{
		{Owner: []byte(apex), Type: wire.TypeSOA, TTL: 60, Data: append([]byte("\x00\x00"), 0, 0, 0, serial, 0, 0, 0, refresh, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1)},
		{Owner: []byte(apex), Type: wire.TypeNS, TTL: 60, Data: []byte{0}},
	}
	for _, a := range addresses {
		list = append(list, wire.RR{Owner: []byte("\x03www" + apex), Type: wire.TypeA, TTL: 60, Data: []byte{192, 0, 2, a}})
	}
	if state != "" {
		list = append(list, wire.RR{Owner: []byte("\x03lon\x06_state" + apex), Type: wire.TypeTXT, TTL: 60, Data: append([]byte{byte(len(state))}, state...)})
	}
	for i := range list {
		if p := b.Add(&list[i]); p != nil {
			t.Fatal(p)
		}
	}
	z, problems := b.Finish()
	if z == nil {
		t.Fatal(problems)
	}
	return z
}

// digested is a version with its digest.
func digested(t *testing.T, z *zone.Zone) *zone.Zone {
	t.Helper()
	rr, err := zonemd.Record(z, zonemd.SHA384)
	if err != nil {
		t.Fatal(err)
	}
	if z, err = z.Apply(&zone.Changeset{Add: []wire.RR{rr}}); err != nil {
		t.Fatal(err)
	}
	return z
}

// A rollback says what the older version said, but for the serial and the
// commands in force.
func TestRollback(t *testing.T) {
	for name, tt := range map[string]struct {
		old, cur, want *zone.Zone // nil: nothing changes
	}{
		"records":       {version(t, 1, 9, "", 1, 2), version(t, 5, 9, "", 2, 3), version(t, 6, 9, "", 1, 2)},
		"SOA":           {version(t, 1, 9, "", 1), version(t, 5, 8, "", 1), version(t, 6, 9, "", 1)},
		"command":       {version(t, 1, 9, "v=state1; drain", 1), version(t, 5, 9, "", 2), version(t, 6, 9, "", 1)},
		"other command": {version(t, 1, 9, "", 1), version(t, 5, 9, "v=state1; drain", 2), version(t, 6, 9, "v=state1; drain", 1)},
		"command alone": {version(t, 1, 9, "", 1), version(t, 5, 9, "v=state1; drain", 1), nil},
		"serial alone":  {version(t, 1, 9, "", 1), version(t, 5, 9, "", 1), nil},
		"digest":        {digested(t, version(t, 1, 9, "", 1)), digested(t, version(t, 5, 9, "", 1)), nil},
		"nothing":       {version(t, 5, 9, "", 1), version(t, 5, 9, "", 1), nil},
	} {
		next, changes, err := Rollback(tt.cur, zone.Diff(tt.cur, tt.old))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tt.want == nil {
			if next != nil {
				t.Errorf("%s: changed by %v", name, changes)
			}
			continue
		}
		if next == nil || !zone.Diff(next, tt.want).Empty() {
			t.Errorf("%s: %v", name, changes)
			continue
		}
		again, err := tt.cur.Apply(changes)
		if err != nil || !zone.Diff(again, tt.want).Empty() || changes.Del[0].Type != wire.TypeSOA || changes.Add[0].Type != wire.TypeSOA {
			t.Errorf("%s: the changes lead elsewhere: %v %v", name, changes, err)
		}
	}
}
