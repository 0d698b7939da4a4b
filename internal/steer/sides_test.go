package steer_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"geodns/internal/health"
	"geodns/internal/steer"
)

// past is a cluster with what it remembers, and its clock.
type past struct {
	*cluster
	lead *steer.Lead
	now  time.Time
}

func newPast(t fataler, text string) *past {
	return &past{cluster: serve(t, text, noWorld(t)), now: time.Unix(1_700_000_000, 0)}
}

// next goes on by some minutes, with the verdicts as they are.
func (x *past) next(minutes int) {
	x.now = x.now.Add(time.Duration(minutes) * time.Minute)
	x.lead, _ = x.moment.Bound.Lead(x.moment.Verdicts, x.lead, x.now)
	x.follow(x.lead)
}

// say gives the addresses 192.0.2.1 and on their verdicts: + up, - down, ? unknown.
func (x *past) say(verdicts string) {
	x.judge(func(a netip.Addr, _ string) health.State {
		return map[byte]health.State{'+': health.Up, '-': health.Down, '?': health.Unknown}[verdicts[a.As4()[3]-1]]
	})
}

// rule is that of db, or of www.
func (x *past) only(t fataler) *steer.Rule {
	t.Helper()
	if len(x.program.Rules()) != 1 {
		t.Fatalf("%d rules", len(x.program.Rules()))
	}
	return x.program.Rules()[0]
}

func (x *past) side(t fataler) steer.Side {
	s, _ := x.lead.Side(x.only(t))
	return s
}

// answer is what is answered, the last octets, and how far down the chain.
func (x *past) answer(t fataler) string {
	t.Helper()
	stage, addrs := x.moment.Bound.Answers(x.only(t), steer.V4, x.moment.Verdicts, x.chooser)
	text := ""
	for _, a := range addrs {
		text += fmt.Sprint(a.As4()[3])
	}
	if stage != steer.Normal {
		text = strings.TrimSpace(text + " " + stage.String())
	}
	return text
}

// command gives one, and says whether it was refused.
func (x *past) command(t fataler, to string, force bool) string {
	t.Helper()
	r := x.only(t)
	s, no, err := x.moment.Bound.Failback(x.moment.Verdicts, r, to, force)
	switch {
	case err != nil:
		return err.Error()
	case no != nil:
		return fmt.Sprintf("%s (%t)", no.Text, no.Forcible)
	}
	s.Since, s.Reason = x.now, "test"
	x.lead = x.program.Told(x.lead, func(*steer.Rule) (steer.Side, bool) { return s, true })
	x.next(0)
	return ""
}

// Where a writer is looked for: one is answered; of none or several, what was
// answered is held; and if nothing was, only a first step that may be one.
func TestWriterIsHeld(t *testing.T) {
	type step struct {
		verdicts, want, writers string
		alarm                   bool
	}
	a, b, c := "192.0.2.1", "192.0.2.2", "192.0.2.3"
	tests := []struct {
		name, tags string
		steps      []step
	}{
		{"nothing is known", "", []step{
			{"???", "1 as-if-live", "", false},
			{"??-", "1 as-if-live", "", false},
			{"-??", "no-writer", "", false},
			{"--?", "no-writer", "", false},
			{"---", "no-writer", "", true},
			{"?--", "1 as-if-live", "", true},
			{"-+-", "2", b, false},
			{"---", "2 as-if-live", "", true},
			{"???", "2 as-if-live", "", true},
			{"--+", "3", c, false},
		}},
		{"several, and none was known before", "", []step{
			{"++-", "1", a + "," + b, true},
			{"-++", "no-writer", b + "," + c, true},
			{"?++", "1 as-if-live", b + "," + c, true},
			{"-+-", "2", b, false},
			{"+++", "2", a + "," + b + "," + c, true},
			{"+-+", "2 as-if-live", a + "," + c, true},
		}},
		{"the zone says what is answered then", "; empty=none", []step{
			{"???", "nothing", "", false},
			{"-+-", "2", b, false},
			{"---", "nothing", "", true},
		}},
		{"all is no leave to answer a reader", "; empty=all", []step{
			{"---", "no-writer", "", true},
			{"-+-", "2", b, false},
			{"---", "2 as-if-live", "", true},
		}},
	}
	for _, tt := range tests {
		x := newPast(t, failover(threeSteps, tt.tags, "; role=writable"))
		for i, s := range tt.steps {
			x.say(s.verdicts)
			x.next(1)
			side := x.side(t)
			if got := x.answer(t); got != s.want || side.Writers != s.writers || side.Alarm.IsZero() == s.alarm {
				t.Errorf("%s, %d: of %s %q is answered, the writers are %q, alarm %v; want %q, %q, %t", tt.name, i, s.verdicts, got, side.Writers, side.Alarm, s.want, s.writers, s.alarm)
			}
		}
	}
}

