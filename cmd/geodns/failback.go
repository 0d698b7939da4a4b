package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/publish"
	"geodns/internal/sides"
	"geodns/internal/steer"
	"geodns/internal/zonefile"
	"geodns/internal/zonestore"
)

// turned hears that the side of a failover may have become another.
func (d *instance) turned() {
	if d.sides != nil {
		d.sides.Turned()
	}
	d.commandsChanged()
}

// startSides makes the sides that are stored the ones that serve.
func (d *instance) startSides() {
	o := sides.Options{Publisher: d.publisher, Log: d.log}
	if d.store != nil {
		o.Store = storedSides{d.store, &d.storeErrors}
	}
	d.sides = sides.New(o)
	if err := d.sides.Start(); err != nil {
		d.log.Error("the active sides of before", "error", err)
	}
}

// followSides stores and tells what changes, once the first verdicts are there.
func (d *instance) followSides(ctx context.Context) {
	d.beside.Go(func() { d.sides.Run(ctx) })
}

// failback answers the control socket.
func (d *instance) failback(o control.FailbackOrder) (control.FailbackResult, error) {
	r := control.FailbackResult{Failovers: []control.Failback{}, DryRun: o.DryRun}
	out, err := d.sides.Failback(publish.FailbackOrder{
		Zone: o.Zone, Name: o.Name, To: o.To, Reason: o.Reason, Force: o.Force, DryRun: o.DryRun,
	})
	if err != nil {
		return r, err
	}
	r.Refused, r.Unstored = out.Refused, out.Unstored
	for i := range out.Failovers {
		x := &out.Failovers[i]
		one := control.Failback{Policy: x.Policy, Before: sideOf(x.Zone, x.Name, x.Types, &x.Before), After: sideOf(x.Zone, x.Name, x.Types, &x.After), Answers: []control.Turn{}, Same: x.Same}
		if x.Refused != nil {
			one.Refused, one.Forcible = x.Refused.Text, x.Refused.Forcible
		}
		for _, t := range x.Answers {
			one.Answers = append(one.Answers, control.Turn{Type: zonefile.TypeString(t.Type), Before: answeredOf(&t.Before), After: answeredOf(&t.After)})
		}
		r.Failovers = append(r.Failovers, one)
	}
	return r, nil
}

func answeredOf(a *publish.Answered) control.Answered {
	out := control.Answered{Stage: a.Stage.String(), Addresses: []string{}}
	for _, addr := range a.Addresses {
		out.Addresses = append(out.Addresses, addr.String())
	}
	return out
}

func sideOf(zone, name, types string, s *steer.Side) control.Side {
	out := control.Side{
		Name: name, Zone: zone, Types: types, Step: s.Step, First: s.First, Since: s.Since, By: s.By, Reason: s.Reason,
		Held: s.Held, Back: s.Back, Role: s.Role, Writers: []string{}, Alarm: s.Alarm,
	}
	if s.Writers != "" {
		out.Writers = strings.Split(s.Writers, ",")
	}
	return out
}

// addSides adds the failovers to a status: those in alarm, then those whose first
// step does not serve, then the rest.
func (d *instance) addSides(n *control.Nodes, limit int) {
	list, unstored := d.sides.List()
	n.Sides, n.SidesAll, n.SidesUnstored = []control.Side{}, len(list), unstored
	rank := func(s *publish.ActiveSide) int {
		switch {
		case !s.Alarm.IsZero():
			return 0
		case s.Held:
			return 1
		case !s.First:
			return 2
		}
		return 3
	}
	slices.SortFunc(list, func(a, b publish.ActiveSide) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Types, b.Types))
	})
	for i := range list[:min(len(list), limit)] {
		s := &list[i]
		n.Sides = append(n.Sides, sideOf(s.Zone, s.Owner, s.Types, &s.Side))
	}
}

// sideMetrics counts the failovers, and lists the writers of those that look for
// one.
func (d *instance) sideMetrics(n *metrics.Nodes) {
	list, _ := d.sides.List()
	var first, other, held uint64
	for i := range list {
		s := &list[i]
		switch {
		case s.Held:
			held++
		case s.First:
			first++
		default:
			other++
		}
		if s.Role {
			writers := 0
			if s.Writers != "" {
				writers = 1 + strings.Count(s.Writers, ",")
			}
			n.Writers = append(n.Writers, metrics.Writers{Zone: s.Zone, Name: s.Owner, Type: s.Types, N: writers})
		}
	}
	n.Failovers = []metrics.Count{{Label: "first", N: first}, {Label: "other", N: other}, {Label: "held", N: held}}
}

