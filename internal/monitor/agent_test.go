package monitor

import (
	"log/slog"
	"net/netip"
	"testing"

	"geodns/internal/health"
	"geodns/internal/probe"
	"geodns/internal/steer/record"
)

// What an agent asks for holds until its next answer, and no other check's
// result is taken for a wish.
func TestAgent(t *testing.T) {
	m := New(Options{Log: slog.New(slog.DiscardHandler)})
	agent := &target{key: Key{Addr: netip.MustParseAddr("192.0.2.1")}, check: record.Check{Type: record.CheckAgent}}
	other := &target{key: Key{Addr: netip.MustParseAddr("192.0.2.2")}, check: record.Check{Type: record.CheckTCP}}
	m.targets = []*target{nil, agent, other}
	say := func(to *target, r probe.Result) { m.obey(to, &r) }
	wants := func(what string, drained bool, share uint8) {
		t.Helper()
		v := m.Verdicts()
		if v.Drained(1) != drained || v.Share(1) != share {
			t.Errorf("%s: drained %t with a share of %d, want %t and %d", what, v.Drained(1), v.Share(1), drained, share)
		}
		if v.Drained(0) || v.Drained(2) || v.Share(0) != health.WholeShare || v.Share(2) != health.WholeShare {
			t.Errorf("%s: somebody else's slot has it", what)
		}
	}
	wants("nothing said", false, 100)
	say(agent, probe.Result{OK: true, Weight: 30})
	wants("30 %", false, 30)
	if !m.eased || len(m.dirty) != 0 {
		t.Error("another percentage has to wait for the sweep")
	}
	m.ease()
	if m.eased || len(m.dirty) != 1 {
		t.Error("the sweep does not publish it")
	}
	<-m.dirty
	say(agent, probe.Result{Weight: -1})
	wants("a failure says nothing", false, 30)
	say(agent, probe.Result{OK: true, Weight: -1, Drain: true})
	wants("drain", true, 100)
	if len(m.dirty) != 1 {
		t.Error("a drain is not published at once")
	}
	say(agent, probe.Result{OK: true, Weight: 250})
	wants("more than the whole", false, 100)
	say(other, probe.Result{OK: true, Weight: 0, Drain: true})
	wants("no agent", false, 100)
}