// A writer that is drained takes writes, and is not answered if another one does.
func TestWriterIsDrained(t *testing.T) {
	x := newPast(t, failover("one,192.0.2.2,192.0.2.3", "", "; role=writable")+"one._node TXT \"v=node1; addr=192.0.2.1\"\n")
	x.drain(func(name string, _ bool) bool { return name == "one" })
	x.say("+--")
	x.next(0)
	if got, s := x.answer(t), x.side(t); got != "1 as-if-undrained" || !s.Alarm.IsZero() || s.Writers != "one" {
		t.Errorf("the only writer is drained: %s, %+v", got, s)
	}
	x.say("++-")
	x.next(1)
	if got, s := x.answer(t), x.side(t); got != "2" || s.Alarm.IsZero() || s.Step != "192.0.2.2" {
		t.Errorf("both take writes, one is drained: %s, %+v", got, s)
	}
}

// The alarm has one beginning, whatever becomes of the writers meanwhile.
func TestAlarmSince(t *testing.T) {
	x := newPast(t, failover(threeSteps, "", "; role=writable"))
	x.say("+--")
	x.next(0)
	x.say("---")
	x.next(1)
	begin := x.now
	x.say("-++")
	x.next(1)
	if s := x.side(t); !s.Alarm.Equal(begin) || !s.Held {
		t.Errorf("%+v, want an alarm since %v", s, begin)
	}
	x.say("-+-")
	x.next(1)
	if s := x.side(t); !s.Alarm.IsZero() || s.Held || !s.Since.Equal(x.now) {
		t.Errorf("%+v, want no alarm, and a new step since %v", s, x.now)
	}
}

