package steer

import (
	"cmp"
	"math"
	"slices"

	"geodns/internal/geo/place"
)

// Client is the address for which an answer is chosen: what EDNS Client Subnet
// (RFC 7871) says, or the packet's source.
type Client struct {
	V4 bool
	// Hi and Lo are the address, with zeros for what is not known; of an IPv4
	// address, the low half of Lo.
	Hi, Lo uint64
}

// Family is that of an address record.
type Family uint8

// The families.
const (
	V4 Family = iota
	V6
	families = 2
)

// SiteID is a site's place in a rule's own list.
type SiteID = uint16

// NoSite stands for no site.
const NoSite SiteID = math.MaxUint16

// nearSites is how many sites of a ranking are computed for each class of
// clients. Who needs one beyond them is ranked anew, by place.
const nearSites = 8

// rankedSite is what a ranking knows of a site.
type rankedSite struct {
	placed       bool
	at           vector
	subdivisions []string // "US-CA"
	countries    []string
	asns         []uint32
	continents   []string
}

// override sends a country to a site, whatever the sites say.
type override struct {
	country string
	site    SiteID
}

// Ranking orders a set of sites for every client, by the words of the sites
// (subdivision, country, network, continent) and then by distance. What orders
// there are is computed when the zone is loaded; a query only looks up its own.
type Ranking struct {
	sites     []rankedSite
	overrides []override
	table     *place.Table
	base      *place.View // class: place

	view   *place.View // class: order; nil: ranked for each query
	stride int
	orders []SiteID // stride a class; class 0 is of unknown place
}

// vector is a unit vector from the centre of the Earth.
type vector struct{ x, y, z float64 }

func vectorOf(lat, lon float64) vector {
	lat, lon = lat*math.Pi/180, lon*math.Pi/180
	c := math.Cos(lat)
	return vector{c * math.Cos(lon), c * math.Sin(lon), math.Sin(lat)}
}

// dot is the cosine of the angle between two points: the greater the nearer.
func (a vector) dot(b vector) float64 { return a.x*b.x + a.y*b.y + a.z*b.z }

// rank is how well a site suits a place: the lower class first, then the
// nearer.
type rank struct {
	site  SiteID
	class uint8
	near  float64
}

// nowhere is farther than any place: of several sites that name a client's
// country, say, those without a place come last.
const nowhere = -2

// The classes, in the design's order.
const (
	byOverride uint8 = iota
	bySubdivision
	byCountry
	byASN
	byContinent
	byDistance
	byNothing // has no place, or the client has none
)

func (r *Ranking) classOf(s *rankedSite, id SiteID, p *place.Place) uint8 {
	for i := range r.overrides {
		if o := &r.overrides[i]; o.site == id && o.country == p.Country {
			return byOverride
		}
	}
	switch {
	case p.Subdivision != "" && slices.ContainsFunc(s.subdivisions, func(n string) bool { return isSubdivision(n, p) }):
		return bySubdivision
	case p.Country != "" && slices.Contains(s.countries, p.Country):
		return byCountry
	case p.ASN != 0 && slices.Contains(s.asns, p.ASN):
		return byASN
	case p.Continent != "" && slices.Contains(s.continents, p.Continent):
		return byContinent
	case s.placed && p.Located:
		return byDistance
	}
	return byNothing
}

// isSubdivision compares "US-CA" with a place's country and subdivision.
func isSubdivision(name string, p *place.Place) bool {
	n := len(p.Country)
	return len(name) == n+1+len(p.Subdivision) && name[:n] == p.Country && name[n] == '-' && name[n+1:] == p.Subdivision
}

