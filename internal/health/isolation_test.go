package health

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// story plays events and returns what was ruled, a letter each: c counts,
// p pending, w withheld, e isolation ended by the event. An event is
// "WHAT BEGAN AT", in seconds since the start: turn, out (something outside
// answered), or a number for an anchor with + answered, - failed, ! can't be
// asked.
func story(t *testing.T, anchors int, events string) string {
	t.Helper()
	s := NewIsolation(anchors)
	var out strings.Builder
	for event := range strings.SplitSeq(events, ",") {
		var what string
		var began, ended float64
		if n, err := fmt.Sscan(event, &what, &began, &ended); n != 3 {
			t.Fatalf("%q: %v", event, err)
		}
		from, at := start.Add(time.Duration(began*float64(time.Second))), start.Add(time.Duration(ended*float64(time.Second)))
		over := false
		switch what {
		case "turn":
			out.WriteByte("cpw"[s.Rule(from, at)])
		case "out":
			over = s.Answered(from, at)
		default:
			kind := what[len(what)-1]
			over = s.Asked(int(what[0]-'0'), kind == '+', kind == '!', from, at)
		}
		if over {
			out.WriteByte('e')
		}
	}
	return out.String()
}

func TestIsolation(t *testing.T) {
	tests := []struct {
		name    string
		anchors int
		events  string
		want    string
	}{
		{"no anchors", 0, "turn 1 2", "c"},
		{"one anchor says nothing", 1, "0- 1 2,turn 1 2", "c"},
		{"nothing is known", 2, "turn 1 2", "p"},
		{"an anchor answered since", 2, "0+ 1.1 1.2,turn 1 2", "c"},
		{"one of two is enough", 2, "0- 1.1 2,1+ 1.1 1.2,turn 1 2", "c"},
		{"an anchor answered before: it may have happened since", 2, "0+ 0.9 1,turn 1 2", "p"},
		{"another node answered since", 2, "out 1.5 1.6,turn 1 2", "c"},
		{"another node answered a probe of before", 2, "out 0.9 1.9,turn 1 2", "p"},
		{"all are silent", 2, "0- 1.1 2.1,turn 1 2,1- 1.1 2.1,turn 1 2.1", "pw"},
		{"silent before, and not asked since", 2, "0- 0.1 0.9,1- 0.1 0.9,turn 1 2", "p"},
		{"silent, but for a node", 2, "0- 1.1 2.1,1- 1.1 2.1,out 1.2 1.3,turn 1 2.2", "c"},
		{"pending, then an anchor answers", 2, "turn 1 2,0+ 2 2.1,turn 1 2.1", "pc"},
		{"isolated, and so are others at once", 2, "0- 1.1 2.1,1- 1.1 2.1,turn 1 2.1,turn 2 3,turn 4 5", "www"},
		{"ended by an anchor", 2, "0- 1 2,1- 1 2,turn 1 2,1+ 3 3.1,turn 3 4", "wec"},
		{"ended by a node", 2, "0- 1 2,1- 1 2,turn 1 2,out 3 3.1,turn 3 4", "wec"},
		{"not ended by an answer of before", 2, "0- 1 2,1- 1 2,turn 1 2,out 0.9 3,turn 3 4", "ww"},
		{"isolated twice", 2, "0- 1 2,1- 1 2,turn 1 2,out 3 3.1,0- 5 6,1- 5 6,turn 5 6,turn 6 7", "weww"},
		{"ten minutes", 2, "0- 1 2,1- 1 2,turn 1 2,turn 600 601.9,turn 600 602", "wwc"},
		{"after ten minutes it still ends, once", 2, "0- 1 2,1- 1 2,turn 1 2,turn 600 602,out 700 701,out 701 702", "wce"},
		{"one of three can't be asked", 3, "0! 1 1,1- 1 2,turn 1 2,2- 1 2,turn 1 2", "pw"},
		{"one of two can't be asked, and never could: it takes two", 2, "0! 1 1,1- 1 2,turn 1 2", "c"},
		{"two could be asked, and can't any more", 2, "0+ 0 0,1+ 0 0,0! 1 1,1! 1 1,turn 1 2", "w"},
	}
	for _, tt := range tests {
		if got := story(t, tt.anchors, tt.events); got != tt.want {
			t.Errorf("%s: %s rules %s, want %s", tt.name, tt.events, got, tt.want)
		}
	}
}

// What failed in a probe of before the end says nothing.
func TestOutdated(t *testing.T) {
	s := NewIsolation(2)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	if s.Outdated(at(0)) {
		t.Error("outdated before anything happened")
	}
	for n := range 2 {
		s.Asked(n, false, false, at(1), at(2))
	}
	if s.Rule(at(1), at(2)) != Withheld {
		t.Fatal("not isolated")
	}
	since, until := s.Since()
	if !since.Equal(at(2)) || until.Sub(since) != 10*time.Minute {
		t.Errorf("since %v until %v", since, until)
	}
	s.Answered(at(5), at(6))
	if !s.Outdated(at(5)) || s.Outdated(at(6)) {
		t.Error("it ended in second 6")
	}
	if since, until := s.Since(); !since.IsZero() || !until.IsZero() {
		t.Errorf("since %v until %v after the end", since, until)
	}
}

// What is withheld counts failures and turns nothing, until it is made to fall;
// what is forgiven has to fail anew.
func TestWithhold(t *testing.T) {
	up, _ := run(Target{}, rule, "+--")
	held := Withhold(up, start)
	if held.State != Up || held.Fails != 3 || !held.Seen.Equal(start) {
		t.Errorf("withheld: %+v", held)
	}
	fell := Fall(held, start.Add(time.Second))
	if fell.State != Down || !fell.Turned.Equal(start.Add(time.Second)) || !fell.Since.Equal(fell.Turned) {
		t.Errorf("fell: %+v", fell)
	}
	if _, states := run(Forgive(held), rule, "---"); states != "uud" {
		t.Errorf("after it is forgiven: %s, want uud", states)
	}
	if f := Forgive(fell); f.Fails != fell.Fails || f.State != Down {
		t.Errorf("what is down is forgiven nothing: %+v", f)
	}
	// Of a target of which nothing was known, the next result decides.
	fresh := Withhold(Target{}, start)
	if fresh.State != Unknown || fresh.Fails != 1 {
		t.Errorf("a new one, withheld: %+v", fresh)
	}
	if first := Fall(fresh, start); first.State != Down || !first.Turned.IsZero() {
		t.Errorf("a new one that fell: %+v", first)
	}
	if _, states := run(Forgive(fresh), rule, "+"); states != "u" {
		t.Errorf("a new one, forgiven: %s, want u", states)
	}
}