// failbackCommand is what the command line of failback says.
type failbackCommand struct {
	remote
	order control.FailbackOrder
}

func newFailback() *cobra.Command {
	var x failbackCommand
	cmd := &cobra.Command{
		Use:   "failback NAME",
		Short: "Make a step of a failover the one that serves",
		Long: `Failback tells the running server which step of a failover shall serve now: the
first of order= that is up, or the one of --to. It first tells what is answered
now, and what will be. What serves stays as long as it is up; then, and after the
time of failback=DURATION, the zone's policy goes on from there.

It is refused if the step is down or drained, unless --force: then the step
serves until it has been up. Where the check says role=writable, no word makes
another node the writer while one says that it is.`,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			x.order.Name = args[0]
			client, err := x.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := x.ctx(cmd, readPatience)
			defer cancel()
			res, err := client.Failback(ctx, x.order)
			if err != nil {
				return err
			}
			return x.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), &res)
		},
	}
	x.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&x.order.Zone, "zone", "", "only of this `ZONE`; NAME may then be relative to it")
	flags.StringVar(&x.order.To, "to", "", "the `STEP` of order= that shall serve; else the first that is up")
	flags.StringVar(&x.order.Reason, "reason", "", "why, for those who ask geodns status")
	flags.BoolVar(&x.order.Force, "force", false, "even if the step is down or drained")
	flags.BoolVar(&x.order.DryRun, "dry-run", false, "only tell what would be answered")
	return cmd
}

func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("the name of one failover is wanted, such as www.example.org; geodns status lists them")}
	}
	return nil
}

// print prints what a command did; the error is for one that was refused.
func (x *failbackCommand) print(out, stderr io.Writer, res *control.FailbackResult) error {
	var err error
	if x.output == "json" {
		err = encode(out, res)
	} else {
		err = failbackText(out, stderr, res)
	}
	if err == nil && res.Refused {
		return errReported
	}
	return err
}

// failbackText prints first what is answered, then what was done.
func failbackText(out, stderr io.Writer, res *control.FailbackResult) error {
	w := &errWriter{w: out}
	changed := false
	for i := range res.Failovers {
		x := &res.Failovers[i]
		changed = changed || !x.Same
		for j := range x.Answers {
			t := &x.Answers[j]
			w.printf("%s\n", printable(fmt.Sprintf("%s %s: %s -> %s", x.After.Name, t.Type, turnText(&x.Before, &t.Before), turnText(&x.After, &t.After))))
		}
	}
	if res.Refused {
		for i := range res.Failovers {
			if x := &res.Failovers[i]; x.Refused != "" {
				text := fmt.Sprintf("refused, and nothing was changed: %s: %s", x.After.Name, x.Refused)
				if x.Forcible {
					text += "; --force does it nevertheless"
				}
				fmt.Fprintln(stderr, printable(text))
			}
		}
		return w.err
	}
	for i := range res.Failovers {
		w.printf("%s\n", printable(doneText(&res.Failovers[i], res.DryRun)))
	}
	if changed && !res.DryRun && res.Unstored != "" {
		fmt.Fprintf(stderr, "warning: lost at a restart: %s\n", printable(res.Unstored))
	}
	return w.err
}

// turnText is which step serves, and with which addresses.
func turnText(s *control.Side, a *control.Answered) string {
	text := cmp.Or(s.Step, "no step")
	if len(a.Addresses) > 0 {
		text += " (" + strings.Join(a.Addresses, ", ") + ")"
	}
	if a.Stage != control.StageNormal {
		text += ", " + a.Stage
	}
	return text
}

// doneText is what was done, and what comes next.
func doneText(x *control.Failback, dry bool) string {
	verb := "now serves"
	switch {
	case x.Same:
		verb = "serves already"
	case dry:
		verb = "not changed, but would now be served by"
		return fmt.Sprintf("%s: %s %s%s", x.After.Name, verb, x.After.Step, nextText(x))
	}
	return fmt.Sprintf("%s: %s %s%s", x.After.Name, x.After.Step, verb, nextText(x))
}

