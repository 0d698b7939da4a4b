package converge

import (
	"time"

	"geodns/internal/wire"
)

// zoneState is a zone whose copies are watched. apex is not written to.
type zoneState struct {
	apex []byte
	// versions are those that some peer may lack, the oldest first. The last is
	// the one that is served here; there always is one.
	versions []version
	pairs    []*pair
}

// version is one version, or several that are taken together: then serial is
// the newest one's, and at the time of the oldest.
type version struct {
	serial uint32
	at     time.Time // when it was served here
}

func (z *zoneState) serial() uint32 { return z.versions[len(z.versions)-1].serial }

// has reports whether who serves a version has another one, too, in the order of
// RFC 1982.
func has(serial, want uint32) bool { return serial == want || wire.NewerSerial(serial, want) }

// append notes a version that is served since now. Serials go back only by hand;
// then what was before is no measure any more.
func (z *zoneState) append(serial uint32, now time.Time) {
	if n := len(z.versions); n > 0 && !wire.NewerSerial(serial, z.versions[n-1].serial) {
		z.versions = z.versions[:0]
	}
	if len(z.versions) == maxVersions {
		for i := range maxVersions / 2 {
			z.versions[i] = version{serial: z.versions[2*i+1].serial, at: z.versions[2*i].at}
		}
		z.versions = z.versions[:maxVersions/2]
	}
	z.versions = append(z.versions, version{serial: serial, at: now})
}

// since is since when who serves a version lacks one; the zero time: it doesn't.
func (z *zoneState) since(serial uint32) time.Time {
	for _, v := range z.versions {
		if !has(serial, v.serial) {
			return v.at
		}
	}
	return time.Time{}
}

// prune forgets the versions that no peer lacks.
func (z *zoneState) prune() {
	if len(z.versions) == 1 {
		return
	}
	for _, p := range z.pairs {
		if !p.lacks.IsZero() {
			return
		}
	}
	z.versions = append([]version(nil), z.versions[len(z.versions)-1])
}

// pair is a zone at a peer.
type pair struct {
	item
	zone *zoneState
	peer *peerState
	key  string

	// known: the peer has told that it serves serial.
	known  bool
	serial uint32
	// lacks is since when it lacks a version, as far as is known; missing since
	// when it answers that it has no copy at all; ahead since when it serves a
	// version that is newer than ours. Zero: it doesn't.
	lacks, missing, ahead time.Time
	// measured: lacks is when the version was published, and the peer was to have
	// it from then on.
	measured bool
	reason   string // what is wrong with its last answer; "": nothing
	pause    time.Duration
	returned time.Time // see Options.Returned: the return that it has heard of

	ringAt  int // in Watcher.ring
	queued  bool
	running bool
	gone    bool
}

// wanting reports whether it is asked again without waiting for the sweep.
func (p *pair) wanting() bool {
	return !p.known || !p.lacks.IsZero() || !p.missing.IsZero() || p.reason != ""
}

// behind is since when the peer lacks a version, or the zone; zero: it doesn't.
func (p *pair) behind() time.Time {
	if p.lacks.IsZero() || !p.missing.IsZero() && p.missing.Before(p.lacks) {
		return p.missing
	}
	return p.lacks
}

// published notes that the zone has a new version since now. fresh: it has just
// been made, so that how long it takes to arrive can be measured.
func (p *pair) published(fresh bool, now time.Time) {
	if p.known && has(p.serial, p.zone.serial()) {
		// It has fetched it before we heard of it.
		p.lacks = time.Time{}
		p.compare(now)
		return
	}
	p.ahead = time.Time{}
	if fresh && p.lacks.IsZero() {
		p.lacks, p.measured = now, true
	}
}

// told takes note of the version that the peer serves. took is how long it had
// lacked one that it has now; zero: that is nothing new, or not known.
func (p *pair) told(serial uint32, now time.Time) (took time.Duration, progress bool) {
	was := p.lacks
	p.known, p.serial, p.missing, p.reason = true, serial, time.Time{}, ""
	p.lacks = p.zone.since(serial)
	progress = !was.IsZero() && (p.lacks.IsZero() || p.lacks.After(was))
	if progress && p.measured {
		took = now.Sub(was)
	}
	if was.IsZero() && !p.lacks.IsZero() {
		p.measured = false // the sweep found that out
	} else if progress {
		p.measured = true // what it lacks now was published meanwhile
	}
	p.compare(now)
	p.zone.prune()
	return took, progress
}

// lost notes that the peer answers that it has no copy.
func (p *pair) lost(why string, now time.Time) {
	if p.missing.IsZero() {
		p.missing = now
	}
	p.known, p.ahead, p.reason = false, time.Time{}, why
}

// compare finds out whether the peer serves what we don't.
func (p *pair) compare(now time.Time) {
	switch {
	case !wire.NewerSerial(p.serial, p.zone.serial()):
		p.ahead = time.Time{}
	case p.ahead.IsZero():
		p.ahead = now
	}
}

// item is what becomes due: a pair, or a peer that was left alone.
type item struct {
	at    time.Time
	index int // in the agenda, from 1; 0: it is not in it
	pair  *pair
	peer  *peerState
}
