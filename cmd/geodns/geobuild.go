package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	geobuild "geodns/internal/geo/build"
)

// geoBuild is what the command line of geo build says.
type geoBuild struct {
	out     string
	sources []geobuild.Source // in the order of the command line
	skipBad bool
}

// sourceFlag is a flag that names files of a format. All of them append to one
// list, which so keeps the order of the command line.
type sourceFlag struct {
	kind geobuild.Kind
	to   *[]geobuild.Source
}

// Set takes a file.
func (f sourceFlag) Set(path string) error {
	if path == "" {
		return errors.New("the name of a file is missing")
	}
	*f.to = append(*f.to, geobuild.Source{Kind: f.kind, Path: path})
	return nil
}

// String is the default, which there is not.
func (f sourceFlag) String() string { return "" }

// Type is what stands in the help for a value.
func (f sourceFlag) Type() string { return "FILE" }

func newGeoBuild() *cobra.Command {
	var b geoBuild
	cmd := &cobra.Command{
		Use:   "build --out FILE [--delegated|--geofeed|--tor|--csv FILE]...",
		Short: "Build an .mmdb database from registries' files, geofeeds and CSV",
		Long: `Build makes a database of where addresses are, in the City layout of the .mmdb
format: for serve (geo.database), and for whatever else reads .mmdb files.

Files are laid over each other in the order of the command line: a later one
overrides an earlier one wherever both know an address. Within a file the
narrower prefix wins. More files of one format may follow it:

    geodns geo build --out world.mmdb --delegated stats/delegated-*

Nothing is written if a line is bad. The database is read back and compared
before it comes into the old one's place.`,
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&b.out, "out", "", "the database `FILE` to write, such as world.mmdb")
	flags.Var(sourceFlag{geobuild.Delegated, &b.sources}, "delegated", "a registry's statistics, such as delegated-ripencc-extended-latest")
	flags.Var(sourceFlag{geobuild.Geofeed, &b.sources}, "geofeed", "a geofeed (RFC 8805)")
	flags.Var(sourceFlag{geobuild.Tor, &b.sources}, "tor", "Tor's geoip or geoip6, as Debian's package tor-geoipdb brings them")
	flags.Var(sourceFlag{geobuild.CSV, &b.sources}, "csv", "prefixes as CSV; the first line names the columns")
	flags.BoolVar(&b.skipBad, "skip-bad", false, "leave out bad lines, and tell them")
	return cmd
}

func (b *geoBuild) run(cmd *cobra.Command, more []string) error {
	if err := b.arguments(more); err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	bar := newBar(stderr)
	data, err := geobuild.Read(geobuild.Options{Sources: b.sources, SkipBad: b.skipBad, Progress: bar.tell})
	bar.end()
	if problems, ok := errors.AsType[geobuild.Problems](err); ok {
		fmt.Fprintln(stderr, printableLines(problems.Error()))
		fmt.Fprintf(stderr, "nothing was written: correct %s, or leave out such lines with --skip-bad\n", count(problems.Total, "bad line"))
		return errReported
	}
	if err != nil {
		return told(stderr, err)
	}
	if data.Problems.Total > 0 {
		fmt.Fprintln(stderr, printableLines(data.Problems.Error()))
		fmt.Fprintf(stderr, "warning: %s left out\n", count(data.Problems.Total, "bad line"))
	}
	if data.Len() == 0 {
		return errors.New("the files place no address anywhere, so nothing was written; are they of the format that the flag says?")
	}
	if err := data.WriteFile(b.out, description(b.sources), bar.stage); err != nil {
		return err
	}
	return b.summary(cmd.OutOrStdout(), data)
}

