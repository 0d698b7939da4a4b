package steer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"geodns/internal/steer"
)

// follows serves a failover over time: what is down, and in how many minutes,
// leads to which node answering.
type follows struct {
	*cluster
	lead *steer.Lead
}

func (x *follows) at(t *testing.T, minute int, down ...string) (first string, again time.Time) {
	t.Helper()
	x.down(down...)
	now := time.Unix(1_700_000_000, 0).Add(time.Duration(minute) * time.Minute)
	x.lead, again = x.moment.Bound.Lead(x.moment.Verdicts, x.lead, now)
	if same, _ := x.moment.Bound.Lead(x.moment.Verdicts, x.lead, now); same != x.lead {
		t.Error("the same question has another answer")
	}
	b := *x.moment.Bound
	b.Active = x.lead.Active()
	x.moment.Bound = &b
	x.chooser.Reset()
	got := picked(x.addrs(t, "db", steer.V4), x.chooser.Address(&x.moment, x.rule(t, "db", typeOf(steer.V4)), steer.V4, nil))
	if len(got) != 1 {
		t.Fatalf("minute %d, down %v: %v is answered, want one address", minute, down, got)
	}
	return strings.TrimPrefix(got[0].String(), "192.0.2."), again
}

func failover(order, tags, check string) string {
	return top + pool("db", 3) + fmt.Sprintf(`
db._check TXT "v=check1; type=mysql; use=db%s"
db._steer TXT "v=steer1; policy=failover; order=%s; check=db%s"
`, check, order, tags)
}

const threeSteps = "192.0.2.1,192.0.2.2,192.0.2.3"

func TestLead(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	type step struct {
		minute int
		down   []string
		want   string
	}
	tests := []struct {
		name, tags, check string
		steps             []step
	}{
		{"by itself", "", "", []step{
			{0, nil, "1"}, {1, []string{a}, "2"}, {2, []string{a, b}, "3"}, {3, []string{a}, "2"}, {4, nil, "1"},
		}},
		{"holds what was answered last", "", "", []step{
			{0, []string{a}, "2"}, {1, []string{a, b, c}, "2"}, {2, []string{b, c}, "1"}, {3, []string{a, b, c}, "1"}, {4, []string{a, b}, "3"}, {5, []string{a, b, c}, "3"},
		}},
		{"nothing to hold at the start", "", "", []step{{0, []string{a, b, c}, "1"}, {1, []string{a}, "2"}}},
		{"on command", "; failback=manual", "", []step{
			{0, nil, "1"}, {1, []string{a}, "2"}, {2, nil, "2"}, {3, []string{b}, "1"}, {4, nil, "1"}, {5, []string{a, b, c}, "1"}, {6, []string{a, b}, "3"}, {7, nil, "3"},
		}},
		{"after a while", "; failback=10m", "", []step{
			{0, nil, "1"},
			{1, []string{a}, "2"},
			{2, nil, "2"},
			{11, nil, "2"},
			{12, nil, "1"},
			// Up, down again, and up: the time begins anew.
			{20, []string{a}, "2"},
			{21, nil, "2"},
			{25, []string{a}, "2"},
			{32, nil, "2"},
			{41, nil, "2"},
			{42, nil, "1"},
			// What serves dies: nobody waits.
			{50, []string{a}, "2"},
			{51, nil, "2"},
			{52, []string{b}, "1"},
		}},
		{"the writer", "; failback=manual", "; role=writable", []step{
			{0, []string{b, c}, "1"},
			{1, []string{a, b, c}, "1"}, // none
			{2, []string{a, c}, "2"},    // promoted
			{3, []string{c}, "2"},       // the old one has returned, and takes writes
			{4, []string{b}, "2"},       // two others do
			{5, []string{a, b, c}, "2"},
			{6, []string{b, c}, "1"},
			{7, nil, "1"},
		}},
	}
	for _, tt := range tests {
		x := &follows{cluster: serve(t, failover(threeSteps, tt.tags, tt.check), noWorld(t))}
		for _, s := range tt.steps {
			if got, _ := x.at(t, s.minute, s.down...); got != s.want {
				t.Errorf("%s: minute %d, down %v: %s is answered, want %s", tt.name, s.minute, s.down, got, s.want)
			}
		}
	}
}

// Whoever waits for an earlier step to be up for long is told until when.
func TestLeadAgain(t *testing.T) {
	x := &follows{cluster: serve(t, failover(threeSteps, "; failback=10m", ""), noWorld(t))}
	if _, again := x.at(t, 0, "192.0.2.1"); !again.IsZero() {
		t.Errorf("nothing is waited for, but until %v", again)
	}
	for _, minute := range []int{5, 6} {
		if _, again := x.at(t, minute); !again.Equal(time.Unix(1_700_000_000, 0).Add(15 * time.Minute)) {
			t.Errorf("minute %d: it is looked at again at %v, want minute 15", minute, again)
		}
	}
	if got, again := x.at(t, 15); got != "1" || !again.IsZero() {
		t.Errorf("minute 15: %s is answered, want 1; it is looked at again at %v, want never", got, again)
	}
}

// A new version of the zone, with other steps in another order, goes on where
// the old one was.
func TestLeadOfNextVersion(t *testing.T) {
	x := &follows{cluster: serve(t, failover(threeSteps, "; failback=manual", ""), noWorld(t))}
	x.at(t, 0, "192.0.2.1")
	x.cluster = serve(t, failover("192.0.2.3,192.0.2.1,192.0.2.2", "; failback=manual", ""), noWorld(t))
	if got, _ := x.at(t, 1); got != "2" {
		t.Errorf("%s is answered, want 2, as before", got)
	}
	x.cluster = serve(t, failover("192.0.2.3,192.0.2.1", "; failback=manual", ""), noWorld(t))
	if got, _ := x.at(t, 2); got != "3" {
		t.Errorf("%s is answered, want 3: the step that served is gone", got)
	}
}
