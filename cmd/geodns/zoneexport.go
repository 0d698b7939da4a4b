package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/publish"
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
	"geodns/internal/zonemd"
)

// stateSubtree is the label below which the commands in force stand.
const stateSubtree = "\x06_state"

// exported says which names of a zone are exported.
type exported struct{ stripped, all bool }

func (e exported) takes(z *zone.Zone, owner []byte) bool {
	switch {
	case e.stripped:
		return !steer.Hidden(owner[:len(owner)-len(z.Apex())])
	case e.all:
		return true
	}
	return !wire.HasSuffix(owner, append([]byte(stateSubtree), z.Apex()...))
}

// exportZone looks for a version of a zone, and returns what writes it.
func (d *instance) exportZone(name string, o control.ExportOrder) (func(io.Writer) error, error) {
	apex, z, err := d.zoneNamed(name)
	switch {
	case err != nil:
		return nil, err
	case z == nil:
		return nil, errNothing(apex)
	}
	if o.Serial != nil {
		undo, err := d.undoing(apex, z, *o.Serial)
		if err != nil {
			return nil, err
		}
		if z, err = z.Apply(undo); err != nil {
			return nil, fmt.Errorf("what is kept of %s does not lead back to serial %d: %w", wire.NameString(apex), *o.Serial, err)
		}
	}
	return func(w io.Writer) error {
		_, err := export(w, z, exported{stripped: o.Stripped, all: o.All})
		return err
	}, nil
}

// export writes a zone as a master file: the apex first, with its SOA first, and
// then in canonical order (RFC 4034 6.1). It returns how many records it wrote.
func export(w io.Writer, z *zone.Zone, which exported) (records int, err error) {
	owners, ttl := ownersOf(z, which)
	f := zonefile.NewWriter(w, z.Apex(), ttl, fmt.Sprintf("%s serial %d, as geodns serves it", wire.NameString(z.Apex()), z.Serial()))
	var sets []zone.RRset
	for _, owner := range owners {
		n, _ := z.Find(owner)
		sets = sets[:0]
		for it := n.All(); it.Next(); {
			sets = append(sets, it.Set)
		}
		slices.SortStableFunc(sets, func(a, b zone.RRset) int {
			return cmp.Or(cmp.Compare(rank(a.Type), rank(b.Type)), cmp.Compare(a.Type, b.Type))
		})
		for i := range sets {
			s := &sets[i]
			for list := s.Records; ; records++ {
				data, rest, ok := wire.NextRecord(list)
				if !ok {
					break
				}
				if err := f.Add(&wire.RR{Owner: owner, Type: s.Type, TTL: s.TTL, Data: data}); err != nil {
					return records, err
				}
				list = rest
			}
		}
	}
	return records, f.Close()
}

// rank puts a zone's SOA first, and then its name servers.
func rank(t wire.Type) int {
	switch t {
	case wire.TypeSOA:
		return 0
	case wire.TypeNS:
		return 1
	}
	return 2
}

// ownersOf are the names that hold something, sorted, and the TTL that most RRsets
// have.
func ownersOf(z *zone.Zone, which exported) (owners [][]byte, ttl uint32) {
	ttls := map[uint32]int{}
	var names []byte // all of them, one behind the other: their number may be great
	var ends []int
	var last []byte
	z.Each(func(owner []byte, s *zone.RRset) bool {
		same := bytes.Equal(owner, last)
		if !same && !which.takes(z, owner) {
			return true
		}
		if ttls[s.TTL]++; !same {
			names = append(names, owner...)
			ends = append(ends, len(names))
			last = names[len(names)-len(owner):]
		}
		return true
	})
	begin := 0
	owners = make([][]byte, len(ends))
	for i, end := range ends {
		owners[i] = names[begin:end]
		begin = end
	}
	slices.SortFunc(owners, wire.CompareNames)
	for t, n := range ttls {
		if n > ttls[ttl] || n == ttls[ttl] && t < ttl {
			ttl = t
		}
	}
	return owners, ttl
}

// includes matches what takes another file into a master file (RFC 1035 5.1).
var includes = regexp.MustCompile(`(?im)^\$INCLUDE\b`)

// writeZone exports a zone to its own file. What was changed in the file and not
// been read yet is read before, so that it is not lost; what was written is read
// after, so that it is known that the server takes it for the same.
func (d *instance) writeZone(name string) (out control.Written, err error) {
	apex, _, err := d.zoneNamed(name)
	if err != nil {
		return out, err
	}
	out.Zone = wire.NameString(apex)
	if d.sync.rules.Load().secondary(apex) {
		return out, fmt.Errorf("%s is taken from other servers, and has no file here", out.Zone)
	}
	var refused error
	r := d.serially(false, func(*control.Reload) ([]zonedir.Result, error) {
		path, err := d.fileOf(out.Zone)
		if err != nil {
			refused = err
			return nil, nil
		}
		results, err := d.load(zonedir.ScanOptions{Names: []string{filepath.Base(path)}})
		if err != nil {
			return results, err
		}
		if refused = d.writeFile(apex, &out); refused != nil || out.Same {
			return results, nil
		}
		more, err := d.load(zonedir.ScanOptions{Names: []string{filepath.Base(path)}})
		return append(results, more...), err
	})
	switch {
	case refused != nil:
		return out, refused
	case r.Error != "":
		return out, errors.New(r.Error)
	}
	return out, nil
}

// fileOf is the file of a zone, which must not be broken.
func (d *instance) fileOf(name string) (string, error) {
	for _, s := range d.zones.States() {
		if s.Zone != name {
			continue
		}
		if !s.Broken.IsZero() {
			return "", fmt.Errorf("the file %s of %s is broken, and what was changed in it would be lost: correct it first, or take it away", s.File, name)
		}
		return s.File, nil
	}
	return "", fmt.Errorf("%s has no file here: geodns zone export prints it", name)
}

