package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonefile"
	"geodns/internal/zonestore"
)

// versionHandlers are what the control socket is handed of this file and of those
// beside it.
func (d *instance) versionHandlers() control.Versions {
	return control.Versions{
		History: d.zoneHistory, Change: d.zoneChange, Export: d.exportZone, Write: d.writeZone,
		Rollback: d.rollback, Retransfer: d.retransfer, Notify: d.notifyAgain,
	}
}

// zoneNamed is a zone that is served here, or would be: then, z is nil.
func (d *instance) zoneNamed(name string) (apex []byte, z *zone.Zone, err error) {
	apex, err = zonefile.ParseNameLower(name, []byte{0})
	if err != nil {
		return nil, nil, fmt.Errorf("%q is no zone's name: %w", name, err)
	}
	if d.holder.Load().Zones.Get(apex) == nil {
		return nil, nil, &control.NotServedError{Zone: wire.NameString(apex)}
	}
	return apex, d.copyOf(apex), nil
}

// errNothing is about a name for which there is no zone at the moment.
func errNothing(apex []byte) error {
	return fmt.Errorf("there is nothing of %s: its file is broken, or its primary has not given it yet; geodns zone status says which", wire.NameString(apex))
}

var errNoStore = errors.New(`there is no store, so that versions of zones are not kept: name a file as store in the configuration, and restart the server`)

// mostVersions is more than are ever kept of a zone.
const mostVersions = math.MaxInt32

// zoneHistory are the newest n versions of a zone.
func (d *instance) zoneHistory(name string, n int) (control.History, error) {
	apex, z, err := d.zoneNamed(name)
	if err != nil {
		return control.History{}, err
	}
	h := control.History{Zone: wire.NameString(apex), Versions: []control.Version{}}
	if z != nil {
		h.Serial = z.Serial()
	}
	list, err := d.summaries(apex, n+1)
	if h.More = len(list) > n; h.More {
		list = list[:n]
	}
	reachable := true
	for i := range list {
		h.Versions = append(h.Versions, versionInfo(&list[i], reachable))
		reachable = reachable && !list[i].Cut
	}
	return h, err
}

// summaries are what the store knows of the versions of a zone, all that are
// served among them; none if it knows nothing.
func (d *instance) summaries(apex []byte, n int) ([]zonestore.Summary, error) {
	if d.store == nil {
		return nil, errNoStore
	}
	d.publisher.Kept(apex)
	list, err := d.store.History(apex, n)
	if errors.Is(err, zonestore.ErrNotThere) {
		return nil, nil
	}
	return list, err
}

func versionInfo(s *zonestore.Summary, reachable bool) control.Version {
	return control.Version{
		Serial: s.Serial, From: s.From, At: s.At, Origin: string(s.Origin), By: s.By, Note: s.Note,
		Added: max(0, s.Add-1), Deleted: max(0, s.Del-1), Whole: s.Whole, Cut: s.Cut, Reachable: reachable,
	}
}

// errEnough ends the reading of a journal.
var errEnough = errors.New("enough")

// zoneChange is what led to a version of a zone.
func (d *instance) zoneChange(name string, serial uint32) (control.ZoneChange, error) {
	apex, _, err := d.zoneNamed(name)
	if err != nil {
		return control.ZoneChange{}, err
	}
	list, err := d.summaries(apex, mostVersions)
	if err != nil {
		return control.ZoneChange{}, err
	}
	shown := wire.NameString(apex)
	i := slices.IndexFunc(list, func(s zonestore.Summary) bool { return s.Serial == serial })
	switch {
	case i < 0:
		return control.ZoneChange{}, errNotKept(apex, serial)
	case list[i].Whole:
		return control.ZoneChange{}, fmt.Errorf("nothing is known of what was before serial %d of %s: its history begins there", serial, shown)
	}
	out := control.ZoneChange{Zone: shown, Version: versionInfo(&list[i], !slices.ContainsFunc(list[:i], func(s zonestore.Summary) bool { return s.Cut }))}
	err = d.store.Journal(apex, list[i].From, func(c *zonestore.Change) error {
		out.DelAll, out.AddAll = len(c.Del), len(c.Add)
		out.Del, out.Add = recordLines(c.Del, control.MaxLines), recordLines(c.Add, control.MaxLines)
		out.Incomplete = len(out.Del) < out.DelAll || len(out.Add) < out.AddAll
		return errEnough
	})
	switch {
	case errors.Is(err, zonestore.ErrNotThere):
		return out, fmt.Errorf("what led to serial %d of %s is not kept any more; geodns zone history says what is", serial, shown)
	case errors.Is(err, errEnough):
		return out, nil
	}
	return out, err
}

// recordLines are the first records of a list, a line of a master file each, in the
// order in which zones are exported.
func recordLines(list []wire.RR, most int) []string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b wire.RR) int {
		return cmp.Or(cmp.Compare(min(rank(a.Type), 1), min(rank(b.Type), 1)), wire.CompareNames(a.Owner, b.Owner), cmp.Compare(rank(a.Type), rank(b.Type)), cmp.Compare(a.Type, b.Type))
	})
	lines := make([]string, 0, min(len(list), most))
	for i := range list[:cap(lines)] {
		lines = append(lines, strings.Replace(string(zonefile.AppendRR(nil, &list[i])), "\t", " ", 4))
	}
	return lines
}