// arguments checks the command line, and takes the files that follow a flag.
func (b *geoBuild) arguments(more []string) error {
	for _, path := range more {
		if len(b.sources) == 0 || slices.ContainsFunc(b.sources, func(s geobuild.Source) bool { return s.Kind != b.sources[0].Kind }) {
			return usageError{fmt.Errorf("of which format is %q? Write --delegated, --geofeed, --tor or --csv before it", path)}
		}
		b.sources = append(b.sources, geobuild.Source{Kind: b.sources[0].Kind, Path: path})
	}
	switch {
	case b.out == "":
		return usageError{errors.New("--out is missing: name the database to write")}
	case len(b.sources) == 0:
		return usageError{errors.New("there is nothing to build of: name files with --delegated, --geofeed, --tor or --csv")}
	case slices.ContainsFunc(b.sources, func(s geobuild.Source) bool { return filepath.Clean(s.Path) == filepath.Clean(b.out) }):
		return usageError{fmt.Errorf("--out %s is one of the files to read", b.out)}
	}
	// It would be a pity to notice at the end.
	dir := filepath.Dir(b.out)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("cannot write %s: there is no directory %s; create it, or choose another", b.out, dir)
	}
	return nil
}

// description is what the database says of itself.
func description(sources []geobuild.Source) string {
	var from []string
	for _, s := range sources {
		name := map[geobuild.Kind]string{
			geobuild.Delegated: "registries' statistics", geobuild.Geofeed: "geofeeds",
			geobuild.Tor: "IPFire Location Database (CC BY-SA 4.0)", geobuild.CSV: "own prefixes",
		}[s.Kind]
		if !slices.Contains(from, name) {
			from = append(from, name)
		}
	}
	return "Made by geodns geo build from " + strings.Join(from, ", ") + "; positions of countries from Natural Earth"
}

// summary says what was written.
func (b *geoBuild) summary(out io.Writer, d *geobuild.Data) error {
	w := &errWriter{w: out}
	for _, f := range d.Files {
		date := "undated"
		if !f.Date.IsZero() {
			date = "of " + day(f.Date)
		}
		w.printf("%s: %s, %s\n", printable(f.Source.Path), count(f.Ranges, "range"), date)
	}
	if len(d.Unplaced) > 0 {
		codes := slices.SortedFunc(maps.Keys(d.Unplaced), func(a, b string) int {
			return cmp.Or(cmp.Compare(d.Unplaced[b], d.Unplaced[a]), cmp.Compare(a, b))
		})
		total := 0
		for i, c := range codes {
			total += d.Unplaced[c]
			codes[i] = fmt.Sprintf("%s %d", c, d.Unplaced[c])
		}
		shown := codes[:min(len(codes), 8)]
		w.printf("left out, for their codes are no country's: %s (%s)\n", count(total, "range"), strings.Join(shown, ", "))
	}
	w.printf("wrote %s: %s in %s, dated %s\n", printable(b.out), count(d.Len(), "range"), countries(d.Countries()), day(d.Date))
	if slices.ContainsFunc(b.sources, func(s geobuild.Source) bool { return s.Kind == geobuild.Tor }) {
		w.printf("Tor's files are the IPFire Location Database: who passes the result on names it and its licence, CC BY-SA 4.0\n")
	}
	return w.err
}

func countries(n int) string {
	if n == 1 {
		return "1 country"
	}
	return fmt.Sprintf("%d countries", n)
}

// bar shows on a terminal how far the building is; elsewhere it shows nothing.
type bar struct {
	w     io.Writer
	shown *progressbar.ProgressBar
	on    bool
}

func newBar(w io.Writer) *bar { return &bar{w: w, on: isTerminal(w)} }

// tell shows how many octets have been read.
func (b *bar) tell(done, total int64) {
	if !b.on {
		return
	}
	if b.shown == nil {
		b.shown = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(b.w), progressbar.OptionSetDescription("reading"),
			progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	if b.shown.GetMax64() != total {
		b.shown.ChangeMax64(total)
	}
	// That a terminal can't be written to doesn't matter to the database.
	_ = b.shown.Set64(done)
}

// end takes the bar away.
func (b *bar) end() {
	if b.shown != nil {
		_ = b.shown.Finish()
		_ = b.shown.Clear()
	}
}

// stage shows what takes its time.
func (b *bar) stage(what string) {
	if b.on {
		fmt.Fprintf(b.w, "%s...\n", what)
	}
}
