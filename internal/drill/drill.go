// Package drill owns rehearsals of the loss of a site: the forecast of where
// answers would go (Plan), the loss itself, which makes the probes of the site
// fail and nothing else (Loss), and what was measured while it lasted (Runner).
//
// Invariant: a drill changes results of probes alone. Verdicts, answers and TTLs
// follow by the code that serves, as they would if the site's link were cut; a
// Plan changes nothing at all. There is one drill at a time, it ends by itself,
// and no trace of it outlives the process.
package drill

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"geodns/internal/steer"
	"geodns/internal/world"
)

// Site names what is lost: the sites of a label, in all zones or in one.
type Site struct {
	Name string // in lower case
	Zone string // that declares it, with its final dot; "": all zones
}

// NewSite is a Site as people write it.
func NewSite(name, zone string) (Site, error) {
	if name == "" {
		return Site{}, errors.New("which site? name one with --lose, such as lon; geodns status lists them")
	}
	s := Site{Name: strings.ToLower(name), Zone: strings.ToLower(zone)}
	if s.Zone != "" && !strings.HasSuffix(s.Zone, ".") {
		s.Zone += "."
	}
	return s, nil
}

func (s *Site) covers(zone, name string) bool {
	return name == s.Name && (s.Zone == "" || strings.EqualFold(zone, s.Zone))
}

// Whence is what both forecast and drill look at.
type Whence struct {
	World *world.World
	// Refused says which addresses are not probed, although a zone names them;
	// own: a record of the zone answers them.
	Refused func(a netip.Addr, own bool) bool
	Now     time.Time
}

func (w *Whence) refused(t *steer.Target) bool { return w.Refused(t.Addr, t.Own) }

// maxTold is how many names an error lists.
const maxTold = 8

// unknown is the error for a site that no policy uses.
func (s *Site) unknown(w *world.World) error {
	var elsewhere, all []string
	w.Zones.Each(func(z *world.Served) bool {
		if z.Steering == nil {
			return true
		}
		for i := range z.Steering.Sites {
			x := &z.Steering.Sites[i]
			if x.Name == s.Name && !slices.Contains(elsewhere, x.Zone) {
				elsewhere = append(elsewhere, x.Zone)
			}
			if text := x.Name + " (" + x.Zone + ")"; !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
		return true
	})
	slices.Sort(elsewhere)
	slices.Sort(all)
	switch {
	case len(elsewhere) > 0:
		return fmt.Errorf("the zone %s has no site %q that a policy uses; %s has it", s.Zone, s.Name, told(elsewhere))
	case len(all) == 0:
		return fmt.Errorf("there is no site %q: no zone that is served has policies with sites", s.Name)
	}
	return fmt.Errorf("there is no site %q that a policy uses; there are %s", s.Name, told(all))
}

func told(names []string) string {
	if n := len(names); n > maxTold {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxTold], ", "), n-maxTold)
	}
	return strings.Join(names, ", ")
}
