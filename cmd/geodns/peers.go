package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/transfer/converge"
	"geodns/internal/wire"
)

// maxPeerZones is how many zones of a secondary are listed that are not in sync.
const maxPeerZones = 20

// peerPatience is how long a secondary may lack a version, or be silent, until
// that is a failure.
const peerPatience = time.Minute

const peersHelp = `With --peers it tells instead how far the secondaries are that are notified: how
many zones each has as they are here, how many it lacks a version of, for how long
(the lag), and how long versions took to arrive. It is known by asking them for
their SOA: after each change until they have it, and once in some minutes anyway.
The exit code is then 1 if a secondary has been behind, or silent, for more than a
minute; what is behind for less is on its way.`

// peers prints how far the secondaries are.
func (r *remote) peers(cmd *cobra.Command, client *control.Client, all bool) error {
	ctx, cancel := r.ctx(cmd, readPatience)
	defer cancel()
	p, err := client.Peers(ctx, all)
	if err != nil {
		return err
	}
	out, now := cmd.OutOrStdout(), time.Now()
	if r.output == "json" {
		err = encode(out, p)
	} else {
		err = peersText(out, &p, now, colours(out))
	}
	if err == nil && peersLate(&p, now) {
		return errReported
	}
	return err
}

// peersLate reports whether a secondary is behind, or silent, for too long.
func peersLate(p *control.Peers, now time.Time) bool {
	for i := range p.Peers {
		one := &p.Peers[i]
		if one.LagSeconds > peerPatience.Seconds() || !one.Silent.IsZero() && now.Sub(one.Silent) > peerPatience {
			return true
		}
	}
	return false
}

