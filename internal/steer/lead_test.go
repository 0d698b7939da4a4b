package steer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"geodns/internal/steer"
	"geodns/internal/steer/record"
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
	x.follow(x.lead)
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

// A failover between aliases has nothing to remember: what stands behind them is
// not probed.
func TestLeadOfAliases(t *testing.T) {
	c := serve(t, top+`
www CNAME www.cdn.example.
lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
www._steer TXT "v=steer1; policy=failover; order=nyc,lon; cname=lon:a.cdn.example.; cname=nyc:b.cdn.example."
`, noWorld(t))
	if c.program.FailsOver() {
		t.Error("a failover between aliases is followed")
	}
	if lead, again := c.moment.Bound.Lead(nil, nil, time.Now()); len(lead.Active()) != 1 || lead.Active()[0] != 0 || !again.IsZero() {
		t.Errorf("it has the active step %v, and is looked at again at %v", lead.Active(), again)
	}
}

// As long as something is live, a failover that goes back by itself answers as
// one that remembers nothing; on random zones, verdicts and drains.
func TestLeadIsTheFirst(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		c := m.serve(t, dir, "www")
		var lead *steer.Lead
		for range 4 {
			lead, _ = c.moment.Bound.Lead(c.moment.Verdicts, lead, time.Time{})
			for f := range m.addrs {
				if len(m.addrs[f]) == 0 {
					continue
				}
				r := c.rule(t, "www", typeOf(steer.Family(f)))
				plain := c.with(r, steer.Family(f), nil)
				led := c.with(r, steer.Family(f), lead)
				if m.writers() || m.steer.Failback.Mode != record.FailbackAuto || plain.Stage > steer.BelowFloor {
					continue
				}
				if plain.Stage != led.Stage || plain.Site != led.Site || !slices.Equal(plain.Pick, led.Pick) {
					t.Fatalf("family %d: %+v, but without the past %+v\n%s", f, led, plain, m.text("www"))
				}
			}
			m.drawMoment(t)
			m.bring(c)
		}
	})
}

// with chooses by another past.
func (c *cluster) with(r *steer.Rule, f steer.Family, lead *steer.Lead) steer.Result {
	was := c.moment
	defer func() { c.moment = was }()
	c.follow(lead)
	c.moment.Nobody, c.moment.Draw = true, 1
	c.chooser.Reset()
	res := c.chooser.Address(&c.moment, r, f, nil)
	res.Pick = slices.Clone(res.Pick)
	return res
}

// follow has the cluster choose by a past.
func (c *cluster) follow(lead *steer.Lead) {
	b := *c.moment.Bound
	b.Follow(lead)
	c.moment.Bound = &b
}

// A copy of a zone goes by its primary's word where nobody but an operator turns a
// failover back: also when that step is down, and when the primary is not heard.
// With lead=self the copy judges while that lasts; writers that say so themselves,
// and failovers that go back by themselves, are always its own to judge.
func TestLeadOfCopy(t *testing.T) {
	const a, b = "192.0.2.1", "192.0.2.2"
	told := "\ndb._state TXT \"v=state1; active=192.0.2.2\"\n"
	tests := []struct {
		name, tags, state string
		own, alone        bool     // it is no copy; the primary is not heard
		want              []string // all up; the second down; the first down; all up
	}{
		{"told", "; failback=manual", told, false, false, []string{"2", "2", "2", "2"}},
		{"told of no step that there is", "; failback=manual", strings.ReplaceAll(told, b, "192.0.2.77"), false, false, []string{"1", "1", "2", "2"}},
		{"not told", "; failback=manual", "", false, false, []string{"1", "1", "2", "2"}},
		{"ours", "; failback=manual", told, true, false, []string{"1", "1", "2", "2"}},
		{"holds alone", "; failback=manual", told, false, true, []string{"2", "2", "2", "2"}},
		{"follows while it hears", "; failback=manual; lead=self", told, false, false, []string{"2", "2", "2", "2"}},
		{"acts alone", "; failback=manual; lead=self", told, false, true, []string{"1", "1", "2", "2"}},
		{"by itself", "", told, false, false, []string{"1", "1", "2", "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := &follows{cluster: serve(t, failover(threeSteps, tt.tags, "")+tt.state, noWorld(t))}
			x.moment.Copy, x.moment.Alone = !tt.own, tt.alone
			for i, down := range [][]string{nil, {b}, {a}, nil} {
				if got, _ := x.at(t, i, down...); got != tt.want[i] {
					t.Errorf("with %v down, %s is answered, want %s", down, got, tt.want[i])
				}
			}
		})
	}
}

// A copy with lead=self that had to act alone goes by its primary's word again as
// soon as it is heard: else the two would differ for ever.
func TestLeadOfCopyReturns(t *testing.T) {
	x := &follows{cluster: serve(t, failover(threeSteps, "; failback=manual; lead=self", "")+"\ndb._state TXT \"v=state1; active=192.0.2.2\"\n", noWorld(t))}
	if !x.moment.LeadsSelf() {
		t.Error("the program does not know that it depends on its primary")
	}
	x.moment.Copy = true
	const b = "192.0.2.2"
	for i, step := range []struct {
		alone bool
		down  []string
		want  string
	}{
		{false, nil, "2"},
		{false, []string{b}, "2"}, // the primary may see more
		{true, []string{b}, "1"},
		{true, nil, "1"}, // what serves goes on
		{false, nil, "2"},
		{true, nil, "2"},
	} {
		x.moment.Alone = step.alone
		if got, _ := x.at(t, i, step.down...); got != step.want {
			t.Errorf("step %d: %s is answered, want %s", i, got, step.want)
		}
	}
}
