package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/publish"
	"geodns/internal/transfer/notify"
	"geodns/internal/transfer/refresh"
	"geodns/internal/wire"
)

// retransfer has the primaries of a copy asked at once.
func (d *instance) retransfer(name string, full bool) error {
	apex, _, err := d.zoneNamed(name)
	if err != nil {
		return err
	}
	return d.sync.refresher.Retransfer(apex, full)
}

// notifyAgain tells all who are to be told of a zone's version, once more.
func (d *instance) notifyAgain(name string) ([]control.Told, error) {
	apex, _, err := d.zoneNamed(name)
	if err != nil {
		return nil, err
	}
	z := d.publisher.Serving(apex)
	if z == nil {
		return nil, errNothing(apex)
	}
	peers := d.toldOf(z)
	if len(peers) == 0 {
		return nil, fmt.Errorf("nobody is told of %s: name its secondaries under transfer.notify in the configuration, and geodns reload", wire.NameString(apex))
	}
	d.publisher.Kept(apex)
	d.sync.notifier.Notify(apex, publish.SOA(z), peers)
	return d.toldList(apex), nil
}

// toldList is how far those are who are told of a zone.
func (d *instance) toldList(apex []byte) []control.Told {
	list := []control.Told{}
	for _, s := range d.sync.notifier.Status(apex) {
		list = append(list, toldInfo(&s))
	}
	return list
}

func toldInfo(s *notify.Status) control.Told {
	return control.Told{
		Server: s.Peer.Addr.String(), Key: s.Peer.Key, Serial: s.Serial, Since: s.Since, Sent: s.Sent, Attempts: s.Attempts,
		Pending: s.Pending, Acknowledged: s.Acked, Known: s.Known, At: s.AckedAt, Error: s.Error,
	}
}

// copies are the zones that are taken from others, of which want is true.
func (d *instance) copies(want func(apex []byte) bool) []control.Zone {
	out := []control.Zone{}
	for _, s := range d.sync.refresher.Status() {
		if !want(s.Apex) {
			continue
		}
		z := control.Zone{Name: wire.NameString(s.Apex), State: copyState(&s), Findings: []control.Finding{}, Copy: copyInfo(&s), Told: d.toldList(s.Apex)}
		if have := d.copyOf(s.Apex); have != nil {
			z.Serial, z.Records = have.Serial(), d.counted.records(have)
		}
		out = append(out, z)
	}
	return out
}

func copyState(s *refresh.State) string {
	switch {
	case s.Expired:
		return control.StateExpired
	case !s.Held:
		return control.StateWaiting
	}
	return control.StateServing
}

func copyInfo(s *refresh.State) *control.Copy {
	c := &control.Copy{
		Kind: s.Kind, Confirmed: s.LastOK, Asked: s.LastTry, Next: s.Next, Expires: s.Expires,
		Behind: s.Behind, Seen: s.SeenSerial, Error: s.LastError, Warning: s.Warning,
	}
	if s.Primary != (netip.AddrPort{}) {
		c.Primary = s.Primary.String()
	}
	return c
}

// madeHere are the zones that neither come from a file nor from others, of which
// want is true: a catalog that is produced.
func (d *instance) madeHere(known []control.Zone, want func(apex []byte) bool) []control.Zone {
	names := make(map[string]bool, len(known))
	for i := range known {
		names[known[i].Name] = true
	}
	out := []control.Zone{}
	d.eachServed(func(apex []byte) {
		name := wire.NameString(apex)
		if names[name] || !want(apex) {
			return
		}
		z := control.Zone{Name: name, State: control.StateServing, Findings: []control.Finding{}, Told: d.toldList(apex)}
		if have := d.publisher.Serving(apex); have != nil {
			z.Serial, z.Records = have.Serial(), d.counted.records(have)
			out = append(out, z)
		}
	})
	return out
}

// isZone is for one name.
func isZone(apex []byte) func([]byte) bool {
	return func(other []byte) bool { return bytes.Equal(apex, other) }
}

// newZoneRetransfer and newZoneNotify ask for something that takes a while, and
// watch what becomes of it.
func newZoneRetransfer() *cobra.Command {
	var r remote
	var full bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "retransfer NAME",
		Short: "Ask the primaries of a zone for a newer version now",
		Long: `Retransfer has the running server ask the primaries of a zone, which it takes from
them, whether they have a newer version, and take it: now, and not only when the
zone's refresh time is over. With --full the whole zone is taken (AXFR), whatever
its serial. It waits for what comes of it.`,
		Args: oneZone,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience+wait)
			defer cancel()
			before, err := client.Zone(ctx, args[0])
			if err != nil {
				return err
			}
			if err := client.Retransfer(ctx, args[0], full); err != nil {
				return err
			}
			asked := time.Time{}
			if before.Copy != nil {
				asked = before.Copy.Asked
			}
			now, err := watchZone(ctx, client, args[0], wait, func(z *control.Zone) bool {
				return z.Copy != nil && z.Copy.Asked.After(asked) && !z.Copy.Next.IsZero()
			})
			if err != nil {
				return err
			}
			return r.printRetransfer(cmd.OutOrStdout(), &before, now, wait)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&full, "full", false, "take the whole zone, whatever its serial")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for what comes of it; 0s: not at all")
	return cmd
}

// watchEvery is how often the server is asked how far something is.
const watchEvery = 50 * time.Millisecond

