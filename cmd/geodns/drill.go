package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/control"
	"geodns/internal/drill"
	"geodns/internal/geo"
	"geodns/internal/live"
	"geodns/internal/probe"
	"geodns/internal/publish"
	"geodns/internal/zonedir"
)

func newDrill() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Rehearse the loss of a site",
		Args:  unknownCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("a command is missing: plan, run or stop")}
		},
	}
	cmd.SuggestionsMinimumDistance = 2 // letters
	cmd.AddCommand(newDrillPlan(), newDrillRun(), newDrillStop())
	return cmd
}

// drillPlan is what the command line of drill plan says.
type drillPlan struct {
	remote
	question control.DrillQuestion
	queries  string // a file
	log      *drill.Log
}

func newDrillPlan() *cobra.Command {
	var x drillPlan
	cmd := &cobra.Command{
		Use:   "plan --lose SITE [NAME...]",
		Short: "Tell what the loss of a site would do to the answers",
		Long: `Plan tells beforehand what would happen if a site were cut off: which names
would be answered from where, country by country or for the clients of a log;
what that makes of the other sites; and how long it takes at worst until nobody
is led to the site any more. Nothing is changed.

The server that runs is asked, by its control socket. With --config the files of
a configuration are read instead, as if all nodes lived. The exit code is 1 if a
name would lose its last live node.

A log has a question a line, CLIENT NAME TYPE, perhaps with a time such as
2026-11-20T12:00:00Z in front; BIND's query log is understood as well.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			x.question.Names = names
			return x.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&x.question.Site, "lose", "", "the `SITE` that is lost")
	flags.StringVar(&x.question.Zone, "zone", "", "only the site that this `ZONE` declares; else all that have the name")
	flags.StringVar(&x.queries, "queries", "", "a `FILE` of questions that stand for what is asked; - for standard input")
	flags.StringVar(&x.config, "config", "", "read the files of this configuration `FILE`, and ask no server")
	flags.StringVar(&x.socket, "socket", "", "the control socket's `PATH`, instead of the one that "+defaultConfig+" names")
	flags.StringVarP(&x.output, "output", "o", "text", "text or json")
	return cmd
}

func (x *drillPlan) run(cmd *cobra.Command) error {
	_, err := drill.NewSite(x.question.Site, x.question.Zone)
	switch {
	case err != nil:
		return usageError{err}
	case x.config != "" && x.socket != "":
		return usageError{errors.New("--config reads files, and --socket asks a server: leave out either")}
	}
	if err := x.format(); err != nil {
		return err
	}
	if x.queries != "" {
		if x.log, err = readQueries(cmd.InOrStdin(), x.queries); err != nil {
			return err
		}
	}
	var p *drill.Plan
	if x.config != "" {
		p, err = x.offline(cmd.ErrOrStderr())
	} else {
		p, err = x.online(cmd)
	}
	if err != nil {
		return err
	}
	if x.output == "json" {
		err = encode(cmd.OutOrStdout(), p)
	} else {
		err = planText(cmd.OutOrStdout(), p)
	}
	if err == nil && p.Lost > 0 {
		return errReported
	}
	return err
}

func readQueries(stdin io.Reader, file string) (*drill.Log, error) {
	if file == "-" {
		return drill.ReadLog(stdin, "standard input")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of questions: %w", err)
	}
	defer f.Close()
	return drill.ReadLog(f, file)
}

// online asks the server that runs.
func (x *drillPlan) online(cmd *cobra.Command) (*drill.Plan, error) {
	x.config = defaultConfig
	client, err := x.client(cmd)
	if err != nil {
		return nil, err
	}
	if x.log != nil {
		if x.question.Log, err = json.Marshal(x.log); err != nil {
			return nil, err
		}
	}
	ctx, cancel := x.ctx(cmd, reloadPatience)
	defer cancel()
	p := &drill.Plan{}
	if err := client.DrillPlan(ctx, x.question, p); err != nil {
		return nil, fmt.Errorf("%w; or plan by the files alone, with --config FILE", err)
	}
	return p, nil
}

// offline reads the files as serve would.
func (x *drillPlan) offline(stderr io.Writer) (*drill.Plan, error) {
	d := &instance{configPath: x.config, log: slog.New(slog.DiscardHandler)}
	var err error
	if d.cfg, err = config.Load(x.config); err != nil {
		return nil, err
	}
	if err := d.startGeography(); err != nil {
		return nil, err
	}
	d.holder = live.New()
	d.publisher = publish.New(d.holder, publish.Options{Rankings: d.rankings()})
	d.zones = zonedir.New(d.cfg.Zones)
	d.zones.Accept = d.acceptZones
	results, err := d.load(zonedir.ScanOptions{All: true})
	if err != nil {
		return nil, err
	}
	d.drills = d.newDrills()
	p, err := d.plan(x.question, x.log)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if results[i].Zone == nil {
			fmt.Fprintf(stderr, "warning: %s makes no zone, and plays no part; geodns check --config %s tells why\n", printable(results[i].File), x.config)
		}
	}
	p.Source = "files"
	return p, nil
}

// newDrills makes what drills are run by.
func (d *instance) newDrills() *drill.Runner {
	return drill.NewRunner(&d.loss, drill.Server{
		World:   d.holder.Load,
		Refused: func(a netip.Addr, own bool) bool { return mayProbe(d.cfg.ProbeAllow, a, own) != "" },
		Table:   func() *geo.Table { return d.publisher.Rankings().Table() },
		PerSecond: func() float64 {
			perSecond, _ := d.rate.mean()
			return perSecond
		},
		Log: d.log,
	})
}

// drilled is what comes of a probe of what a drill has lost.
func (d *instance) drilled(ctx context.Context, a netip.Addr) (r probe.Result, lost bool) {
	x, lost := d.loss.Meets(ctx, a)
	return probe.Result{Reason: x.Reason, Local: x.Over}, lost
}

// unlessDrilled keeps the death of a connection to itself that could not be
// heard of over a link that is cut.
func (d *instance) unlessDrilled(a netip.Addr, died func(string)) func(string) {
	return func(reason string) {
		if !d.loss.Lost(a) {
			died(reason)
		}
	}
}

// lossNow reports whether a site is lost for a drill.
func (d *instance) lossNow() bool {
	s, on := d.drills.Now()
	return on && !s.Over
}

// drillState is for the control socket.
func (d *instance) drillState() *control.DrillState {
	s, on := d.drills.Now()
	if !on {
		return nil
	}
	return stateOf(&s)
}

func stateOf(s *drill.State) *control.DrillState {
	return &control.DrillState{Site: s.Site, Zone: s.Zone, How: string(s.How), Since: s.Since, Until: s.Until, Over: s.Over}
}

// drillHandlers answer the control socket.
func (d *instance) drillHandlers() control.Drills {
	return control.Drills{
		Plan: func(q control.DrillQuestion) (any, error) {
			var log *drill.Log
			if len(q.Log) > 0 {
				if err := json.Unmarshal(q.Log, &log); err != nil {
					return nil, fmt.Errorf("the log can't be read; is geodns drill of another version than the server? %w", err)
				}
			}
			return d.plan(q, log)
		},
		Run: d.runDrill,
		Stop: func() (control.DrillState, error) {
			s, on := d.drills.Stop("it was stopped")
			if !on {
				return control.DrillState{}, errors.New("no drill is on")
			}
			return *stateOf(&s), nil
		},
	}
}

func (d *instance) plan(q control.DrillQuestion, log *drill.Log) (*drill.Plan, error) {
	site, err := drill.NewSite(q.Site, q.Zone)
	if err != nil {
		return nil, err
	}
	return d.drills.Plan(site, q.Names, log)
}

func (d *instance) runDrill(ctx context.Context, o control.DrillOrder, tell func(any) error) error {
	site, err := drill.NewSite(o.Site, o.Zone)
	if err != nil {
		return err
	}
	lasts := drill.DefaultFor
	if o.Seconds != 0 {
		if o.Seconds < 0 || o.Seconds > drill.MaxFor.Seconds() {
			return fmt.Errorf("a drill lasts %v at most", drill.MaxFor)
		}
		lasts = time.Duration(o.Seconds * float64(time.Second))
	}
	return d.drills.Run(ctx, drill.Order{
		Site: site, For: lasts, How: cmp.Or(drill.How(o.How), drill.HowTimeout), Force: o.Force,
	}, func(e drill.Event) error { return tell(e) })
}
