package publish

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"geodns/internal/steer"
	"geodns/internal/wire"
)

// sidesText is what is known of the sides, but for times.
func (s *server) sidesText() string {
	var list []string
	for _, x := range s.ActiveSides() {
		list = append(list, fmt.Sprintf("%s %s %s %s%s", x.Zone, x.Owner, x.Types, x.Step, x.By))
	}
	return strings.Join(list, "; ")
}

// What was told before the zone was served is its side when it is, whatever the
// verdicts were; and what a zone that is broken for a while had is its own again.
func TestActiveSidesOutliveProcess(t *testing.T) {
	before := newServer(t)
	z := zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=manual\"\n")
	before.put(z)
	before.turn("192.0.2.1")
	before.turn()
	told := before.ActiveSides()
	if got := before.sidesText(); got != "a.example. db.a.example. A 192.0.2.2" || told[0].Plain || told[0].Since.IsZero() {
		t.Fatalf("%s, %+v", got, told)
	}

	s := newServer(t)
	s.SetActiveSides(told)
	if got := s.sidesText(); got != "a.example. db.a.example. A 192.0.2.2" {
		t.Errorf("before it is served: %s", got)
	}
	s.put(z)
	s.want("a.example.", "db", "192.0.2.2")
	if got := s.ActiveSides(); len(got) != 1 || !got[0].Since.Equal(told[0].Since) {
		t.Errorf("%+v, want it since %v", got, told[0].Since)
	}
	s.Publish([]Change{{Apex: z.Apex(), Vacant: true}})
	if got := s.sidesText(); got != "a.example. db.a.example. A 192.0.2.2" {
		t.Errorf("while it can't be served: %s", got)
	}
	s.put(z)
	s.want("a.example.", "db", "192.0.2.2")
	s.turn("192.0.2.2")
	s.want("a.example.", "db", "192.0.2.1")
	s.Publish([]Change{{Apex: z.Apex()}})
	if got := s.sidesText(); got != "" {
		t.Errorf("of a zone that is gone: %s", got)
	}
}

// A restart while what served is down: verdicts decide, and if all are down, what
// served before does.
func TestActiveSidesMeetVerdicts(t *testing.T) {
	z := zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=manual\"\n")
	for _, tt := range []struct {
		down []string
		want string
	}{
		{[]string{"192.0.2.2"}, "192.0.2.1"},
		{[]string{"192.0.2.1", "192.0.2.2"}, "192.0.2.2"},
		{nil, "192.0.2.2"},
	} {
		s := newServer(t)
		s.SetActiveSides([]ActiveSide{{Zone: "a.example.", Owner: "db.a.example.", Types: "A", Side: steer.Side{Step: "192.0.2.2"}}})
		s.put(z)
		s.turn(tt.down...)
		s.want("a.example.", "db", tt.want)
	}
}

// Whoever is told of another side while the zone is served follows at once.
func TestActiveSidesAreFollowed(t *testing.T) {
	s := newServer(t)
	turned := 0
	s.o.Turned = func() { turned++ }
	s.put(zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=manual\"\n"))
	s.turn()
	s.want("a.example.", "db", "192.0.2.1")
	was := turned
	s.SetActiveSides([]ActiveSide{{Zone: "a.example.", Owner: "db.a.example.", Types: "A,AAAA", Side: steer.Side{Step: "192.0.2.2", By: steer.ByCommand}}})
	s.want("a.example.", "db", "192.0.2.2")
	if turned == was {
		t.Error("nobody heard of it")
	}
	was = turned
	s.PublishVerdicts()
	if turned != was {
		t.Error("somebody heard of what did not change")
	}
}

