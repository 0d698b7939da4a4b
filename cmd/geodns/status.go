package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
)

func newStatus() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how the running server is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience)
			defer cancel()
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			if r.output == "json" {
				return encode(cmd.OutOrStdout(), s)
			}
			return statusText(cmd.OutOrStdout(), &s, time.Now())
		},
	}
	r.flags(cmd)
	return cmd
}

// statusText prints a status for eyes; now is what ages are reckoned from.
func statusText(out io.Writer, s *control.Status, now time.Time) error {
	colour := colours(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w := &errWriter{w: t}
	w.printf("geodns %s\tpid %d, up %s\n", printable(s.Version), s.PID, age(now.Sub(s.Started)))
	w.printf("state\t%s\n", stateText(s, colour))
	w.printf("configuration\t%s\n", printable(s.Config))
	w.printf("listening\t%s\n", printable(strings.Join(s.Listen, " ")))
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