func TestFailbackCommand(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	type step struct {
		verdicts string
		minutes  int
		to       string // "-": no command
		force    bool
		refused  string
		want     string
		by       string
	}
	tests := []struct {
		name, tags, check string
		steps             []step
	}{
		{"manual", "; failback=manual", "", []step{
			{"-++", 1, "-", false, "", "2", ""},
			{"+++", 1, "-", false, "", "2", ""},
			{"+++", 1, "", false, "", "1", "command"},
			{"+++", 1, c, false, "", "3", "command"},
			{"-++", 1, "", false, "", "2", "command"},
			{"-++", 1, a, false, a + " is down (true)", "2", "command"},
			{"++-", 1, "192.0.2.9", false, "192.0.2.9 is no step of order=" + threeSteps, "2", "command"},
			{"+-+", 1, "-", false, "", "1", ""},
		}},
		{"forced", "; failback=manual", "", []step{
			{"-++", 1, a, true, "", "1 as-if-live", "force"},
			{"--+", 9, "-", false, "", "1 as-if-live", "force"},
			{"---", 9, "-", false, "", "1 as-if-live", "force"},
			{"+++", 1, "-", false, "", "1", "command"},
			{"-++", 1, "-", false, "", "2", ""},
			{"---", 1, c, true, "", "3 as-if-live", "force"},
			{"+++", 1, "-", false, "", "3", "command"},
			{"---", 1, "", false, a + " is down (true)", "3 as-if-live", "command"},
			{"---", 1, "", true, "", "1 as-if-live", "force"},
		}},
		{"forced, where nothing is answered else", "; failback=manual; empty=none", "", []step{
			{"---", 1, "-", false, "", "nothing", ""},
			{"---", 1, b, true, "", "2 as-if-live", "force"},
			{"+++", 1, "-", false, "", "2", "command"},
			{"---", 1, "-", false, "", "nothing", "command"},
		}},
		{"after a while", "; failback=10m", "", []step{
			{"-++", 1, "-", false, "", "2", ""},
			{"+++", 1, "-", false, "", "2", ""},
			{"+++", 1, "", false, "", "1", "command"},
			// One that comes later is left again after the same while.
			{"+++", 1, c, false, "", "3", "command"},
			{"+++", 9, "-", false, "", "3", "command"},
			{"+++", 1, "-", false, "", "1", ""},
		}},
		{"by itself", "", "", []step{
			{"+++", 1, b, false, "failback=auto, and 192.0.2.1, which comes before 192.0.2.2, is up: it would take over again at once; drain it, or say failback=manual in the zone (false)", "1", ""},
			{"+++", 1, b, true, "failback=auto, and 192.0.2.1, which comes before 192.0.2.2, is up: it would take over again at once; drain it, or say failback=manual in the zone (false)", "1", ""},
			{"+-+", 1, b, true, "", "2 as-if-live", "force"},
			{"+++", 1, "-", false, "", "1", ""},
		}},
		{"the writer", "; failback=manual", "; role=writable", []step{
			{"-+-", 1, a, false, "192.0.2.2 is the one that says that it takes writes, and not 192.0.2.1; promote 192.0.2.1 in the database: the answers follow by themselves (false)", "2", ""},
			{"-+-", 1, a, true, "192.0.2.2 is the one that says that it takes writes, and not 192.0.2.1; promote 192.0.2.1 in the database: the answers follow by themselves (false)", "2", ""},
			{"-+-", 1, "", false, "", "2", "command"},
			{"---", 1, "", false, "no node says that it takes writes; promote one in the database (true)", "2 as-if-live", "command"},
			{"---", 1, c, true, "", "3 as-if-live", "command"},
			{"++-", 1, a, false, "192.0.2.1 and 192.0.2.2 say that they take writes, and DNS can't stop any of them; make all but one read-only (true)", "3 as-if-live", "command"},
			{"++-", 1, a, true, "", "1", "command"},
			{"-+-", 1, "-", false, "", "2", ""},
		}},
	}
	for _, tt := range tests {
		x := newPast(t, failover(threeSteps, tt.tags, tt.check))
		for i, s := range tt.steps {
			x.say(s.verdicts)
			x.next(s.minutes)
			if s.to != "-" {
				if got := x.command(t, s.to, s.force); got != s.refused {
					t.Errorf("%s, %d: refused %q, want %q", tt.name, i, got, s.refused)
				}
			}
			if got, by := x.answer(t), x.side(t).By; got != s.want || by != s.by {
				t.Errorf("%s, %d: of %s %q is answered, by %q; want %q, %q", tt.name, i, s.verdicts, got, by, s.want, s.by)
			}
		}
	}
}

