package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/control"
	"geodns/internal/explain"
	"geodns/internal/geo"
	"geodns/internal/live"
	"geodns/internal/publish"
	"geodns/internal/wire"
	"geodns/internal/zonedir"
)

// explanation is what the command line of explain says.
type explanation struct {
	remote
	question control.Question
}

func newExplain() *cobra.Command {
	var x explanation
	cmd := &cobra.Command{
		Use:   "explain NAME TYPE --client ADDRESS",
		Short: "Tell how a question is answered, and why",
		Long: `Explain tells what a question is answered for one client, and why: where the
client is, each step of the choice with what it let in and what it left out, and
how long and for whom the answer holds.

The server that runs is asked, by its control socket. With --config the files of
a configuration are read instead, as serve would: without verdicts, so that all
nodes count as live.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("a name and a type are wanted, such as www.example.org A")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			x.question.Name, x.question.Type = args[0], args[1]
			return x.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&x.question.Client, "client", "", "the `ADDRESS` that asks: a resolver's")
	flags.StringVar(&x.question.ECS, "ecs", "", "the client subnet in the question, a `PREFIX`; none if not given")
	flags.StringVar(&x.question.Draw, "draw", "", "the random `NUMBER` that decides what is left to chance, as an explanation shows it; else a new one")
	flags.StringVar(&x.config, "config", "", "read the files of this configuration `FILE`, and ask no server")
	flags.StringVar(&x.socket, "socket", "", "the control socket's `PATH`, instead of the one that "+defaultConfig+" names")
	flags.StringVarP(&x.output, "output", "o", "text", "text or json")
	return cmd
}

func (x *explanation) run(cmd *cobra.Command) error {
	asked, draw, err := parseQuestion(&x.question)
	switch {
	case err != nil:
		return usageError{err}
	case x.config != "" && x.socket != "":
		return usageError{errors.New("--config reads files, and --socket asks a server: leave out either")}
	}
	var r *explain.Report
	var why error
	if x.config != "" {
		if err := x.format(); err != nil {
			return err
		}
		r, why, err = x.offline(cmd.ErrOrStderr(), &asked, draw)
	} else {
		r, why, err = x.online(cmd)
	}
	if err != nil {
		return err
	}
	if x.output == "json" {
		err = encode(cmd.OutOrStdout(), r)
	} else {
		err = r.Text(cmd.OutOrStdout(), colours(cmd.OutOrStdout()))
	}
	return cmp.Or(err, why)
}

// parseQuestion reads a question; without a draw it draws.
func parseQuestion(q *control.Question) (asked explain.Asked, draw uint64, err error) {
	asked, err = explain.Parse(q.Name, q.Type, q.Client, q.ECS)
	if err != nil {
		return asked, 0, err
	}
	draw = rand.Uint64()
	if q.Draw != "" {
		draw, err = explain.ParseDraw(q.Draw)
	}
	return asked, draw, err
}

// online asks the server that runs. why is what can be done if it has nothing
// to answer from.
func (x *explanation) online(cmd *cobra.Command) (r *explain.Report, why, err error) {
	x.config = defaultConfig
	client, err := x.client(cmd)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := x.ctx(cmd, readPatience)
	defer cancel()
	r = &explain.Report{}
	if err := client.Explain(ctx, x.question, r); err != nil {
		return nil, nil, fmt.Errorf("%w; or explain by the files alone, with --config FILE", err)
	}
	switch {
	case r.Served():
	case r.Zone == nil:
		why = fmt.Errorf("no zone that is served holds %s; geodns zone status lists those that are", r.Question.Name)
	default:
		why = fmt.Errorf("the zone %s can't be served now; geodns zone status %s tells why", r.Zone.Name, r.Zone.Name)
	}
	return r, why, nil
}

// offline reads the files as serve would.
func (x *explanation) offline(stderr io.Writer, asked *explain.Asked, draw uint64) (r *explain.Report, why, err error) {
	d := &instance{configPath: x.config, log: slog.New(slog.DiscardHandler)}
	if d.cfg, err = config.Load(x.config); err != nil {
		return nil, nil, err
	}
	if err := d.startGeography(); err != nil {
		return nil, nil, err
	}
	d.holder = live.New()
	d.publisher = publish.New(d.holder, publish.Options{Rankings: d.rankings()})
	d.zones = zonedir.New(d.cfg.Zones)
	d.zones.Accept = d.acceptZones
	results, err := d.load(zonedir.ScanOptions{All: true})
	if err != nil {
		return nil, nil, err
	}
	if r, err = d.explain(asked, draw); err != nil {
		return nil, nil, err
	}
	r.Source = "files"
	switch {
	case r.Served():
	case r.Zone == nil:
		why = fmt.Errorf("no zone in %s holds %s", d.cfg.Zones, r.Question.Name)
	default:
		tellBroken(stderr, results, r.Zone.Name)
		why = fmt.Errorf("the zone %s can't be served; geodns check --config %s tells all that is wrong", r.Zone.Name, x.config)
	}
	return r, why, nil
}

// tellBroken prints what was found in the files that should make a zone.
func tellBroken(stderr io.Writer, results []zonedir.Result, zone string) {
	for i := range results {
		if wire.NameString(results[i].Apex) != zone {
			continue
		}
		for _, f := range findingsOf(&results[i]) {
			fmt.Fprintln(stderr, printable(f.String()))
		}
	}
}

// explained answers the control socket.
func (d *instance) explained(q control.Question) (any, error) {
	asked, draw, err := parseQuestion(&q)
	if err != nil {
		return nil, err
	}
	r, err := d.explain(&asked, draw)
	if err != nil {
		return nil, err
	}
	r.Source = "server"
	return r, nil
}

func (d *instance) explain(asked *explain.Asked, draw uint64) (*explain.Report, error) {
	return explain.Explain(d.holder.Load(), func() *geo.Table { return d.publisher.Rankings().Table() }, asked, draw)
}
