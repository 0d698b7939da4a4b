package steer

import (
	"fmt"
	"strings"
	"sync"
	"weak"

	"geodns/internal/geo/place"
)

// maxViews is how many sets of sites have their orders computed for all the
// world beforehand; more than that are ranked for each query. That takes a
// query some tens of nanoseconds more, while a set takes memory and, when the
// database changes, time.
const maxViews = 256

// Rankings makes the rankings of one place.Table, each set of sites once.
type Rankings struct {
	load  func() *place.Table
	table *place.Table
	base  *place.View

	mu   sync.Mutex
	made map[string]weak.Pointer[Ranking]
}

// NewRankings returns a Rankings for a table, which is loaded when the first
// policy needs it: servers of plain zones never do.
func NewRankings(load func() *place.Table) *Rankings {
	return &Rankings{load: load, made: map[string]weak.Pointer[Ranking]{}}
}

// Table is the geography that is ranked by.
func (k *Rankings) Table() *place.Table {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ready()
	return k.table
}

// ready loads the table. k.mu is held.
func (k *Rankings) ready() {
	if k.table != nil {
		return
	}
	k.table = k.load()
	k.base = k.table.ByPlace()
}

// get returns the ranking of some sites, made now or in use already.
func (k *Rankings) get(sites []rankedSite, overrides []override) *Ranking {
	key := rankingKey(sites, overrides)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ready()
	if r := k.made[key].Value(); r != nil {
		return r
	}
	for old, p := range k.made {
		if p.Value() == nil {
			delete(k.made, old)
		}
	}
	r := newRanking(sites, overrides, k.table, k.base, len(k.made) >= maxViews)
	k.made[key] = weak.Make(r)
	return r
}

// rankingKey is all that a ranking depends on.
func rankingKey(sites []rankedSite, overrides []override) string {
	var b strings.Builder
	for i := range sites {
		s := &sites[i]
		fmt.Fprintf(&b, "%t %v %v %v %v %v|", s.placed, s.at, s.subdivisions, s.countries, s.asns, s.continents)
	}
	fmt.Fprint(&b, overrides)
	return b.String()
}
