package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"geodns/internal/check"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// checkFlags is what the command line of check says.
type checkFlags struct {
	config   string
	output   string
	origin   string
	ignore   []string
	warnings bool
	strict   bool
	quiet    bool
	rules    bool
}

func newCheck() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [ZONEFILE|DIRECTORY...]",
		Short: "Check the configuration and its zones, or zone files",
		Long: `Check reads zone files as serve would, and looks at each zone as a whole and at
the zones beside each other. Without files it checks the configuration and the
zones that it names.

The exit code is 0 if there are no errors, 1 if there are, 78 if the
configuration is invalid.`,
		RunE: func(cmd *cobra.Command, files []string) error { return f.run(cmd, files) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", defaultConfig, "the configuration file")
	flags.StringVarP(&f.output, "output", "o", "text", "text or json")
	flags.StringVar(&f.origin, "origin", "", "the `NAME` that the zone file begins with as its origin; else what it is named after")
	flags.StringSliceVar(&f.ignore, "ignore", nil, "leave out warnings of these `RULES`, separated by commas")
	flags.BoolVar(&f.warnings, "warnings", true, "tell warnings, too")
	flags.BoolVar(&f.strict, "strict", false, "fail on warnings, too")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "leave out the line about each zone")
	flags.BoolVar(&f.rules, "rules", false, "list the rules and check nothing")
	return cmd
}

func (f *checkFlags) run(cmd *cobra.Command, files []string) error {
	options, err := f.options(cmd, files)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if f.rules {
		return printRules(out, f.output)
	}
	// What is read lives until the end: collecting garbage often keeps a zone of
	// a million records at two thirds of the memory.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	report, err := f.check(files, options)
	if err != nil {
		return err
	}
	if f.output == "json" {
		err = printJSON(out, &report)
	} else {
		err = printText(out, &report, f.quiet, colours(out))
	}
	if err == nil && (report.Errors() > 0 || f.strict && report.Warnings() > 0) {
		err = errReported
	}
	return err
}

// options makes check's options of the flags.
func (f *checkFlags) options(cmd *cobra.Command, files []string) (o check.Options, err error) {
	switch {
	case len(files) > 0 && cmd.Flags().Changed("config"):
		return o, usageError{errors.New("--config checks the zones of a configuration: leave out either it or the zone files")}
	case f.output != "text" && f.output != "json":
		return o, usageError{fmt.Errorf("--output %q is neither text nor json", f.output)}
	case f.strict && !f.warnings:
		return o, usageError{errors.New("--strict fails on warnings, and --warnings=false leaves them out: choose one")}
	case f.origin != "" && len(files) != 1:
		return o, usageError{errors.New("--origin is for one zone file")}
	}
	if f.origin != "" {
		name, err := zonefile.ParseName(strings.TrimSuffix(f.origin, ".")+".", nil)
		if err != nil {
			return o, usageError{fmt.Errorf("--origin %q is no domain name: %w", f.origin, err)}
		}
		o.Origin = wire.AppendLower(nil, name)
	}
	o.Ignore, o.NoWarnings = f.ignore, !f.warnings
	return o, knownRules(f.ignore)
}

// knownRules refuses what --ignore cannot leave out.
func knownRules(ids []string) error {
	rules := check.Rules()
	for _, id := range ids {
		i := slices.IndexFunc(rules, func(r check.Rule) bool { return r.ID == id })
		switch {
		case i < 0:
			return usageError{fmt.Errorf("--ignore %q is no rule; --rules lists them", id)}
		case rules[i].Severity == zonefile.Error:
			return usageError{fmt.Errorf("--ignore %s: an error cannot be ignored", id)}
		}
	}
	return nil
}

// check reads what is to be checked.
func (f *checkFlags) check(files []string, o check.Options) (check.Report, error) {
	if len(files) == 0 {
		return f.checkConfig(o)
	}
	o.Rankings = builtInRankings()
	var all []string
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			all = append(all, path)
			continue
		}
		list, err := check.List(path)
		if err != nil {
			return check.Report{}, err
		}
		all = append(all, list...)
		o.Whole = len(files) == 1
	}
	return check.Files(all, o), nil
}

