// Package geo reads where addresses are. It owns the sources of geography: a
// database in MaxMind's format, the operator's own networks, and the form of
// the world that the program carries. What they say is flattened at load into a
// place.Table, which answers without this package.
//
// What holds: a source that can't be read, or that breaks a rule, is refused as
// a whole, with a message that names the place and the remedy; what was loaded
// before stays. The longest prefix of the own networks wins over all else.
package geo

import "geodns/internal/geo/place"

// What is loaded has its home in package place; who loads has it here as well.
type (
	Place  = place.Place
	Source = place.Source
	Table  = place.Table
	View   = place.View
	Info   = place.Info
)

// The sources.
const (
	Nowhere  = place.Nowhere
	Networks = place.Networks
	Database = place.Database
	BuiltIn  = place.BuiltIn
)
