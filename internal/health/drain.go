package health

import (
	"slices"
	"strings"
	"time"
)

// Drain is an operator's word that a site or a node shall get no new clients,
// whatever its verdict. It lies over the verdicts and never changes them.
type Drain struct {
	// Zone is the name, with its final dot, of the zone that declares the site
	// or node; "": of all zones.
	Zone string `json:"zone,omitempty"`
	// Name is its label in lower case.
	Name string `json:"name"`
	// From and Until bound it; a zero Until: until it is taken back.
	From   time.Time `json:"from"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Active reports whether the drain is in force.
func (d *Drain) Active(at time.Time) bool {
	return !at.Before(d.From) && (d.Until.IsZero() || at.Before(d.Until))
}

// Over reports whether the drain has ended.
func (d *Drain) Over(at time.Time) bool { return !d.Until.IsZero() && !at.Before(d.Until) }

// Covers reports whether the drain is about a site or node of a zone.
func (d *Drain) Covers(zone, name string) bool {
	return d.Name == name && (d.Zone == "" || strings.EqualFold(d.Zone, zone))
}

// Drains are all that are known, in the order of their names. They never
// change.
type Drains []Drain

// With returns the drains with one more, which replaces one of the same name
// and zone.
func (l Drains) With(d Drain) Drains {
	out := append(l.Without(d.Zone, d.Name), d)
	slices.SortStableFunc(out, func(a, b Drain) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Zone, b.Zone)
	})
	return out
}

// Without returns the drains without that of a name. zone "" means all zones'.
func (l Drains) Without(zone, name string) Drains {
	return slices.DeleteFunc(slices.Clone(l), func(d Drain) bool {
		return d.Name == name && (zone == "" || strings.EqualFold(d.Zone, zone))
	})
}

// Covers reports whether a site or node is drained at a time.
func (l Drains) Covers(zone, name string, at time.Time) bool {
	for i := range l {
		if l[i].Active(at) && l[i].Covers(zone, name) {
			return true
		}
	}
	return false
}

// Next is when some drain begins or ends after a time; zero: none does.
func (l Drains) Next(after time.Time) (next time.Time) {
	for i := range l {
		for _, t := range [...]time.Time{l[i].From, l[i].Until} {
			if t.After(after) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}

// Turn is when, after a time, a site or node will be drained that is not, or no
// longer be; zero: never.
func (l Drains) Turn(zone, name string, after time.Time) (first time.Time) {
	now := l.Covers(zone, name, after)
	for i := range l {
		if !l[i].Covers(zone, name) {
			continue
		}
		for _, t := range [...]time.Time{l[i].From, l[i].Until} {
			if t.After(after) && (first.IsZero() || t.Before(first)) && l.Covers(zone, name, t) != now {
				first = t
			}
		}
	}
	return first
}
