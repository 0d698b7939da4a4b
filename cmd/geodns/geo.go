package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
	"geodns/internal/geo/country"
)

func newGeo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "geo",
		Short: "Look up where addresses are, and build databases of it",
		Args:  unknownCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("a command is missing")}
		},
	}
	cmd.SuggestionsMinimumDistance = 2 // letters
	cmd.AddCommand(newGeoLookup(), newGeoBuild())
	return cmd
}

// lookup is what the command line of geo lookup says.
type lookup struct {
	config   string
	named    bool // --config was given
	database string
	networks string
	output   string
}

func newGeoLookup() *cobra.Command {
	var l lookup
	cmd := &cobra.Command{
		Use:   "lookup ADDRESS...",
		Short: "Tell where addresses are, and which source says so",
		Long: `Lookup tells where serve thinks that addresses are: the place, the prefix in
which every address has this place, and the source that decided.

It reads the sources that the configuration names. Without a configuration, and
where it names no database, that is the built-in world.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			l.named = cmd.Flags().Changed("config")
			return l.run(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&l.config, "config", defaultConfig, "the configuration `FILE`, which names the sources")
	flags.StringVar(&l.database, "database", "", "this .mmdb `FILE` instead of the configuration's geo.database")
	flags.StringVar(&l.networks, "networks", "", "this CSV or geofeed `FILE` instead of the configuration's geo.networks")
	flags.StringVarP(&l.output, "output", "o", "text", "text or json")
	return cmd
}

func (l *lookup) run(cmd *cobra.Command, args []string) error {
	if l.output != "text" && l.output != "json" {
		return usageError{fmt.Errorf("--output %q is neither text nor json", l.output)}
	}
	if len(args) == 0 {
		return usageError{errors.New("an address is missing")}
	}
	addrs := make([]netip.Addr, len(args))
	for i, arg := range args {
		a, err := netip.ParseAddr(arg)
		if err != nil || a.Zone() != "" {
			return usageError{fmt.Errorf("%q is no address; write one such as 192.0.2.1 or 2001:db8::1", arg)}
		}
		addrs[i] = a.Unmap()
	}
	cfg, err := l.sources()
	if err != nil {
		return err
	}
	t, err := geo.Load(geographyOf(cfg))
	if err != nil {
		return told(cmd.ErrOrStderr(), err)
	}
	world, err := builtin.About()
	if err != nil {
		return err
	}
	found := make([]foundJSON, len(addrs))
	for i, a := range addrs {
		found[i] = find(t, world, a)
	}
	if cfg.Geo.Database == "" && world.Stale(time.Now()) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the built-in world is of %s, more than a year old; install a newer geodns, or build a database with geodns geo build\n", day(world.Date))
	}
	if l.output == "json" {
		return encode(cmd.OutOrStdout(), found)
	}
	return printFound(cmd.OutOrStdout(), found)
}

// sources is the configuration as far as geography goes. The other files that
// it names need not be there.
func (l *lookup) sources() (*config.Config, error) {
	cfg := config.Default()
	data, err := os.ReadFile(l.config)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.named:
	case err != nil:
		return nil, config.Errors{{File: l.config, Message: fmt.Sprintf("cannot be read: %v; name another file with --config", withoutPath(err))}}
	default:
		if cfg, err = config.Parse(l.config, data); err != nil {
			return nil, err
		}
	}
	cfg.Geo.Database = cmp.Or(l.database, cfg.Geo.Database)
	cfg.Geo.Networks = cmp.Or(l.networks, cfg.Geo.Networks)
	return cfg, nil
}

// withoutPath is an error of a file without the file's name.
func withoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// told prints an error that begins with a place in a file, or several of them,
// as they are: an editor can jump there.
func told(stderr io.Writer, err error) error {
	fmt.Fprintln(stderr, printableLines(err.Error()))
	return errReported
}

// foundJSON is an address of lookup -o json, as docs/geo.md has it. Fields are
// added, never changed.
type foundJSON struct {
	Address     string      `json:"address"`
	Known       bool        `json:"known"`
	Country     string      `json:"country"`
	CountryName string      `json:"country_name"`
	Continent   string      `json:"continent"`
	Subdivision string      `json:"subdivision"`
	City        string      `json:"city"`
	Lat         *float64    `json:"lat"` // null: unknown
	Lon         *float64    `json:"lon"`
	ASN         uint32      `json:"asn"`
	Scope       string      `json:"scope"`
	Source      *sourceJSON `json:"source"` // null: no source knows the address
}

type sourceJSON struct {
	Kind     string     `json:"kind"` // own networks, database, built-in world
	File     string     `json:"file"`
	Type     string     `json:"type"`
	Date     *time.Time `json:"date"` // null: unknown
	Licence  string     `json:"licence"`
	Networks int        `json:"networks"`
}

// find asks the table.
func find(t *geo.Table, world builtin.Info, a netip.Addr) foundJSON {
	n, scope := t.Find(a)
	p := t.Place(n)
	f := foundJSON{
		Address: a.String(), Known: p.Source != geo.Nowhere,
		Country: p.Country, Continent: p.Continent, Subdivision: p.Subdivision, City: p.City, ASN: p.ASN,
		Scope: netip.PrefixFrom(a, scope).Masked().String(),
	}
	if c, ok := country.Lookup(p.Country); ok {
		f.CountryName = c.Name
	}
	if p.Located {
		f.Lat, f.Lon = &p.Lat, &p.Lon
	}
	for _, info := range t.Describe() {
		if info.Source != p.Source {
			continue
		}
		f.Source = &sourceJSON{Kind: info.Source.String(), File: info.File, Type: info.Type, Networks: info.Networks}
		if !info.Built.IsZero() {
			f.Source.Date = &info.Built
		}
		if info.Source == geo.BuiltIn {
			f.Source.Licence = world.Licence
		}
	}
	return f
}

// printFound prints what was found, an address after the other.
func printFound(out io.Writer, found []foundJSON) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w := &errWriter{w: t}
	for i := range found {
		f := &found[i]
		if i > 0 {
			w.printf("\n")
		}
		w.printf("address\t%s\n", f.Address)
		w.printf("place\t%s\n", printable(f.place()))
		if f.Lat != nil {
			w.printf("position\t%s %s\n", degrees(*f.Lat, "N", "S"), degrees(*f.Lon, "E", "W"))
		}
		if f.ASN != 0 {
			w.printf("network of\tAS%d\n", f.ASN)
		}
		w.printf("scope\t%s\n", f.Scope)
		w.printf("source\t%s\n", printable(f.Source.String()))
	}
	return cmp.Or(w.err, t.Flush())
}

// place is the place in words.
func (f *foundJSON) place() string {
	var parts []string
	if f.City != "" {
		parts = append(parts, f.City)
	}
	if f.Subdivision != "" {
		parts = append(parts, f.Country+"-"+f.Subdivision)
	}
	if f.Country != "" {
		parts = append(parts, strings.TrimSpace(f.CountryName+" ("+f.Country+")"))
	}
	if name := country.ContinentName(f.Continent); name != "" && f.Country != "EU" {
		parts = append(parts, name+" ("+f.Continent+")")
	}
	if len(parts) == 0 {
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

// degrees is a latitude or a longitude in words.
func degrees(v float64, positive, negative string) string {
	side := positive
	if v < 0 {
		side = negative
	}
	return fmt.Sprintf("%.3f %s", math.Abs(v), side)
}

// String is the source in words.
func (s *sourceJSON) String() string {
	if s == nil {
		return "none: no source knows this address"
	}
	text := s.Kind
	for _, more := range []string{s.File, s.Type} {
		if more != "" {
			text += ", " + more
		}
	}
	if s.Date != nil {
		text += " of " + day(*s.Date)
	}
	if s.Licence != "" {
		text += " (" + s.Licence + ")"
	}
	return text
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }
