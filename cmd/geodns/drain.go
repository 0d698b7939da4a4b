package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/drains"
	"geodns/internal/publish"
)

// startDrains puts the drains that are stored into force.
func (d *instance) startDrains() {
	o := drains.Options{Publisher: d.publisher, Log: d.log, Changed: d.commandsChanged}
	if d.store != nil {
		o.Store = storedDrains{d.store, &d.storeErrors}
	}
	d.drains = drains.New(o)
	if err := d.drains.Start(); err != nil {
		d.log.Error("the commands of before", "error", err)
	}
}

// followDrains lets them begin and end.
func (d *instance) followDrains(ctx context.Context) {
	d.beside.Go(func() { d.drains.Run(ctx) })
}

// drain and undrain answer the control socket.
func (d *instance) drain(o control.DrainOrder) (control.DrainResult, error) {
	const most = 10 * 365 * 24 * time.Hour
	if o.Seconds < 0 || o.Seconds > most.Seconds() {
		return control.DrainResult{}, errors.New("a drain lasts ten years at most; or, without an end, until it is taken back")
	}
	out, err := d.drains.Drain(drains.Order{
		Zone: o.Zone, Name: o.Name, At: o.At, For: time.Duration(o.Seconds * float64(time.Second)),
		Reason: o.Reason, Force: o.Force, DryRun: o.DryRun,
	})
	return d.drainResult(&out, o.DryRun), err
}

func (d *instance) undrain(o control.UndrainOrder) (control.DrainResult, error) {
	out, err := d.drains.Undrain(o.Zone, o.Name, o.DryRun)
	return d.drainResult(&out, o.DryRun), err
}

func (d *instance) drainResult(out *drains.Outcome, dry bool) control.DrainResult {
	now := time.Now()
	list, _ := d.drains.List()
	r := control.DrainResult{
		Drains: []control.Drain{}, Places: []control.Place{}, Changed: []control.NameChange{},
		ChangedAll: len(out.Effects), Refused: out.Refused, DryRun: dry, Unstored: out.Unstored,
	}
	for i := range out.Drains {
		r.Drains = append(r.Drains, drainOf(&out.Drains[i], now))
	}
	for i := range out.Places {
		r.Places = append(r.Places, placeOf(&out.Places[i], list, now))
	}
	slices.SortStableFunc(out.Effects, func(a, b publish.Effect) int {
		return cmp.Compare(lostFirst(a.Lost), lostFirst(b.Lost))
	})
	for i := range out.Effects {
		e := &out.Effects[i]
		if e.Lost {
			r.Lost++
		}
		if i < control.MaxChanged {
			of := publish.Named{Zone: e.Zone, Name: e.Name, Policy: e.Policy}
			r.Changed = append(r.Changed, control.NameChange{Before: nameOf(&of, &e.Before), After: nameOf(&of, &e.After), Lost: e.Lost})
		}
	}
	return r
}

func lostFirst(lost bool) int {
	if lost {
		return 0
	}
	return 1
}

// drainCommand is what the command line of drain says.
type drainCommand struct {
	remote
	order      control.DrainOrder
	at, length string // as they are written
}

const forever = "forever"

func newDrain() *cobra.Command {
	var x drainCommand
	cmd := &cobra.Command{
		Use:   "drain SITE|NODE",
		Short: "Take a site or node out of the answers",
		Long: `Drain tells the running server that a site or a node shall get no new clients,
whatever its verdict, and first what each steered name will be answered from.
The drain ends by itself, after an hour if nothing else is said.

It is refused if a steered name would lose its last live node, unless --force.
With --at it begins later, and answers count down to that time: nobody keeps one
beyond it.`,
		Args: oneUnit,
		RunE: func(cmd *cobra.Command, args []string) error {
			x.order.Name = args[0]
			return x.run(cmd)
		},
	}
	x.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&x.order.Zone, "zone", "", "only what this `ZONE` declares; else all that have the name")
	flags.StringVar(&x.length, "for", "1h", "how `LONG` it lasts, such as 90s, 30m, 2h, 3d; or forever: until geodns undrain")
	flags.StringVar(&x.at, "at", "", "when it begins: the next 02:00 by this machine's clock, or a `TIME` such as 2026-11-20T02:00:00Z")
	flags.StringVar(&x.order.Reason, "reason", "", "why, for those who ask geodns status")
	flags.BoolVar(&x.order.Force, "force", false, "even if a steered name loses its last live node")
	flags.BoolVar(&x.order.DryRun, "dry-run", false, "only tell what would be answered")
	return cmd
}

func oneUnit(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("the name of one site or node is wanted, such as lon; geodns status lists them")}
	}
	return nil
}