// writeFile writes the zone as it is now. Nobody can change it meanwhile: else an
// update that came in between would be undone by the file when that is read.
func (d *instance) writeFile(apex []byte, out *control.Written) error {
	path, err := d.fileOf(out.Zone)
	if err != nil {
		return err
	}
	out.File = path
	changed := d.publisher.Edit(apex, publish.FromCommand, func(cur *zone.Zone) []publish.Edition {
		var text bytes.Buffer
		var says *zone.Zone
		if says, err = d.asFile(cur); err == nil {
			out.Records, err = export(&text, says, exported{})
		}
		if err != nil {
			return nil
		}
		out.Serial = cur.Serial()
		if out.Same, err = replaceFile(path, text.Bytes()); err != nil || out.Same {
			return nil
		}
		if d.sync.versions != nil && d.sync.rules.Load().zone(apex).Updates != nil {
			// From now on, edits of the file are edits of this. If the process dies
			// before, the file counts as an edit that does what was done already.
			err = d.sync.versions.KeepSeed(says, 0)
		}
		return nil
	})
	return cmp.Or(err, changed)
}

// asFile is a zone as its file says it: without the records of commands in force,
// and without a digest that is made anew for each version.
func (d *instance) asFile(cur *zone.Zone) (*zone.Zone, error) {
	c := &zone.Changeset{}
	sealed := d.sync.rules.Load().sealed[string(cur.Apex())]
	cur.Each(func(owner []byte, s *zone.RRset) bool {
		if (exported{}).takes(cur, owner) && (!sealed || s.Type != zonemd.Type || len(owner) != len(cur.Apex())) {
			return true
		}
		for list := s.Records; ; {
			data, rest, ok := wire.NextRecord(list)
			if !ok {
				return true
			}
			c.Del = append(c.Del, wire.RR{Owner: slices.Clone(owner), Type: s.Type, TTL: s.TTL, Data: slices.Clone(data)})
			list = rest
		}
	})
	return cur.Apply(c)
}

// replaceFile gives a file other contents, whole or not at all, unless they are
// those that it has. Its owner and its mode stay.
func replaceFile(path string, text []byte) (same bool, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false, err
	}
	old, err := os.ReadFile(path)
	switch {
	case err != nil:
		return false, err
	case bytes.Equal(old, text):
		return true, nil
	case includes.Match(old):
		return false, fmt.Errorf("%s takes in other files with $INCLUDE, which would no longer be used: put their records into it first, or export to another file", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	// Beside it, so that it can be renamed; its name is none of a zone file.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return false, err
	}
	_, err = f.Write(text)
	if s, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && (int(s.Uid) != os.Geteuid() || int(s.Gid) != os.Getegid()) {
		err = f.Chown(int(s.Uid), int(s.Gid))
	}
	err = cmp.Or(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(f.Name()))
	}
	return false, syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory outlive a loss of power.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return cmp.Or(dir.Sync(), dir.Close())
}

// exportCommand is what the command line of zone export says.
type exportCommand struct {
	remote
	order  control.ExportOrder
	serial string
	write  bool
}

func newZoneExport() *cobra.Command {
	var x exportCommand
	cmd := &cobra.Command{
		Use:   "export NAME",
		Short: "Print a zone as the running server has it, or write it to its file",
		Long: `Export prints a zone as a master file, as the server that runs has it: with what
updates and transfers made of it, or as it was at an older serial that geodns
zone history lists.

The records below _state are those of commands in force (drains and the like) and
are left out, unless --all.

With --write the server writes the zone to its file in the zones directory, in
one step: for zones that take updates, so that the file says what they have become.
Comments, $GENERATE and the order of the old file are lost; the zone does not
change.`,
		Args: oneZone,
		RunE: func(cmd *cobra.Command, args []string) error { return x.run(cmd, args[0]) },
	}
	x.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&x.serial, "serial", "", "the version of this `SERIAL`, instead of the one that is served")
	flags.BoolVar(&x.order.Stripped, "stripped", false, "without all that steers: _steer, _site, _node, _check, _state")
	flags.BoolVar(&x.order.All, "all", false, "with the records of commands in force, below _state")
	flags.BoolVar(&x.write, "write", false, "write it to the zone's own file")
	return cmd
}

func (x *exportCommand) run(cmd *cobra.Command, name string) error {
	switch {
	case x.write && (x.serial != "" || x.order.Stripped || x.order.All):
		return usageError{errors.New("--write writes the zone as it is served, and goes with no other choice; geodns zone rollback brings an older version back")}
	case x.order.Stripped && x.order.All:
		return usageError{errors.New("--stripped and --all contradict each other")}
	case x.output == "json" && !x.write:
		return usageError{errors.New("a zone is exported as a master file, not as JSON; geodns zone history --diff prints records as JSON")}
	}
	if x.serial != "" {
		serial, err := parseSerial("--serial", x.serial)
		if err != nil {
			return err
		}
		x.order.Serial = &serial
	}
	client, err := x.client(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := x.ctx(cmd, reloadPatience)
	defer cancel()
	out := cmd.OutOrStdout()
	if !x.write {
		return client.Export(ctx, name, x.order, out)
	}
	res, err := client.WriteZone(ctx, name)
	if err != nil {
		return err
	}
	if x.output == "json" {
		return encode(out, res)
	}
	what := "written"
	if res.Same {
		what = "says so already"
	}
	_, err = fmt.Fprintf(out, "%s: serial %d, %s: %s %s\n", printable(res.Zone), res.Serial, count(res.Records, "record"), printable(res.File), what)
	return err
}