// What is commanded survives the process: the side that is told is the one that
// serves, as far as it can.
func TestToldSides(t *testing.T) {
	x := newPast(t, failover(threeSteps, "; failback=manual", ""))
	x.say("+++")
	x.next(0)
	if got := x.command(t, "192.0.2.2", false); got != "" {
		t.Fatal(got)
	}
	told := x.side(t)
	begin := func(verdicts string) *past {
		y := newPast(t, failover(threeSteps, "; failback=manual", ""))
		y.lead = y.program.Told(nil, func(*steer.Rule) (steer.Side, bool) { return told, true })
		y.say(verdicts)
		y.next(5)
		return y
	}
	for verdicts, want := range map[string]string{"+++": "2", "???": "2", "+-+": "1", "---": "2 as-if-live", "--+": "3"} {
		if got := begin(verdicts).answer(t); got != want {
			t.Errorf("after a restart with %s, %s is answered, want %s", verdicts, got, want)
		}
	}
	if s := begin("+++").side(t); s.Since != told.Since || s.By != steer.ByCommand || s.Reason != "test" || s.Plain {
		t.Errorf("%+v, want what it was: %+v", s, told)
	}
	// Of a step that is gone nothing is left.
	y := newPast(t, failover("192.0.2.1,192.0.2.3", "; failback=manual", ""))
	y.lead = y.program.Told(nil, func(*steer.Rule) (steer.Side, bool) { return told, true })
	y.say("+++")
	y.next(0)
	if got := y.side(t); got.Step != "192.0.2.1" || got.By != "" {
		t.Errorf("%+v", got)
	}
}

// A name that gets its first AAAA record is the same failover.
func TestLeadOfOtherFamilies(t *testing.T) {
	const nodes = "one._node TXT \"v=node1; addr=192.0.2.1; addr=2001:db8::1\"\ntwo._node TXT \"v=node1; addr=192.0.2.2; addr=2001:db8::2\"\n"
	four := top + pool("db", 2) + nodes + "db._check TXT \"v=check1; type=tcp; port=1\"\ndb._steer TXT \"v=steer1; policy=failover; order=one,two; check=db; failback=manual\"\n"
	six := "db AAAA 2001:db8::1\ndb AAAA 2001:db8::2\n"
	x := newPast(t, four)
	x.down("192.0.2.1")
	x.next(0)
	for _, text := range []string{four + six, four, strings.ReplaceAll(four, "db A ", "other A ") + six} {
		x.cluster = serve(t, text, noWorld(t))
		x.down()
		x.next(1)
		if s := x.side(t); s.Step != "two" {
			t.Errorf("%+v, want two, as before:\n%s", s, text)
		}
	}
}

func TestHoldOfAllPolicies(t *testing.T) {
	text := top + pool("db", 4) + `
one._node TXT "v=node1; addr=192.0.2.1"
db._check TXT "v=check1; type=tcp; port=80"
db._steer TXT "v=steer1; empty=hold; check=db"
`
	x := newPast(t, text)
	for i, s := range []struct{ verdicts, drained, want string }{
		{"----", "", "1234 as-if-live"}, // nothing is known of before
		{"++--", "", "12"},
		{"----", "", "12 held"},
		{"----", "one", "2 held"},
		{"----", "", "12 held"},
		{"++-+", "one", "24"},
		{"+---", "", "1"},
		{"-???", "", "234"},
		{"----", "", "234 held"},
		{"----", "one", "234 held"},
		{"+---", "one", "234 held"},
		{"+---", "", "1"},
		{"+---", "one", "234 as-if-live"},
		{"----", "one", "234 as-if-live"},
	} {
		x.say(s.verdicts)
		x.drain(func(name string, _ bool) bool { return name == s.drained })
		x.next(1)
		if got := x.answer(t); got != s.want {
			t.Errorf("%d: of %s, drained %q, %q is answered, want %q", i, s.verdicts, s.drained, got, s.want)
		}
	}
	// Another version, with records that come and go, in another order.
	x.say("+-+-")
	x.drain(func(string, bool) bool { return false })
	x.next(1)
	x.cluster = serve(t, top+"db A 192.0.2.4\ndb A 192.0.2.3\n"+strings.Join(strings.Split(text, "\n")[9:], "\n"), noWorld(t))
	x.say("----")
	x.next(1)
	if got := x.answer(t); got != "3 held" {
		t.Errorf("of the next version %q is answered, want 3 held", got)
	}
}