// rate appends how each site suits a place to dst, in the sites' order. known
// is false if nothing speaks for any.
func (r *Ranking) rate(dst []rank, p *place.Place) (ranks []rank, known bool) {
	var at vector
	if p.Located {
		at = vectorOf(p.Lat, p.Lon)
	}
	for i := range r.sites {
		s := &r.sites[i]
		k := rank{site: SiteID(i), class: r.classOf(s, SiteID(i), p), near: nowhere}
		if s.placed && p.Located {
			k.near = at.dot(s.at)
		}
		known = known || k.class < byNothing
		dst = append(dst, k)
	}
	return dst, known
}

func better(a, b rank) int {
	if c := cmp.Compare(a.class, b.class); c != 0 {
		return c
	}
	if c := cmp.Compare(b.near, a.near); c != 0 {
		return c
	}
	return cmp.Compare(a.site, b.site)
}

// newRanking computes the orders of all places, unless it is lazy.
func newRanking(sites []rankedSite, overrides []override, table *place.Table, base *place.View, lazy bool) *Ranking {
	r := &Ranking{sites: sites, overrides: overrides, table: table, base: base, stride: min(len(sites), nearSites)}
	if !lazy {
		r.compute()
	}
	return r
}

// compute fills in the view. Places of the same order are one class.
func (r *Ranking) compute() {
	classes := make([]uint32, r.table.Len())
	known := map[string]uint32{}
	r.orders = make([]SiteID, r.stride) // class 0
	for i := range r.orders {
		r.orders[i] = NoSite
	}
	var ranks []rank
	key := make([]byte, 0, 2*nearSites)
	for i, place := range r.table.Each() {
		var ok bool
		if ranks, ok = r.rate(ranks[:0], &place); !ok {
			continue // class 0
		}
		nearest(ranks, r.stride)
		key = key[:0]
		for _, k := range ranks[:r.stride] {
			key = append(key, byte(k.site), byte(k.site>>8))
		}
		class, have := known[string(key)]
		if !have {
			class = uint32(len(r.orders) / r.stride)
			known[string(key)] = class
			for _, k := range ranks[:r.stride] {
				r.orders = append(r.orders, k.site)
			}
		}
		classes[i] = class
	}
	r.view = r.table.View(classes)
}

// nearest brings the n best to the front, in order: for few of many that is
// cheaper than to sort all.
func nearest(ranks []rank, n int) {
	if n >= len(ranks)/2 {
		slices.SortFunc(ranks, better)
		return
	}
	for i := range n {
		best := i
		for j := i + 1; j < len(ranks); j++ {
			if better(ranks[j], ranks[best]) < 0 {
				best = j
			}
		}
		ranks[i], ranks[best] = ranks[best], ranks[i]
	}
}

// order returns the sites for a client, best first, and the scope for which
// that is so. None: nothing is known of where the client is. The result may
// end before the last site: see rest. Scratch has room for all sites.
func (r *Ranking) order(c *Client, scratch *scratch) (order []SiteID, scope uint8) {
	if r.view == nil {
		return r.rest(c, scratch)
	}
	class, scope := find(r.view, c)
	if class == 0 {
		return nil, scope
	}
	return r.orders[int(class)*r.stride:][:r.stride], scope
}

// rest is order with all sites, and the scope of the client's place.
func (r *Ranking) rest(c *Client, scratch *scratch) (order []SiteID, scope uint8) {
	place, scope := find(r.base, c)
	scratch.place = r.table.Place(place)
	ranks, ok := r.rate(scratch.ranks[:0], &scratch.place)
	if !ok {
		return nil, scope
	}
	slices.SortFunc(ranks, better)
	order = scratch.order[:0]
	for i := range ranks {
		order = append(order, ranks[i].site)
	}
	return order, scope
}

// scratch is what ranking one client anew needs.
type scratch struct {
	ranks [MaxSites]rank
	order [MaxSites]SiteID
	place place.Place
}

func find(v *place.View, c *Client) (class uint32, scope uint8) {
	if c.V4 {
		return v.Find4(uint32(c.Lo))
	}
	return v.Find6(c.Hi, c.Lo)
}
