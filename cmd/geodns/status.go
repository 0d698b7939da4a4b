package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
)

func newStatus() *cobra.Command {
	var r remote
	var all, watch, peers bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how the running server and the nodes are",
		Long: `Status tells how the running server is; and of the nodes that it probes, the
sites, the drains and the steered names, what is wrong before what is well.

With --watch it goes on telling, each second until it is interrupted: on a
terminal in place, elsewhere a line each time.

` + peersHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if peers && watch {
				return usageError{errors.New("--peers and --watch don't go together; watch -n 1 geodns status --peers shows it again and again")}
			}
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			if peers {
				return r.peers(cmd, client, all)
			}
			fetch := func(parent context.Context) (control.Status, error) {
				ctx, cancel := context.WithTimeout(parent, readPatience)
				defer cancel()
				return client.Status(ctx, all)
			}
			ctx, cancel := r.ctx(cmd, math.MaxInt64)
			defer cancel()
			out := cmd.OutOrStdout()
			if watch {
				ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
				defer stop()
				v := view{out: out, terminal: isTerminal(out), json: r.output == "json", all: all}
				return v.watch(ctx, fetch, time.Second)
			}
			s, err := fetch(ctx)
			if err != nil {
				return err
			}
			if r.output == "json" {
				return encode(out, s)
			}
			return statusText(out, &s, time.Now())
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list everything, and not only the first of what there is much of")
	cmd.Flags().BoolVar(&peers, "peers", false, "tell how far the secondaries are, instead")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "tell it again each second")
	return cmd
}

// view is where a status is watched.
type view struct {
	out                 io.Writer
	terminal, json, all bool
}

// watch shows a status again and again, until ctx ends. A server that can't be
// asked any more is waited for: it may be starting again.
func (v *view) watch(ctx context.Context, fetch func(context.Context) (control.Status, error), every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		s, err := fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			_, err = fmt.Fprintf(v.out, "%s%s %v\n", v.clear(), time.Now().Format(time.TimeOnly), err)
		default:
			err = v.show(&s, time.Now())
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// clear begins the screen anew.
func (v *view) clear() string {
	if v.terminal && !v.json {
		return "\x1b[H\x1b[2J"
	}
	return ""
}

func (v *view) show(s *control.Status, now time.Time) error {
	switch {
	case v.json:
		return json.NewEncoder(v.out).Encode(s) // a line each
	case v.terminal:
		var b bytes.Buffer
		b.WriteString(v.clear())
		err := statusPage(&b, s, now, colours(v.out))
		if err == nil {
			// All at once: a screen that is drawn in parts flickers.
			_, err = v.out.Write(b.Bytes())
		}
		return err
	}
	n := &s.Nodes
	_, err := fmt.Fprintf(v.out, "%s %.1f queries a second; targets: %s; %s; %d of %s not all well\n", now.Format(time.TimeOnly),
		s.Queries.PerSecond, countsText(&n.Counts)+isolationNote(n.Isolation), count(len(n.Drains), "drain"), n.NamesTroubled, count(n.NamesAll, "steered name"))
	return err
}

// statusText prints a status for eyes; now is what ages are reckoned from.
func statusText(out io.Writer, s *control.Status, now time.Time) error {
	return statusPage(out, s, now, colours(out))
}

func statusPage(out io.Writer, s *control.Status, now time.Time, colour bool) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w := &errWriter{w: t}
	w.printf("geodns %s\tpid %d, up %s\n", printable(s.Version), s.PID, age(now.Sub(s.Started)))
	w.printf("state\t%s\n", stateText(s, colour))
	w.printf("configuration\t%s\n", printable(s.Config))
	w.printf("listening\t%s\n", printable(strings.Join(s.Listen, " ")))
	if len(s.TLS) > 0 {
		w.printf("over TLS\t%s\n", printable(strings.Join(s.TLS, " ")))
	}
	if s.HTTP != "" {
		w.printf("metrics\thttp://%s/metrics\n", printable(s.HTTP))
	}
	w.printf("zones\t%d with %s, %d broken\n", s.Zones, count(s.Records, "record"), s.BrokenAll)
	w.printf("watched by\t%s\n", printable(s.Watch))
	q := &s.Queries
	if q.Seconds > 0 {
		w.printf("queries\t%.1f a second over the last %.0f s\n", q.PerSecond, q.Seconds)
	}
	w.printf("in all\t%d queries (UDP %d, TCP %d), %d responses, %d dropped\n", q.Total, q.UDP, q.TCP, q.Responses, q.Dropped)
	w.printf("TCP\t%s open\n", count(q.TCPConnections, "connection"))
	if l := s.LastReload; l == nil {
		w.printf("last reload\tnone\n")
	} else {
		w.printf("last reload\t%s ago: %s\n", age(now.Sub(l.At)), reloadSummary(l))
	}
	if w.err == nil {
		w.err = t.Flush()
	}
	w.w = out
	for _, reason := range s.Reasons {
		w.printf("%s %s\n", paint(colour, red, "!"), printable(reason))
	}
	if s.Drill != nil {
		w.printf("%s %s\n", paint(colour, yellow, "!"), printable(drillStateText(s.Drill, now)))
	}
	nodesText(w, &s.Nodes, now, colour)
	return w.err
}

func stateText(s *control.Status, colour bool) string {
	switch {
	case s.Draining:
		return paint(colour, yellow, "shutting down")
	case len(s.Reasons) > 0:
		return paint(colour, yellow, "serving, but not all is well")
	}
	return paint(colour, green, "serving")
}

// age is a duration as people say it, in its two greatest units.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(0, d).Truncate(time.Second)
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
