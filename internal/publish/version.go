package publish

import (
	"time"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// Origin says how a version of a zone came to be.
type Origin string

// The origins.
const (
	FromFile     Origin = "file"
	FromTransfer Origin = "transfer"
	FromUpdate   Origin = "update"
	FromCommand  Origin = "command" // drains and the like, as _state records
)

// Version is one step in the history of a zone: from a serial to the next.
type Version struct {
	From, To uint32
	At       time.Time
	Origin   Origin
	// By is who made it: a key, a peer or a file; Note is a word about it.
	By, Note string
	// Changes hold the old and the new SOA too.
	Changes *zone.Changeset
}

// Source tells what files a version was made of: a hash; 0: not of files.
type Source uint64

// Versions keeps what was served beyond the end of the process. Its methods may
// be called from any goroutine, but for one zone by one at a time.
type Versions interface {
	// Last is the newest version that is kept of a zone; false: none is known.
	Last(apex []byte) (serial uint32, source Source, ok bool)
	// Keep adds versions behind the last one, and returns when they are safe. If
	// they don't follow it, history begins anew with them.
	Keep(apex []byte, source Source, list []Version) error
	// KeepWhole keeps a zone as a whole: what led to it is forgotten, unless
	// history is to stay.
	KeepWhole(z *zone.Zone, source Source, v Version) error
	// Seed is what a zone's file said when it was last merged into a zone that
	// takes updates, nil if it never was; KeepSeed replaces it.
	Seed(apex []byte) (*zone.Zone, error)
	KeepSeed(file *zone.Zone, source Source) error
}

// State are the records under _state that the commands in force make in a zone
// with some steering, which may be nil; in no order.
type State func(z *zone.Zone, program *steer.Program) []wire.RR