func nextText(x *control.Failback) string {
	switch {
	case x.After.By == steer.ByForce:
		return ", by force, until it has been up"
	case !x.After.Back.IsZero():
		return fmt.Sprintf("; an earlier step takes over after %s (failback=)", x.Policy)
	}
	return ""
}

// sidesText prints what is worth an operator's eye: alarms first, then failovers
// whose first step does not serve.
func sidesText(w *errWriter, n *control.Nodes, now time.Time, colour bool) {
	for i := range n.Sides {
		s := &n.Sides[i]
		switch {
		case s.Alarmed():
			w.printf("%s %s\n", paint(colour, red, "!"), printable(alarmLine(s, now)))
		case s.Step != "" && (s.Held || !s.First || s.By == steer.ByForce):
			w.printf("%s %s\n", paint(colour, yellow, "!"), printable(sideLine(s, now)))
		}
	}
	for i := range n.Sides {
		if n.SidesUnstored != "" && n.Sides[i].By != "" {
			w.printf("%s the active sides are lost at a restart: %s\n", paint(colour, yellow, "!"), printable(n.SidesUnstored))
			break
		}
	}
}

// alarmLine is what is wrong with the writers of a failover.
func alarmLine(s *control.Side, now time.Time) string {
	text := fmt.Sprintf("%s %s: ", s.Name, s.Types)
	if len(s.Writers) == 0 {
		text += "no node says that it takes writes"
	} else {
		text += strings.Join(s.Writers, " and ") + " say that they take writes"
	}
	text += ", for " + age(now.Sub(s.Alarm))
	if s.Step == "" {
		return text + "; none was known to be right before"
	}
	return text + "; " + s.Step + " is held"
}

// sideLine is which step serves, since when and why.
func sideLine(s *control.Side, now time.Time) string {
	text := fmt.Sprintf("%s %s: %s serves", s.Name, s.Types, s.Step)
	if s.Held {
		text = fmt.Sprintf("%s %s: no step is up, and %s is held", s.Name, s.Types, s.Step)
	}
	switch s.By {
	case steer.ByCommand:
		text += ", by command"
	case steer.ByForce:
		text += ", by force until it has been up"
	case steer.ByPrimary:
		text += ", as the zone's primary says"
	}
	if !s.Since.IsZero() {
		text += ", for " + age(now.Sub(s.Since))
	}
	if !s.Back.IsZero() {
		text += "; an earlier step takes over in " + age(s.Back.Sub(now)+time.Second/2)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// storedSides keeps the sides of failovers in the store, one command each.
type storedSides struct {
	*zonestore.Store
	errors *atomic.Uint64 // counts what failed
}

const (
	kindActive  = "active"
	subjectRule = "rule " // and the types
)

func sideState(s *publish.ActiveSide) zonestore.State {
	return zonestore.State{
		Key:   zonestore.Key{Zone: s.Zone, Subject: subjectRule + s.Types, Name: s.Owner, Kind: kindActive},
		Value: s.Step, From: s.Since, By: s.By, Reason: s.Reason,
	}
}

// Load returns the sides that are stored.
func (s storedSides) Load() (list []publish.ActiveSide, err error) {
	states, err := s.States()
	if err != nil {
		s.errors.Add(1)
		return nil, err
	}
	for i := range states {
		st := &states[i]
		types, ok := strings.CutPrefix(st.Subject, subjectRule)
		if st.Kind != kindActive || !ok {
			continue
		}
		list = append(list, publish.ActiveSide{
			Zone: st.Zone, Owner: st.Name, Types: types,
			Side: steer.Side{Step: st.Value, Since: st.From, By: st.By, Reason: st.Reason},
		})
	}
	return list, nil
}

// Save keeps some sides, and forgets others.
func (s storedSides) Save(keep, forget []publish.ActiveSide) error {
	states := make([]zonestore.State, len(keep))
	for i := range keep {
		states[i] = sideState(&keep[i])
	}
	keys := make([]zonestore.Key, len(forget))
	for i := range forget {
		keys[i] = sideState(&forget[i]).Key
	}
	err := s.ReplaceStates(states, keys)
	if err != nil {
		s.errors.Add(1)
	}
	return err
}