// watchZone asks about a zone until done, or for as long as wait says. nil: it was
// not done in time.
func watchZone(ctx context.Context, client *control.Client, name string, wait time.Duration, done func(*control.Zone) bool) (*control.Zone, error) {
	for end := time.Now().Add(wait); wait > 0; {
		z, err := client.Zone(ctx, name)
		if err != nil {
			return nil, err
		}
		if done(&z) {
			return &z, nil
		}
		if time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(watchEvery):
		}
	}
	return nil, nil
}

func (r *remote) printRetransfer(out io.Writer, before, now *control.Zone, wait time.Duration) error {
	name := printable(before.Name)
	if now == nil {
		if r.output == "json" {
			return encode(out, before)
		}
		if wait > 0 {
			_, err := fmt.Fprintf(out, "%s: its primaries are still being asked after %v; geodns zone status %s tells more\n", name, wait, name)
			return cmp.Or(err, errReported)
		}
		_, err := fmt.Fprintf(out, "%s: its primaries are being asked\n", name)
		return err
	}
	var err error
	c := now.Copy
	switch {
	case r.output == "json":
		err = encode(out, now)
	case c.Error != "":
		_, err = fmt.Fprintf(out, "%s: nothing came: %s\n", name, printable(c.Error))
	case now.Serial != before.Serial || before.State == control.StateWaiting:
		_, err = fmt.Fprintf(out, "%s: serial %d, by %s from %s\n", name, now.Serial, printable(c.Kind), printable(c.Primary))
	default:
		_, err = fmt.Fprintf(out, "%s: serial %d, as %s has it\n", name, now.Serial, printable(c.Primary))
	}
	if err == nil && c.Error != "" {
		err = errReported
	}
	return err
}

func newZoneNotify() *cobra.Command {
	var r remote
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "notify NAME",
		Short: "Tell the secondaries of a zone again which version there is",
		Long: `Notify has the running server tell all secondaries of a zone which version it has
(NOTIFY), as it does by itself when the zone changes. It waits for their answers:
that they have been told, not that they have transferred it.`,
		Args: oneZone,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience+wait)
			defer cancel()
			list, err := client.Notify(ctx, args[0])
			if err != nil {
				return err
			}
			z, err := watchZone(ctx, client, args[0], wait, func(z *control.Zone) bool {
				list = z.Told
				return !anyPending(list)
			})
			if err != nil {
				return err
			}
			if r.output == "json" {
				err = encode(cmd.OutOrStdout(), list)
			} else {
				err = toldText(&errWriter{w: cmd.OutOrStdout()}, list)
			}
			if err == nil && wait > 0 && (z == nil || anyFailed(list)) {
				err = errReported
			}
			return err
		},
	}
	r.flags(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long to wait for answers; 0s: not at all")
	return cmd
}

func anyPending(list []control.Told) bool {
	for i := range list {
		if list[i].Pending {
			return true
		}
	}
	return false
}

func anyFailed(list []control.Told) bool {
	for i := range list {
		if list[i].Error != "" {
			return true
		}
	}
	return false
}

// toldText prints how far those are who are told of a zone.
func toldText(w *errWriter, list []control.Told) error {
	for i := range list {
		t := &list[i]
		what := "not told yet"
		switch {
		case t.Known && t.Acknowledged == t.Serial && !t.Pending:
			what = fmt.Sprintf("acknowledged serial %d at %s", t.Acknowledged, t.At.UTC().Format(time.RFC3339))
		case t.Pending && t.Attempts > 0:
			what = fmt.Sprintf("told of serial %d %s, no answer yet", t.Serial, count(t.Attempts, "time"))
		case !t.Pending:
			what = fmt.Sprintf("did not acknowledge serial %d in %s", t.Serial, count(t.Attempts, "attempt"))
		}
		if t.Error != "" {
			what += ": " + printable(t.Error)
		}
		w.printf("%s: %s\n", printable(t.Server), what)
	}
	return w.err
}

// copyText tells how it stands with a copy.
func copyText(w *errWriter, z *control.Zone, now time.Time) {
	c, name := z.Copy, printable(z.Name)
	var parts []string
	switch {
	case c.Primary == "":
		parts = append(parts, "no primary has given it yet")
	case c.Confirmed.IsZero():
		parts = append(parts, "from "+printable(c.Primary)+" before the server was started")
	default:
		text := "confirmed by " + printable(c.Primary) + " " + age(now.Sub(c.Confirmed)) + " ago"
		if c.Kind != "" {
			text += ", came by " + printable(c.Kind)
		}
		parts = append(parts, text)
	}
	if c.Behind {
		parts = append(parts, fmt.Sprintf("serial %d is there", c.Seen))
	}
	if c.Next.IsZero() {
		parts = append(parts, "asked now")
	} else {
		parts = append(parts, "asked again in "+age(c.Next.Sub(now)))
	}
	switch {
	case z.State == control.StateExpired:
		parts = append(parts, "expired "+age(now.Sub(c.Expires))+" ago")
	case !c.Expires.IsZero():
		parts = append(parts, "expires in "+age(c.Expires.Sub(now)))
	}
	w.printf("%s: %s\n", name, strings.Join(parts, "; "))
	for _, text := range []string{c.Error, c.Warning} {
		if text != "" {
			w.printf("%s: %s\n", name, printable(text))
		}
	}
}

// errCopy is about a command for files that was given for a copy.
func errCopy(name string) error {
	return errors.New(name + " has no file here, since it is taken from other servers: geodns zone retransfer asks them for it")
}
