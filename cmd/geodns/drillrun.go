package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/drill"
)

// drillRun is what the command line of drill run says.
type drillRun struct {
	remote
	order  control.DrillOrder
	length string
}

func newDrillRun() *cobra.Command {
	var x drillRun
	cmd := &cobra.Command{
		Use:   "run --lose SITE [--for 5m]",
		Short: "Let the probes of a site fail, and measure what happens",
		Long: `Run makes the probes of a site fail on the running server, as if its link were
cut: they are not sent, and each fails after its timeout. All that follows is
real: verdicts turn, answers change, TTLs fall. It tells each second how that
goes, and in the end whether each name has kept its promise, which is fall x
every + timeout + 100 ms.

It ends after --for; at an interrupt (Ctrl-C), of which the report still comes,
and a second one doesn't wait for that; when this command dies; when the server
ends; and by geodns drill stop. Then the probes are sent again, and nodes return
by their ordinary rule. Nothing of it is stored.

It is refused if a name would lose its last live node, unless --force. The exit
code is 0 if all promises were kept and all is back, else 1.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return x.run(cmd) },
	}
	x.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&x.order.Site, "lose", "", "the `SITE` that is lost")
	flags.StringVar(&x.order.Zone, "zone", "", "only the site that this `ZONE` declares; else all that have the name")
	flags.StringVar(&x.length, "for", "5m", "how `LONG` it is lost, such as 90s or 5m; an hour at most")
	flags.StringVar(&x.order.How, "how", string(drill.HowTimeout), "how probes fail: timeout, as behind a link that is cut; or refused, at once")
	flags.BoolVar(&x.order.Force, "force", false, "even if a steered name loses its last live node")
	return cmd
}

// check reads the flags that are more than text.
func (x *drillRun) check() error {
	if _, err := drill.NewSite(x.order.Site, x.order.Zone); err != nil {
		return err
	}
	lasts, err := time.ParseDuration(x.length)
	if err != nil || lasts < drill.MinFor || lasts > drill.MaxFor {
		return fmt.Errorf("--for %q is no length of time from a second to an hour: write 90s or 5m", x.length)
	}
	x.order.Seconds = lasts.Seconds()
	if how := drill.How(x.order.How); how != drill.HowTimeout && how != drill.HowRefused {
		return fmt.Errorf("--how %q is not known: it must be timeout or refused", x.order.How)
	}
	return nil
}

func (x *drillRun) run(cmd *cobra.Command) error {
	if err := x.check(); err != nil {
		return usageError{err}
	}
	client, err := x.client(cmd)
	if err != nil {
		return err
	}
	parent, cancel := x.ctx(cmd, math.MaxInt64)
	defer cancel()
	// The first signal asks the server to end it, and waits for the report; the
	// second one ends this command, and with it what the server may still do.
	asked, release := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	defer release()
	ctx, give := context.WithCancel(parent)
	defer give()
	v := drillView{out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(), json: x.output == "json", live: isTerminal(cmd.OutOrStdout())}
	stopped := context.AfterFunc(asked, func() {
		release()
		again, unhear := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
		defer unhear()
		if _, err := client.DrillStop(ctx); err != nil {
			give()
			return
		}
		<-again.Done()
		give()
	})
	defer stopped()
	err = client.Drill(ctx, x.order, v.line)
	switch {
	case errors.Is(err, context.Canceled) || err == nil && v.report == nil && !v.refused:
		return errors.New("the drill was ended, and its report was not waited for; geodns status tells what is back")
	case err != nil:
		return err
	}
	return v.end()
}

// drillView shows what a drill tells.
type drillView struct {
	out, errs io.Writer
	json      bool
	live      bool // a terminal, where a line can be written over

	begun   time.Time
	refused bool
	plan    *drill.Plan
	report  *drill.Report
	shown   int // columns of the line that can be written over
}

// line takes in one line of what the server tells.
func (v *drillView) line(text json.RawMessage) error {
	var e drill.Event
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("what the server tells can't be read; is it of another version? %w", err)
	}
	switch {
	case e.Plan != nil:
		v.plan, v.refused = e.Plan, e.Refused
	case e.Begun != nil && !v.json:
		v.begun = e.Begun.Since
		v.over("")
		fmt.Fprintf(v.out, "%s is lost from %s until %s; %s will fail; Ctrl-C ends it\n", printable(e.Begun.Site),
			e.Begun.Since.Local().Format(time.TimeOnly), e.Begun.Until.Local().Format(time.TimeOnly), count(v.plan.Targets, "target"))
	case e.Tick != nil && !v.json:
		v.over(tickText(e.Tick))
	case e.Report != nil:
		v.report = e.Report
	}
	return nil
}

// over writes a line in place of the last one on a terminal, elsewhere after it.
func (v *drillView) over(text string) {
	switch {
	case v.live:
		fmt.Fprintf(v.out, "\r%s%s\r%s", strings.Repeat(" ", v.shown), "", text)
		v.shown = len(text)
	case text != "":
		fmt.Fprintln(v.out, text)
	}
}

// end prints the report; the error is for a drill that did not go as promised.
func (v *drillView) end() error {
	if !v.json {
		v.over("")
	}
	var err error
	switch {
	case v.refused && v.json:
		err = encode(v.out, map[string]any{"refused": true, "plan": v.plan})
	case v.refused:
		w := &errWriter{w: v.out}
		lostText(w, v.plan, colours(v.out))
		err = w.err
	case v.json:
		err = encode(v.out, v.report)
	default:
		err = reportText(v.out, v.report)
	}
	switch {
	case err != nil:
		return err
	case v.refused:
		fmt.Fprintf(v.errs, "refused, and nothing was changed: %s would lose the last live node; --force rehearses nevertheless\n", count(v.plan.Lost, "name"))
		return errReported
	case !v.report.OK():
		return errReported
	}
	return nil
}

func newDrillStop() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the drill that is on",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience)
			defer cancel()
			s, err := client.DrillStop(ctx)
			switch {
			case err != nil:
				return err
			case r.output == "json":
				return encode(cmd.OutOrStdout(), s)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is no longer lost: its probes are sent again\n", printable(s.Site))
			return err
		},
	}
	r.flags(cmd)
	return cmd
}