func TestFailback(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=manual\"\nwww A 192.0.2.7\nwww._steer TXT \"v=steer1\"\n"))
	s.turn("192.0.2.1")
	s.turn()
	tell := func(o FailbackOrder) string {
		t.Helper()
		list, err := s.Failback(o)
		if err != nil {
			return err.Error()
		}
		text := ""
		for _, x := range list {
			text += fmt.Sprintf("%s %s %s %s>%s", x.Name, x.Types, x.Policy, x.Before.Step, x.After.Step)
			for _, a := range x.Answers {
				text += fmt.Sprintf(" %v%v>%v", a.Type == wire.TypeA, a.Before.Addresses, a.After.Addresses)
			}
			if x.Refused != nil {
				text += " refused: " + x.Refused.Text
			}
			if x.Same {
				text += " same"
			}
		}
		return text
	}
	const goes = "db.a.example. A manual 192.0.2.2>192.0.2.1 true[192.0.2.2]>[192.0.2.1]"
	tests := []struct {
		o          FailbackOrder
		down       []string
		want, then string
	}{
		{FailbackOrder{Name: "db.a.example", DryRun: true}, nil, goes, "192.0.2.2"},
		{FailbackOrder{Name: "db.a.example"}, []string{"192.0.2.1"}, "db.a.example. A manual 192.0.2.2>192.0.2.2 true[192.0.2.2]>[192.0.2.2] same", "192.0.2.2"},
		{FailbackOrder{Name: "db.a.example", To: "192.0.2.1"}, []string{"192.0.2.1"}, "db.a.example. A manual 192.0.2.2>192.0.2.2 true[192.0.2.2]>[192.0.2.2] refused: 192.0.2.1 is down", "192.0.2.2"},
		{FailbackOrder{Name: "DB.A.example."}, nil, goes, "192.0.2.1"},
		{FailbackOrder{Name: "db", Zone: "A.example", To: "192.0.2.2"}, nil, "db.a.example. A manual 192.0.2.1>192.0.2.2 true[192.0.2.1]>[192.0.2.2]", "192.0.2.2"},
		{FailbackOrder{Name: "db.a.example", To: "192.0.2.1", Force: true}, []string{"192.0.2.1"}, goes, "192.0.2.1"},
		{FailbackOrder{Name: "db.a.example", To: "lon"}, nil, "db.a.example.: lon is no step of order=192.0.2.1,192.0.2.2", "192.0.2.1"},
		{FailbackOrder{Name: "www.a.example"}, nil, "www.a.example is steered by policy=all, which has no active side; these are: db.a.example.", "192.0.2.1"},
		{FailbackOrder{Name: "dbs.a.example"}, nil, "dbs.a.example is not steered by a failover; these are: db.a.example.", "192.0.2.1"},
		{FailbackOrder{Name: "db", Zone: "b.example"}, nil, "the zone b.example. is not served here", "192.0.2.1"},
	}
	for i, tt := range tests {
		s.turn(tt.down...)
		if got := tell(tt.o); got != tt.want {
			t.Errorf("%d: %s\nwant %s", i, got, tt.want)
		}
		s.want("a.example.", "db", tt.then)
	}
}

// Of the failovers of one name all go, or none.
func TestFailbackOfAllOrNone(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "a.example.", dbRecords+`db AAAA 2001:db8::1
db AAAA 2001:db8::2
db._steer TXT "v=steer1; type=A; policy=failover; order=192.0.2.1,192.0.2.2; failback=manual; check=db"
db._steer TXT "v=steer1; type=AAAA; policy=failover; order=2001:db8::1,2001:db8::2; failback=manual; check=db"
`))
	s.turn("192.0.2.1", "2001:db8::1")
	s.turn()
	s.want("a.example.", "db", "192.0.2.2")
	if _, err := s.Failback(FailbackOrder{Name: "db.a.example", To: "192.0.2.1"}); err == nil {
		t.Error("a step of one of them was taken")
	}
	s.want("a.example.", "db", "192.0.2.2")
	if list, err := s.Failback(FailbackOrder{Name: "db.a.example", Reason: "both"}); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	s.want("a.example.", "db", "192.0.2.1")
	for _, x := range s.ActiveSides() {
		if !x.First || x.By != steer.ByCommand || x.Reason != "both" || time.Since(x.Since) > time.Minute {
			t.Errorf("%+v", x)
		}
	}
}

// Many failovers that are told of cost little each.
func TestManyActiveSides(t *testing.T) {
	s := newServer(t)
	var b strings.Builder
	b.WriteString("db._check TXT \"v=check1; type=tcp; port=3306\"\n")
	var list []ActiveSide
	for i := range 500 {
		fmt.Fprintf(&b, "n%d A 192.0.2.1\nn%d A 192.0.2.2\nn%d._steer TXT \"v=steer1; policy=failover; order=192.0.2.1,192.0.2.2; failback=manual; check=db\"\n", i, i, i)
		list = append(list, ActiveSide{Zone: "a.example.", Owner: fmt.Sprintf("n%d.a.example.", i), Types: "A", Side: steer.Side{Step: "192.0.2.2"}})
	}
	s.SetActiveSides(list)
	s.put(zoneOf(t, "a.example.", b.String()))
	for i := range 500 {
		s.want("a.example.", fmt.Sprintf("n%d", i), "192.0.2.2")
	}
}