// peersText prints it for eyes.
func peersText(out io.Writer, p *control.Peers, now time.Time, colour bool) error {
	w := &errWriter{w: out}
	if len(p.Peers) == 0 {
		w.printf("no secondaries: transfer.notify in the configuration names none, nor do NS records of zones that anybody may transfer\n")
		return w.err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w.w = t
	w.printf("SECONDARY\tZONES\tIN SYNC\tBEHIND\tLAG\tLAST TOOK\tP50\tP99\tSTATE\n")
	for i := range p.Peers {
		one := &p.Peers[i]
		took, p50, p99 := "-", "-", "-"
		if c := &one.Convergence; !c.At.IsZero() {
			took = fmt.Sprintf("%s, %s ago", secondsText(c.Seconds), age(now.Sub(c.At)))
			p50, p99 = secondsText(c.P50), secondsText(c.P99)
		}
		w.printf("%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", printable(one.Address), one.Zones, one.InSync, one.Behind,
			lagText(one.LagSeconds), took, p50, p99, peerText(one, now, colour))
	}
	if w.err == nil {
		w.err = t.Flush()
	}
	w.w = out
	for i := range p.Peers {
		peerList(w, &p.Peers[i], now, colour)
	}
	w.printf("\n%s watched; each is asked at least once in %s\n", copiesText(p.Pairs), age(time.Duration(p.SweepSeconds*float64(time.Second)+0.5e9)))
	return w.err
}

func copiesText(n int) string {
	if n == 1 {
		return "1 copy is"
	}
	return fmt.Sprintf("%d copies are", n)
}

func secondsText(s float64) string {
	if s < 60 {
		return fmt.Sprintf("%.1fs", s)
	}
	return age(time.Duration(s * float64(time.Second)))
}

func lagText(s float64) string {
	if s <= 0 {
		return "-"
	}
	return secondsText(s)
}

// peerText is how a secondary is, in few words.
func peerText(p *control.Peer, now time.Time, colour bool) string {
	silent := ""
	if !p.Silent.IsZero() {
		silent = "silent for " + age(now.Sub(p.Silent))
	}
	switch {
	case silent != "":
		return paint(colour, red, silent)
	case p.LagSeconds > peerPatience.Seconds():
		return paint(colour, red, "behind")
	case p.Behind > 0:
		return paint(colour, yellow, "behind")
	case p.Ahead > 0:
		return paint(colour, yellow, fmt.Sprintf("%d ahead", p.Ahead))
	case p.Unknown > 0:
		return paint(colour, yellow, fmt.Sprintf("%d not known yet", p.Unknown))
	case p.Error != "":
		return paint(colour, yellow, "answers wrongly")
	}
	return paint(colour, green, "in sync")
}

// peerList prints the zones of a secondary that are not in sync.
func peerList(w *errWriter, p *control.Peer, now time.Time, colour bool) {
	if p.ListAll == 0 && p.Silent.IsZero() {
		return
	}
	w.printf("\n%s:\n", printable(p.Address))
	if !p.Silent.IsZero() {
		w.printf("%s %s\n", paint(colour, red, "!"), printable(p.Error))
	}
	for i := range p.List {
		z := &p.List[i]
		code := yellow
		if (z.State == control.PeerBehind || z.State == control.PeerMissing) && now.Sub(z.Since) > peerPatience {
			code = red
		}
		w.printf("%s %s\n", paint(colour, code, "!"), printable(peerZoneText(z, now)))
	}
	if p.ListAll > len(p.List) {
		w.printf("and %d more zones; --all lists them\n", p.ListAll-len(p.List))
	}
}

// peerZoneText is how a zone is at a secondary.
func peerZoneText(z *control.PeerZone, now time.Time) string {
	has := "what it has is not known"
	if z.Serial != nil {
		has = fmt.Sprintf("it has %d", *z.Serial)
	}
	text := z.Zone + ": "
	switch z.State {
	case control.PeerMissing:
		text += fmt.Sprintf("it has no copy, for %s", age(now.Sub(z.Since)))
	case control.PeerBehind:
		text += fmt.Sprintf("%s, here is %d; behind for %s", has, z.Ours, age(now.Sub(z.Since)))
	case control.PeerAhead:
		text += fmt.Sprintf("%s, which is newer than %d here, for %s; it takes nothing from here until our serial is beyond that: raise it, or have the zone transferred anew there", has, z.Ours, age(now.Sub(z.Since)))
	default:
		text += has
	}
	if z.Error != "" {
		text += "; " + z.Error
	}
	return text
}

// peersReader reads what the control socket tells.
func peersReader(w *converge.Watcher) func(all bool) control.Peers {
	return func(all bool) control.Peers {
		limit := maxPeerZones
		if all {
			limit = math.MaxInt
		}
		s := w.Status(limit)
		return peersOf(&s)
	}
}

// peerMetricsReader reads what metrics asks for.
func peerMetricsReader(w *converge.Watcher) func(limit int) metrics.Peers {
	return func(limit int) metrics.Peers {
		s := w.Status(0)
		return peerMetrics(&s, limit)
	}
}

// peersOf is what the control socket tells.
func peersOf(s *converge.Status) control.Peers {
	p := control.Peers{Pairs: s.Pairs, SweepSeconds: s.Sweep.Seconds(), Peers: []control.Peer{}}
	for i := range s.Peers {
		one := &s.Peers[i]
		peer := control.Peer{
			Address: one.Addr.String(), Zones: one.Zones, InSync: one.InSync, Behind: one.Behind, Ahead: one.Ahead, Unknown: one.Unknown,
			LagSeconds: one.Lag.Seconds(), Answered: one.Answered, Silent: one.Silent,
			Error: one.Error, LastError: one.LastError, LastErrorAt: one.LastErrorAt, Errors: one.Errors,
			Convergence: control.Convergence{
				Seconds: one.Took.Seconds(), At: one.ConvergedAt, P50: one.P50.Seconds(), P99: one.P99.Seconds(), Samples: one.Samples,
			},
			List: []control.PeerZone{}, ListAll: one.ListAll,
		}
		for _, z := range one.List {
			zone := control.PeerZone{Zone: wire.NameString(z.Apex), State: z.State.String(), Ours: z.Ours, Since: z.Since, Error: z.Error}
			if z.Known {
				zone.Serial = &z.Serial
			}
			peer.List = append(peer.List, zone)
		}
		p.Peers = append(p.Peers, peer)
	}
	return p
}

// peerMetrics is what metrics asks for.
func peerMetrics(s *converge.Status, limit int) metrics.Peers {
	states := []metrics.Count{{Label: "in-sync"}, {Label: "behind"}, {Label: "silent"}, {Label: "unknown"}}
	p := metrics.Peers{States: states}
	for i := range s.Peers {
		one := &s.Peers[i]
		states[peerState(one)].N++
		if len(s.Peers) > limit {
			continue
		}
		bounds, counts := converge.Buckets(), one.Counts
		if counts == nil {
			counts = make([]uint64, len(bounds)+1)
		}
		p.List = append(p.List, metrics.Peer{
			Address: one.Addr.String(), Behind: one.Behind, Lag: one.Lag.Seconds(), Errors: one.Errors,
			Convergence: metrics.Histogram{Label: one.Addr.String(), Bounds: bounds, Counts: counts, Sum: one.Sum.Seconds()},
		})
	}
	return p
}

// peerState is the index of a secondary's state among those of peerMetrics.
func peerState(p *converge.PeerStatus) int {
	switch {
	case !p.Silent.IsZero():
		return 2
	case p.Behind > 0 || p.Ahead > 0:
		return 1
	case p.Unknown > 0:
		return 3
	}
	return 0
}
