package refresh

import (
	"math/rand/v2"
	"time"

	"geodns/internal/transfer/fetch"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

const (
	// jitter is how much earlier than said a zone may be refreshed, as a part
	// of the time, so that many zones do not come due at once for ever.
	jitter = 0.1
	// spread is how far apart the first questions for zones stand that are
	// added at once.
	spread = 10 * time.Millisecond
	// notifyGap is the least time between the beginnings of two rounds that
	// NOTIFYs cause.
	notifyGap = 100 * time.Millisecond
	// firstRetry is after how long a zone of which there is no copy is asked
	// for again; each time it doubles, up to mostRetry.
	firstRetry = 2 * time.Second
	mostRetry  = 10 * time.Minute
	// trip is how many zones in a row a primary must leave without an answer to
	// count as dead.
	trip = 3
	// firstBackOff is how long a dead primary is left alone; each time it
	// doubles, up to mostBackOff: so short that a site that was cut off has what it
	// lacks a few seconds after its return. One question at a time costs nothing.
	firstBackOff = time.Second
	mostBackOff  = 2 * time.Second
	// pulse is how often those are asked that must be heard, pulseWait how long an
	// answer may take them, which is enough to try TCP, and pulseRetry when they are
	// asked again after there was none.
	pulse      = 2 * time.Second
	pulseWait  = 4 * time.Second
	pulseRetry = time.Second
	// busy is when an expiry that cannot be done now is tried again.
	busy = 100 * time.Millisecond
)

// times are a SOA's, bounded.
type times struct{ refresh, retry, expire time.Duration }

// timesOf reads them out of a zone.
func (o *Options) timesOf(z *zone.Zone) times {
	set, _ := z.ApexNode().Set(wire.TypeSOA)
	data, _, _ := wire.NextRecord(set.Records)
	soa, _ := fetch.ParseSOA(data)
	t := times{
		refresh: o.bounded(seconds(soa.Refresh)),
		retry:   o.bounded(seconds(soa.Retry)),
		expire:  seconds(soa.Expire),
	}
	// A copy that expires before it can have been refreshed is of no use: that
	// is a mistake in the zone.
	t.expire = max(t.expire, t.refresh+t.retry)
	return t
}

func (o *Options) bounded(d time.Duration) time.Duration { return min(max(d, o.Min), o.Max) }

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

// early is a duration, or up to a tenth less.
func early(d time.Duration) time.Duration {
	return d - time.Duration(rand.Float64()*jitter*float64(d))
}

// doubled is first, doubled n times, at most most.
func doubled(first, most time.Duration, n int) time.Duration {
	for ; n > 0 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}

// expiry is when a copy expires that a primary gives or confirms now. The
// primary's own copy may be old: RFC 7314 4 has its remaining time instead of
// the SOA's; where it confirms a copy that expires later than that, the later
// time holds.
func expiry(now, before time.Time, t *times, seen *fetch.Seen, confirmed bool) time.Time {
	at := now.Add(t.expire)
	if seen == nil || !seen.HasExpire {
		return at
	}
	if rest := now.Add(seconds(seen.Expire)); rest.Before(at) {
		at = rest
		if confirmed && before.After(at) {
			at = before
		}
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
