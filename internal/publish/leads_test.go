package publish

import (
	"slices"
	"testing"
	"time"

	"geodns/internal/health"
)

// turn makes some addresses be down, all others up.
func (s *server) turn(down ...string) {
	clear(s.watch.down)
	for _, k := range keysOf(s.served("a.example.").Steering.Program) {
		if slices.Contains(down, k.addr.String()) {
			s.watch.down[k] = true
		}
	}
	s.PublishVerdicts()
}

const (
	dbRecords = "db A 192.0.2.1\ndb A 192.0.2.2\none._node TXT \"v=node1; addr=192.0.2.1\"\n" +
		"db._check TXT \"v=check1; type=tcp; port=3306\"\n"
	dbPolicy = "db._steer TXT \"v=steer1; policy=failover; order=192.0.2.1,192.0.2.2; check=db"
)

// The step that serves goes on across what else changes: other zones, and new
// versions of its own. When the zone goes, it is forgotten.
func TestLeadIsKept(t *testing.T) {
	s := newServer(t)
	z := zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=manual\"\n")
	s.put(z)
	s.want("a.example.", "db", "192.0.2.1")
	s.turn("192.0.2.1")
	s.want("a.example.", "db", "192.0.2.2")
	s.turn()
	s.want("a.example.", "db", "192.0.2.2")

	s.put(zoneOf(t, "b.example.", ""))
	s.put(zoneOf(t, "a.example.", "new A 192.0.2.9\n"+dbRecords+dbPolicy+"; failback=manual\"\n"))
	s.want("a.example.", "db", "192.0.2.2")
	s.turn("192.0.2.1", "192.0.2.2")
	s.want("a.example.", "db", "192.0.2.2")

	s.Publish([]Change{{Apex: z.Apex()}})
	clear(s.watch.down)
	s.put(z)
	s.want("a.example.", "db", "192.0.2.1")
}

// A drain moves a failover as a death does, in the same World.
func TestLeadIsDrained(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=manual\"\n"))
	at := time.Now()
	drain := health.Drains{}.With(health.Drain{Name: "one", From: at})
	s.SetDrains(drain, at)
	s.want("a.example.", "db", "192.0.2.2")
	s.SetDrains(nil, at)
	s.want("a.example.", "db", "192.0.2.2")
}

// What returns only when it was up for long does so without that anything turns.
func TestLeadReturnsInTime(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "a.example.", dbRecords+dbPolicy+"; failback=1s\"\n"))
	s.turn("192.0.2.1")
	s.turn()
	s.want("a.example.", "db", "192.0.2.2")
	for deadline := time.Now().Add(10 * time.Second); s.answer("a.example.", "db")[0] != "192.0.2.1"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first step has been up for long, and does not serve")
		}
	}
}

// Publishing verdicts leaves failovers alone that they don't change.
func TestLeadStays(t *testing.T) {
	s := newServer(t)
	s.put(zoneOf(t, "a.example.", dbRecords+dbPolicy+"\"\n"))
	s.turn("192.0.2.1")
	before := s.served("a.example.")
	s.PublishVerdicts()
	if after := s.served("a.example."); after != before {
		t.Error("the zone was replaced although nothing changed")
	}
}