// MX records are held as addresses are.
func TestHoldOfTargets(t *testing.T) {
	x := newPast(t, top+`
db MX 10 mx1
db MX 20 mx2
db MX 30 mx3
mx1 A 192.0.2.1
mx2 A 192.0.2.2
mx3 A 192.0.2.3
db._check TXT "v=check1; type=smtp"
db._steer TXT "v=steer1; type=MX; empty=hold; check=db"
`)
	r := x.only(t)
	for i, s := range []struct {
		verdicts string
		want     []uint16
		stage    steer.Stage
	}{
		{"---", []uint16{0, 1, 2}, steer.AsIfLive},
		{"-++", []uint16{1, 2}, steer.Normal},
		{"---", []uint16{1, 2}, steer.Held},
		{"+--", []uint16{0}, steer.Normal},
		{"---", []uint16{0}, steer.Held},
	} {
		x.say(s.verdicts)
		x.next(1)
		x.chooser.Reset()
		res := x.chooser.Thin(&x.moment, r, x.records(t, "db", 15), nil)
		if census := x.moment.Bound.Census(r, x.moment.Verdicts, x.chooser); !slices.Equal(res.Pick, s.want) || res.Stage != s.stage || census[0].Stage != s.stage {
			t.Errorf("%d: of %s %v, %v, counted as %v; want %v, %v", i, s.verdicts, res.Pick, res.Stage, census[0].Stage, s.want, s.stage)
		}
	}
}

// Whatever happens to nodes, zones and the process: with failback=manual a step
// that is up serves until it is not, or until a command; and of those who look for
// a writer there is one address at most in an answer, and none whose last probe
// said that it is none, but where it was answered before.
func TestNeverBackByItself(t *testing.T) {
	const orders = 3
	rapid.Check(t, func(t *rapid.T) {
		role := rapid.SampledFrom([]string{"", "; role=writable"}).Draw(t, "role")
		version := func() string {
			order := []string{threeSteps, "192.0.2.3,192.0.2.1,192.0.2.2", "192.0.2.2,192.0.2.3,192.0.2.1"}[rapid.IntRange(0, orders-1).Draw(t, "order")]
			return failover(order, "; failback=manual", role)
		}
		verdicts := func() string {
			out := ""
			for range 3 {
				out += rapid.SampledFrom([]string{"+", "-", "?"}).Draw(t, "verdict")
			}
			return out
		}
		x := newPast(t, version())
		x.say("???")
		answered := "" // the last octet
		for range 30 {
			commanded := false
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0: // another version of the zone
				x.cluster = serve(t, version(), noWorld(t))
				x.say(verdicts())
			case 1: // a restart
				side := x.side(t)
				x.cluster = serve(t, version(), noWorld(t))
				x.lead = x.program.Told(nil, func(*steer.Rule) (steer.Side, bool) { return side, side.Step != "" })
				x.say("???")
			case 2:
				to := fmt.Sprintf("192.0.2.%d", rapid.IntRange(1, 3).Draw(t, "to"))
				commanded = x.command(t, to, rapid.Bool().Draw(t, "force")) == ""
			default:
				x.say(verdicts())
			}
			x.next(1)
			answer, stage, _ := strings.Cut(x.answer(t), " ")
			if stage == "" && strings.HasPrefix(answer, "no-writer") {
				answer = ""
			}
			if len(answer) > 1 {
				t.Fatalf("%s is answered", answer)
			}
			if answer != "" && answer != answered && !commanded {
				if answered != "" && x.isUp(answered) && role == "" {
					t.Fatalf("%s is up, and %s is answered instead of it", answered, answer)
				}
				if role != "" && x.is(answer, health.Down) {
					t.Fatalf("%s is read-only, was not answered before, and is answered", answer)
				}
			}
			if answer == "" && role == "" {
				t.Fatal("nothing is answered")
			}
			answered = answer
		}
	})
}

func (x *past) is(host string, s health.State) bool {
	for i, target := range x.program.Targets {
		if strings.HasSuffix(target.Addr.String(), "."+host) {
			return x.moment.Verdicts.State(x.moment.Slots[i]) == s
		}
	}
	return false
}

// isUp: it counts as live.
func (x *past) isUp(host string) bool { return !x.is(host, health.Down) }
