package drill

import (
	"context"
	"net/netip"
	"sync/atomic"
)

// How says what becomes of the probes of a site that is lost.
type How string

// A link that is cut swallows packets, so that a probe ends with its timeout;
// behind one that is switched off in an orderly way they are refused at once.
const (
	HowTimeout How = "timeout"
	HowRefused How = "refused"
)

// Loss stands before the probes. The zero Loss loses nothing.
type Loss struct {
	now    atomic.Pointer[lost]
	before atomic.Pointer[lost] // see Touched
}

// lost is what is lost at the moment.
type lost struct {
	site string
	how  How
	// addrs are the targets that were known when it began: true: lost. What is
	// named later goes by the prefixes, the longest first.
	addrs map[netip.Addr]bool
	nets  []siteNet
	over  chan struct{} // closed when it is over
	kept  atomic.Uint64 // probes that were not sent
}

// siteNet is a prefix of a site.
type siteNet struct {
	prefix netip.Prefix
	lost   bool
}

func (l *lost) holds(a netip.Addr) bool {
	if away, known := l.addrs[a]; known {
		return away
	}
	best, away := -1, false
	for _, n := range l.nets {
		if n.prefix.Contains(a) && n.prefix.Bits() > best {
			best, away = n.prefix.Bits(), n.lost
		}
	}
	return away
}

// Lost reports whether an address can't be reached because of a drill.
func (l *Loss) Lost(a netip.Addr) bool {
	now := l.now.Load()
	return now != nil && now.holds(a)
}

// Touched reports whether the verdict on an address may still be a drill's work,
// although that is over: it must not outlive the process.
func (l *Loss) Touched(a netip.Addr) bool {
	x := l.before.Load()
	return x != nil && x.holds(a)
}

// Result is what becomes of a probe that is not sent.
type Result struct {
	Reason string
	// Over: the drill ended while the probe was waiting, which tells nothing of
	// its target.
	Over bool
}

// Meets stands in for a probe of an address. lost: the address is lost, nothing
// may be sent to it, and r is what came of the probe, after as long as that
// would have taken: ctx ends with the probe's timeout.
func (l *Loss) Meets(ctx context.Context, a netip.Addr) (r Result, lost bool) {
	now := l.now.Load()
	if now == nil || !now.holds(a) {
		return r, false
	}
	now.kept.Add(1)
	r.Reason = "drill: " + now.site + " is lost"
	if now.how == HowTimeout {
		select {
		case <-ctx.Done():
		case <-now.over:
			return Result{Reason: "drill: " + now.site + " is no longer lost", Over: true}, true
		}
	}
	return r, true
}

// begin loses something; false: something is lost already.
func (l *Loss) begin(x *lost) bool {
	x.over = make(chan struct{})
	if !l.now.CompareAndSwap(nil, x) {
		return false
	}
	l.before.Store(x)
	return true
}

// forget says that all verdicts are again what real probes made of them.
func (l *Loss) forget() { l.before.Store(nil) }

// finish puts it back.
func (l *Loss) finish(x *lost) {
	if l.now.CompareAndSwap(x, nil) {
		close(x.over)
	}
}

// lose is what a scene loses.
func (s *scene) lose(how How) *lost {
	x := &lost{site: s.site.Name, how: how, addrs: map[netip.Addr]bool{}}
	for _, st := range s.zones {
		if !st.loss.Any() {
			continue
		}
		for i, away := range st.loss.Targets {
			a := st.before.Targets[i].Addr
			x.addrs[a] = x.addrs[a] || away
		}
		for i := range st.before.Sites {
			for _, n := range st.before.Sites[i].Nets {
				x.nets = append(x.nets, siteNet{n, st.loss.Sites[i]})
			}
		}
	}
	return x
}