func (x *drainCommand) run(cmd *cobra.Command) error {
	if err := x.when(time.Now()); err != nil {
		return usageError{err}
	}
	client, err := x.client(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := x.ctx(cmd, readPatience)
	defer cancel()
	res, err := client.Drain(ctx, x.order)
	if err != nil {
		return err
	}
	return x.printDrain(cmd.OutOrStdout(), cmd.ErrOrStderr(), &res, "drain")
}

// when reads --at and --for.
func (x *drainCommand) when(now time.Time) (err error) {
	if x.order.At, err = parseAt(x.at, now); err != nil {
		return err
	}
	if x.length == forever {
		return nil
	}
	lasts, err := parseLength(x.length)
	x.order.Seconds = lasts.Seconds()
	return err
}

// parseAt reads when something begins: by the clock, or at a time; "": now.
func parseAt(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if c, err := time.Parse("15:04", text); err == nil {
		y, m, d := now.Date()
		at := time.Date(y, m, d, c.Hour(), c.Minute(), 0, 0, now.Location())
		if !at.After(now) {
			at = time.Date(y, m, d+1, c.Hour(), c.Minute(), 0, 0, now.Location())
		}
		return at, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return at, fmt.Errorf("--at %q is no time: write 02:00, or 2026-11-20T02:00:00Z", text)
	case !at.After(now):
		return at, fmt.Errorf("--at %s is over; leave it away to drain now", text)
	}
	return at, nil
}

// parseLength reads a length of time: Go's, and days.
func parseLength(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n <= 3650 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("--for %q is no length of time: write 90s, 30m, 2h, 3d or forever", text)
	}
	return d, nil
}

func newUndrain() *cobra.Command {
	var r remote
	var o control.UndrainOrder
	cmd := &cobra.Command{
		Use:   "undrain SITE|NODE",
		Short: "Take a drain back",
		Args:  oneUnit,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience)
			defer cancel()
			res, err := client.Undrain(ctx, o)
			if err != nil {
				return err
			}
			return r.printDrain(cmd.OutOrStdout(), cmd.ErrOrStderr(), &res, "undrain")
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&o.Zone, "zone", "", "only the drain that was given with this `ZONE`; else all of the name")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only tell what would be answered")
	return cmd
}

// printDrain prints what a command did; the error is for one that was refused.
func (r *remote) printDrain(out, stderr io.Writer, res *control.DrainResult, what string) error {
	var err error
	if r.output == "json" {
		err = encode(out, res)
	} else {
		err = drainText(out, stderr, res, what, time.Now())
	}
	if err == nil && res.Refused {
		return errReported
	}
	return err
}

// drainText prints first what the names will be answered from, then what was
// done.
func drainText(out, stderr io.Writer, res *control.DrainResult, what string, now time.Time) error {
	w := &errWriter{w: out}
	colour := colours(out)
	for i := range res.Changed {
		changeText(w, &res.Changed[i], colour)
	}
	more(w, res.ChangedAll-len(res.Changed), "names")
	if res.ChangedAll == 0 {
		w.printf("no steered name is answered from other records by this\n")
	}
	verb := map[string]string{"drain": "drained", "undrain": "no longer drained"}[what]
	switch {
	case res.Refused:
		fmt.Fprintf(stderr, "refused, and nothing was changed: %s would lose the last live node; --force drains nevertheless\n", count(res.Lost, "name"))
		return w.err
	case res.DryRun:
		verb = "not changed, but would be " + verb
	}
	for i := range res.Drains {
		w.printf("%s: %s%s\n", printable(unitText(&res.Drains[i], res.Places)), verb, spanText(&res.Drains[i], what, now))
	}
	if what == "drain" && len(res.Drains) > 0 && res.Drains[0].Until.IsZero() {
		fmt.Fprintln(stderr, "warning: it does not end by itself; geodns undrain ends it")
	}
	if res.Unstored != "" {
		fmt.Fprintf(stderr, "warning: lost at a restart: %s\n", printable(res.Unstored))
	}
	return w.err
}

// unitText says what a drain is about: of which zones.
func unitText(d *control.Drain, places []control.Place) string {
	var of []string
	for i := range places {
		if p := &places[i]; p.Name == d.Name && (d.Zone == "" || p.Zone == d.Zone) {
			of = append(of, p.Kind+" of "+p.Zone)
		}
	}
	if len(of) == 0 {
		return d.Name
	}
	return d.Name + " (" + strings.Join(of, ", ") + ")"
}

// spanText is from when until when.
func spanText(d *control.Drain, what string, now time.Time) (text string) {
	if what != "drain" {
		return ""
	}
	if d.From.After(now) {
		text = " from " + clockText(d.From, now)
	}
	if d.Until.IsZero() {
		return text + " until it is taken back"
	}
	return text + " until " + clockText(d.Until, now)
}

// clockText is a time as people here read it: what the clock shows, the day if
// it is another, and how far away.
func clockText(t, now time.Time) string {
	local := t.Local()
	form := "15:04:05"
	if local.YearDay() != now.Local().YearDay() || local.Year() != now.Local().Year() {
		form = "2006-01-02 15:04:05"
	}
	return local.Format(form) + " (in " + age(t.Sub(now)+time.Second/2) + ")"
}

func changeText(w *errWriter, c *control.NameChange, colour bool) {
	line := fmt.Sprintf("%s %s: %s -> %s", c.Before.Name, c.Before.Type, answerText(&c.Before), answerText(&c.After))
	if c.Lost {
		w.printf("%s\n", paint(colour, red, printable(line)+": nothing live is left"))
		return
	}
	w.printf("%s\n", printable(line))
}

// answerText is what a name is answered from: how many live records, where, and
// what is done if there is none.
func answerText(n *control.Name) string {
	text := fmt.Sprintf("%d of %d", n.Records.Live, n.Records.All)
	var at []string
	for i := range n.Sites {
		if s := &n.Sites[i]; s.Records.Live > 0 {
			at = append(at, fmt.Sprintf("%s %d", s.Site, s.Records.Live))
		}
	}
	if len(at) > 0 {
		text += " (" + strings.Join(at, ", ") + ")"
	}
	if n.Stage != control.StageNormal {
		text += ", " + n.Stage
	}
	return text
}