func errNotKept(apex []byte, serial uint32) error {
	return fmt.Errorf("serial %d of %s is not kept; geodns zone history lists the versions that are", serial, wire.NameString(apex))
}

// undoing is what leads from the version z of a zone back to an older one.
func (d *instance) undoing(apex []byte, z *zone.Zone, serial uint32) (*zone.Changeset, error) {
	if z.Serial() == serial {
		return &zone.Changeset{}, nil
	}
	if d.store == nil {
		return nil, errNoStore
	}
	d.publisher.Kept(apex)
	var undo zone.Undo
	err := d.store.Journal(apex, serial, func(c *zonestore.Change) error {
		undo.Take(&zone.Changeset{Del: c.Del, Add: c.Add})
		if c.Serial == z.Serial() {
			return errEnough // what came meanwhile has nothing to do with z
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return undo.Changes(), nil
	case err == nil || errors.Is(err, zonestore.ErrNotThere):
		// Or the changes end before z: it could not be kept.
		return nil, errNotKept(apex, serial)
	}
	return nil, err
}

// oneZone takes the name of one zone.
func oneZone(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("the name of one zone is wanted, such as example.org; geodns zone status lists them")}
	}
	return nil
}

// parseSerial reads a serial from the command line.
func parseSerial(what, text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, usageError{fmt.Errorf("%s %q is no serial: it must be a number, such as 2026112001; geodns zone history lists them", what, text)}
	}
	return uint32(n), nil
}

func newZoneHistory() *cobra.Command {
	var r remote
	var n int
	var diff string
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Tell which versions of a zone there were, and what changed",
		Long: `History lists the versions of a zone that the server knows of, the newest
first: when each was made, by what (a file, a transfer, an update or a command),
by whom, and how many records came (+) and went (-), without the SOA.

With --diff it prints the records of the change that led to one version.`,
		Args: oneZone,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 || n > 100_000 {
				return usageError{fmt.Errorf("-n %d: it must be from 1 to 100000", n)}
			}
			if diff != "" {
				return r.zoneDiff(cmd, args[0], diff)
			}
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience)
			defer cancel()
			h, err := client.History(ctx, args[0], n)
			if err != nil {
				return err
			}
			if r.output == "json" {
				return encode(cmd.OutOrStdout(), h)
			}
			return historyText(cmd.OutOrStdout(), &h)
		},
	}
	r.flags(cmd)
	cmd.Flags().IntVarP(&n, "number", "n", 20, "how many versions, at most")
	cmd.Flags().StringVar(&diff, "diff", "", "print what led to the version of this `SERIAL`")
	return cmd
}

// zoneDiff prints what led to one version.
func (r *remote) zoneDiff(cmd *cobra.Command, name, text string) error {
	serial, err := parseSerial("--diff", text)
	if err != nil {
		return err
	}
	client, err := r.client(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := r.ctx(cmd, readPatience)
	defer cancel()
	c, err := client.Change(ctx, name, serial)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if r.output == "json" {
		return encode(out, c)
	}
	w := &errWriter{w: out}
	w.printf("; %s %d -> %d, %s\n", printable(c.Zone), c.From, c.Serial, whenceText(&c.Version))
	linesText(w, "-", c.Del, c.DelAll)
	linesText(w, "+", c.Add, c.AddAll)
	return w.err
}

// linesText prints records, and how many more there are.
func linesText(w *errWriter, sign string, lines []string, all int) {
	for _, l := range lines {
		w.printf("%s %s\n", sign, printable(l))
	}
	if n := all - len(lines); n > 0 {
		w.printf("%s and %s more\n", sign, count(n, "record"))
	}
}

// whenceText is how a version came to be, in one line.
func whenceText(v *control.Version) string {
	text := v.At.UTC().Format(time.RFC3339) + ", by " + v.Origin
	if v.By != "" {
		text += " (" + printable(v.By) + ")"
	}
	if v.Note != "" {
		text += ": " + printable(v.Note)
	}
	return text
}

func historyText(out io.Writer, h *control.History) error {
	if len(h.Versions) == 0 {
		_, err := fmt.Fprintf(out, "nothing is kept of the versions of %s; serial %d is served\n", printable(h.Zone), h.Serial)
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w := &errWriter{w: t}
	w.printf("SERIAL\tMADE\tORIGIN\tBY\t+\t-\tNOTE\n")
	for i := range h.Versions {
		v := &h.Versions[i]
		by, added, deleted, note := v.By, "", "", v.Note
		if by == "" {
			by = "-"
		}
		if !v.Whole {
			added, deleted = strconv.Itoa(v.Added), strconv.Itoa(v.Deleted)
		}
		for _, more := range []struct {
			so   bool
			text string
		}{{v.Whole, "history begins here"}, {v.Cut, "what changed is not kept"}, {!v.Reachable, "cannot be had again"}} {
			if more.so && note != "" {
				note += "; "
			}
			if more.so {
				note += more.text
			}
		}
		w.printf("%d\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Serial, v.At.UTC().Format(time.RFC3339), v.Origin, printable(by), added, deleted, printable(note))
	}
	if w.err == nil {
		w.err = t.Flush()
	}
	w.w = out
	if h.More {
		w.printf("there are older ones: -n tells more\n")
	}
	return w.err
}
