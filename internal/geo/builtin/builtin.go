// Package builtin owns the world that the program carries, so that geography
// works without a database: which country each address is in, of the whole
// Internet, and the format of the file in which this is embedded.
//
// Invariant: the file says when its data were made, where they come from and
// under which licence, and its ranges are disjoint and in order; a file of
// which this isn't true is refused as a whole.
package builtin

import (
	_ "embed"
	"time"

	"geodns/internal/geo"
)

// The file is made of what Debian's package tor-geoipdb brings: make world.
//go:generate go run geodns/internal/geo/builtin/mkworld -o world.bin /usr/share/tor/geoip /usr/share/tor/geoip6

//go:embed world.bin
var world string

// Info is what there is to say of the data.
type Info struct {
	Date    time.Time `json:"date"`    // when they were made
	Source  string    `json:"source"`  // by whom, from what
	Licence string    `json:"licence"` // its name
}

// staleAfter is how old the data may be. Networks move from country to country
// by some percent a year.
const staleAfter = 365 * 24 * time.Hour

// Stale reports whether the data are so old that somebody should be told.
func (i Info) Stale(now time.Time) bool { return now.Sub(i.Date) > staleAfter }

// About reads what is to say of the built-in world, and not the world itself.
func About() (Info, error) {
	info, _, err := readHead([]byte(world))
	return info, err
}

// World is the built-in world in the form that geo.Options.BuiltIn wants. It
// is unpacked anew at each call, into some 2 MiB, that live as long as Ranges.
func World() (geo.World, error) { return decode([]byte(world)) }
