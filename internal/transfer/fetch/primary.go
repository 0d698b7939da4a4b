package fetch

import (
	"crypto/tls"
	"net/netip"
	"time"

	"geodns/internal/tsig"
	"geodns/internal/zone"
)

// Primary is a server that a zone is fetched from.
type Primary struct {
	Addr netip.AddrPort
	// Key is the name of the key that signs what is asked (as tsig.Key.Name);
	// empty: nothing is signed.
	Key string
	// TLS is for transfers over TLS (RFC 9103), where the serial is asked for
	// over TLS too; nil: plain UDP and TCP. It is not changed. Its ServerName,
	// RootCAs or VerifyConnection say whom to believe.
	TLS *tls.Config
	// Source is the address to ask from; the zero Addr: the system chooses.
	Source netip.Addr
}

// The bounds of a transfer where Options say nothing else.
const (
	DefaultMaxRecords = 20_000_000
	DefaultMaxOctets  = 1 << 30
	DefaultMaxChanges = 64 << 20
	DefaultTimeout    = 2 * time.Hour
	DefaultStall      = 30 * time.Second
	DefaultMinRate    = 512
)

// Options are the bounds of a transfer. Zero values mean the defaults.
type Options struct {
	Keys *tsig.Keyring // those that Primary.Key can name

	// MaxRecords is how many records may come, those of the other versions in
	// an IXFR counted too.
	MaxRecords int
	// MaxOctets is how many octets may come, with all names written out: it
	// bounds what is read and what is kept.
	MaxOctets int64
	// MaxChanges is how many octets of memory the changes of an IXFR may take;
	// more: the zone is fetched whole.
	MaxChanges int64

	// Timeout is for all of it. The deadline of the context holds too.
	Timeout time.Duration
	// Stall is over how long the rate is measured: who sends less than Stall
	// times MinRate octets in it has stalled. So nobody is waited for longer.
	Stall time.Duration
	// MinRate is in octets a second.
	MinRate int
}

func (o Options) withDefaults() Options {
	if o.MaxRecords <= 0 {
		o.MaxRecords = DefaultMaxRecords
	}
	if o.MaxOctets <= 0 {
		o.MaxOctets = DefaultMaxOctets
	}
	if o.MaxChanges <= 0 {
		o.MaxChanges = DefaultMaxChanges
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Stall <= 0 {
		o.Stall = DefaultStall
	}
	if o.MinRate <= 0 {
		o.MinRate = DefaultMinRate
	}
	return o
}

// The ways by which a zone comes, for Got.Kind.
const (
	KindAXFR = "AXFR"
	KindIXFR = "IXFR"
	// KindSOA: nothing came but the SOA, which is not newer.
	KindSOA = "SOA"
)

// Got is what a transfer brought.
type Got struct {
	// UpToDate: the primary has nothing newer (RFC 1982); Serial says what it
	// has, Zone is what was there, and there are no Changes.
	UpToDate bool
	Serial   uint32
	// Zone is the whole new version, whichever way it came.
	Zone *zone.Zone
	// Changes lead from the version that was there to Zone, in their order, if
	// they came by IXFR.
	Changes []*zone.Changeset
	// Octets is how many came from the primary, headers of TCP and IP left out
	// and those of TLS counted; Messages how many DNS messages they were, both
	// with those of an attempt that was given up.
	Octets   int64
	Messages int
	Records  int
	Kind     string
	// Fallback is why an IXFR was given up, so that the zone came by AXFR; nil
	// if it wasn't.
	Fallback error
}
