package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"geodns/internal/control"
)

func newReload() *cobra.Command {
	var r remote
	var force bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running server read its configuration and zones again",
		Long: `Reload has the server that runs read its configuration and the zone files that
changed, waits for it, and prints what happened. A file that is broken keeps the
last good version of its zone in service.

The exit code is 1 if the configuration is invalid or any zone file is broken.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, reloadPatience)
			defer cancel()
			result, err := client.Reload(ctx, force)
			if err != nil {
				return err
			}
			return r.printReload(cmd.OutOrStdout(), cmd.ErrOrStderr(), &result)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "take files, too, that lost more of their records than shrink-limit allows")
	return cmd
}

// printReload prints what a reload did, and fails if it left anything broken.
func (r *remote) printReload(out, stderr io.Writer, res *control.Reload) error {
	var err error
	if r.output == "json" {
		err = encode(out, res)
	} else {
		err = reloadText(out, stderr, res)
	}
	if err == nil && !res.OK() {
		err = errReported
	}
	return err
}

func reloadText(out, stderr io.Writer, res *control.Reload) error {
	w := &errWriter{w: out}
	colour := colours(out)
	for _, text := range res.Warnings {
		fmt.Fprintln(stderr, printable(text))
	}
	if res.Error != "" {
		fmt.Fprintln(stderr, printableLines(res.Error))
		fmt.Fprintln(stderr, "nothing was reloaded: the old state stays in service")
		return nil
	}
	for i := range res.Changed {
		z := &res.Changed[i]
		for _, f := range z.Findings {
			w.printf("%s\n", printable(f.String()))
		}
		w.printf("%s: serial %d, %s\n", printable(z.Name), z.Serial, count(z.Records, "record"))
	}
	more(w, res.ChangedAll-len(res.Changed), "changed zones")
	for _, name := range res.Gone {
		w.printf("%s: no longer served\n", printable(name))
	}
	more(w, res.GoneAll-len(res.Gone), "zones that are no longer served")
	for i := range res.Broken {
		brokenText(w, &res.Broken[i], colour)
	}
	more(w, res.BrokenAll-len(res.Broken), "broken zone files")
	w.printf("%s\n", reloadSummary(res))
	return w.err
}

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

func more(w *errWriter, n int, what string) {
	if n > 0 {
		w.printf("and %d more %s\n", n, what)
	}
}

// brokenText prints what is wrong with a zone file and what is served instead.
func brokenText(w *errWriter, z *control.Zone, colour bool) {
	for _, f := range z.Findings {
		w.printf("%s\n", printable(f.String()))
	}
	more(w, z.FindingsAll-len(z.Findings), "findings: see geodns check")
	name := z.Name
	if name == "" {
		name = z.File
	}
	w.printf("%s: %s, %s\n", printable(name), paint(colour, red, "broken"), instead(z))
}

// instead is what clients get while a file is broken.
func instead(z *control.Zone) string {
	switch {
	case z.State == control.StateKept:
		return fmt.Sprintf("serial %d stays in service", z.Serial)
	case z.Name == "":
		return "it makes no zone"
	}
	return "its names are answered SERVFAIL"
}

// reloadSummary is what a reload did, in one line.
func reloadSummary(res *control.Reload) string {
	if res.Error != "" {
		return "failed"
	}
	text := "nothing changed"
	if res.ChangedAll > 0 {
		text = count(res.ChangedAll, "zone") + " read"
	}
	if res.GoneAll > 0 {
		text += fmt.Sprintf(", %d gone", res.GoneAll)
	}
	if res.BrokenAll > 0 {
		text += fmt.Sprintf(", %d broken", res.BrokenAll)
	}
	return fmt.Sprintf("%s, in %.3f s", text, res.Seconds)
}