// colours reports whether the output is for eyes (https://no-color.org).
func colours(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// paint puts text into a colour of the terminal.
func paint(on bool, code, text string) string {
	if !on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	red    = "31"
	yellow = "33"
	green  = "32"
	bold   = "1"
)

// printText prints all findings, then a line about each zone.
func printText(out io.Writer, r *check.Report, quiet, colour bool) error {
	w := &errWriter{w: out}
	for i := range r.Findings {
		f := &r.Findings[i]
		code := red
		if f.Severity == zonefile.Warning {
			code = yellow
		}
		place := f.Pos.String()
		said := strings.TrimPrefix(f.String(), place+": ")
		w.printf("%s: %s [%s]\n", paint(colour, bold, printable(place)), paint(colour, code, printable(said)), f.Rule)
	}
	if quiet {
		return w.err
	}
	for i := range r.Zones {
		z := &r.Zones[i]
		w.printf("%s: %s\n", printable(z.File), verdict(z, colour))
	}
	return w.err
}

// verdict is what there is to say of a zone, in one line.
func verdict(z *check.Summary, colour bool) string {
	var s strings.Builder
	if z.Zone != "" {
		fmt.Fprintf(&s, "zone %s, ", z.Zone)
	}
	if !z.Refused {
		fmt.Fprintf(&s, "serial %d, ", z.Serial)
	}
	fmt.Fprintf(&s, "%s: ", count(z.Records, "record"))
	var found []string
	if z.Errors > 0 {
		found = append(found, count(z.Errors, "error"))
	}
	if z.Warnings > 0 {
		found = append(found, count(z.Warnings, "warning"))
	}
	if z.Left > 0 {
		found = append(found, fmt.Sprintf("%d more of the same kinds", z.Left))
	}
	all := strings.Join(found, ", ")
	switch {
	case z.Errors > 0 && z.Refused:
		s.WriteString(paint(colour, red, all+"; serve refuses the file"))
	case z.Errors > 0:
		s.WriteString(paint(colour, red, all))
	case z.Warnings > 0:
		s.WriteString(paint(colour, yellow, "ok, "+all))
	default:
		s.WriteString(paint(colour, green, "ok"))
	}
	return s.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printable takes control characters, which a file name may hold, out of what
// goes to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// errWriter remembers the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}

// The form of -o json: see docs/check.md. Fields are added, never changed.
type (
	checkJSON struct {
		Findings []findingJSON `json:"findings"`
		Zones    []zoneJSON    `json:"zones"`
	}
	findingJSON struct {
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Severity string `json:"severity"`
		Rule     string `json:"rule"`
		Message  string `json:"message"`
		Remedy   string `json:"remedy"`
	}
	zoneJSON struct {
		File     string  `json:"file"`
		Zone     string  `json:"zone"`
		Serial   uint32  `json:"serial"`
		Records  int     `json:"records"`
		Names    int     `json:"names"`
		Errors   int     `json:"errors"`
		Warnings int     `json:"warnings"`
		Left     int     `json:"left"`
		Refused  bool    `json:"refused"`
		Seconds  float64 `json:"seconds"`
	}
	ruleJSON struct {
		Rule     string `json:"rule"`
		Severity string `json:"severity"`
		Subject  string `json:"subject"`
		Text     string `json:"text"`
	}
)

func printJSON(out io.Writer, r *check.Report) error {
	all := checkJSON{Findings: []findingJSON{}, Zones: []zoneJSON{}}
	for _, f := range r.Findings {
		all.Findings = append(all.Findings, findingJSON{
			f.Pos.File, f.Pos.Line, f.Pos.Column, severityWord(f.Severity), f.Rule, f.Message, f.Remedy,
		})
	}
	for _, z := range r.Zones {
		all.Zones = append(all.Zones, zoneJSON{
			z.File, z.Zone, z.Serial, z.Records, z.Names, z.Errors, z.Warnings, z.Left, z.Refused, z.Took.Seconds(),
		})
	}
	return encode(out, all)
}

func encode(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func severityWord(s zonefile.Severity) string {
	if s == zonefile.Warning {
		return "warning"
	}
	return "error"
}

// printRules lists the rules.
func printRules(out io.Writer, format string) error {
	list := []ruleJSON{}
	for _, r := range check.Rules() {
		list = append(list, ruleJSON{r.ID, severityWord(r.Severity), r.Subject, r.Text})
	}
	if format == "json" {
		return encode(out, list)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w := &errWriter{w: t}
	for _, r := range list {
		w.printf("%s\t%s\t%s\n", r.Rule, r.Severity, r.Text)
	}
	return cmp.Or(w.err, t.Flush())
}
