package steer_test

import (
	"slices"
	"testing"

	"geodns/internal/steer"
)

// In a zone that came by transfer, a policy that can't be compiled is replaced by
// what served before, or else by all records; a failover by nothing, since all of
// its records must not be answered. The other policies are as they should be.
func TestLenient(t *testing.T) {
	const (
		good     = "www._steer TXT \"v=steer1; answers=1\"\n"
		bad      = "www._steer TXT \"v=steer1; policy=dartboard\"\n"
		failing  = "www._steer TXT \"v=steer1; policy=failover; order=192.0.2.77\"\n"
		missing  = "www._steer TXT \"v=steer1; policy=nearest; check=nothing\"\n"
		badSite  = "lon._site TXT \"v=site1; net=nowhere\"\n"
		must     = "www._steer TXT \"v=steer1; moon=full; must=moon\"\n"
		newer    = "www._steer TXT \"v=steer1; answers=1; moon=full\"\n"
		sleeping = "gone._steer TXT \"v=steer1; answers=1\"\n"
	)
	base := top + pool("www", 3) + pool("db", 3) + "db._steer TXT \"v=steer1; answers=2\"\n"
	tests := []struct {
		name, text, last string
		want             int // addresses of www
		stage            steer.Stage
	}{
		{"good", good, "", 1, steer.Normal},
		{"bad, and none before", bad, "", 3, steer.Normal},
		{"bad, and one before", bad, "v=steer1; answers=2", 2, steer.Normal},
		{"bad, and what was before is, too, by now", bad, "v=steer1; check=nothing", 3, steer.Normal},
		{"a failover that can't be", failing, "", 0, steer.NoWriter},
		{"a failover that can't be, and one before", failing, "v=steer1; policy=failover; order=192.0.2.2,192.0.2.1", 1, steer.Normal},
		{"of a later version", newer, "", 1, steer.Normal},
		{"of a later version, and not to be ignored", must, "", 3, steer.Normal},
		{"a check that is missing", missing, "", 3, steer.Normal},
		{"a site that is broken", good + badSite, "", 1, steer.Normal},
		{"without records", good + sleeping, "", 1, steer.Normal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := steer.Options{Lenient: true, Rankings: noWorld(t), Last: func(owner []byte) string {
				if string(owner) == "\x03www" {
					return tt.last
				}
				return ""
			}}
			z := zoneOf(t, base+tt.text)
			program, problems := steer.Compile(z, o)
			if program == nil {
				t.Fatalf("there is no program: %v", problems)
			}
			if slices.ContainsFunc(problems, func(p steer.Problem) bool { return !p.Warning }) {
				t.Errorf("there are problems that are no warnings: %v", problems)
			}
			if clean := tt.name == "good"; clean != (len(problems) == 0) {
				t.Errorf("problems: %v", problems)
			}
			x := &cluster{z, program, steer.NewChooser(), steer.Moment{Bound: &steer.Bound{Program: program}}}
			got, stage := x.answered(t, "www")
			if got != tt.want || stage != tt.stage {
				t.Errorf("www is answered %d addresses, %s; want %d, %s", got, stage, tt.want, tt.stage)
			}
			if got, _ := x.answered(t, "db"); got != 2 {
				t.Errorf("db is answered %d addresses, want 2", got)
			}
		})
	}
}

// answered is how many addresses of a name are answered: all, if it has no policy.
func (c *cluster) answered(t *testing.T, name string) (int, steer.Stage) {
	t.Helper()
	all := len(c.addrs(t, name, steer.V4))
	r := c.program.Find(c.zone.Hash(relative(name)), relative(name), typeOf(steer.V4))
	if r == nil {
		return all, steer.Normal
	}
	c.chooser.Reset()
	res := c.chooser.Address(&c.moment, r, steer.V4, nil)
	if res.Pick == nil && res.Stage == steer.Normal {
		return all, res.Stage
	}
	return len(res.Pick), res.Stage
}
