package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"geodns/internal/control"
	"geodns/internal/publish"
	"geodns/internal/wire"
	"geodns/internal/zone"
	"geodns/internal/zonemd"
)

// shownLines is how many records of each kind a rollback lists.
const shownLines = 20

// rollback serves what an older version of a zone said, as a version of its own.
func (d *instance) rollback(name string, o control.RollbackOrder, by string) (control.RollbackResult, error) {
	res := control.RollbackResult{To: o.Serial, DryRun: o.DryRun, Del: []string{}, Add: []string{}}
	apex, z, err := d.zoneNamed(name)
	if err != nil {
		return res, err
	}
	res.Zone = wire.NameString(apex)
	if err := d.mayRollBack(apex, z, &res); err != nil {
		return res, err
	}
	edited := d.publisher.Edit(apex, publish.FromCommand, func(cur *zone.Zone) []publish.Edition {
		var next *zone.Zone
		var changes *zone.Changeset
		if next, changes, err = d.rolledBack(apex, cur, &res); err != nil || next == nil || o.DryRun {
			return nil
		}
		return []publish.Edition{{Zone: next, Changes: changes, By: by, Note: fmt.Sprintf("rollback to %d", o.Serial), Apart: !res.Merged}}
	})
	var steering *publish.SteeringError
	switch {
	case err != nil:
		return res, err
	case errors.As(edited, &steering):
		return res, fmt.Errorf("serial %d of %s can't be served any more, since its steering has a problem: %w", o.Serial, res.Zone, edited)
	case edited != nil:
		return res, edited
	}
	if !res.Same && !o.DryRun {
		d.commandsChanged() // sites that are drained may have come or gone
	}
	return res, nil
}

// mayRollBack tells why a zone can't be rolled back, and notes in res what becomes
// of its file.
func (d *instance) mayRollBack(apex []byte, z *zone.Zone, res *control.RollbackResult) error {
	rules := d.sync.rules.Load()
	if rules.secondary(apex) {
		return fmt.Errorf("%s is taken from other servers, and their next version would replace it: roll it back at its primary", res.Zone)
	}
	for _, s := range d.zones.States() {
		if s.Zone == res.Zone {
			res.File = s.File
		}
	}
	res.Merged = rules.zone(apex).Updates != nil
	switch {
	case z == nil:
		return errNothing(apex)
	case res.File == "":
		return fmt.Errorf("%s is made by the server itself, and would be made again", res.Zone)
	case z.Signed():
		return fmt.Errorf("%s is signed: another serial would not match the signature of its SOA; export the older version, sign it, and put it into %s", res.Zone, res.File)
	case hasDigest(z) && !rules.sealed[string(apex)]:
		return fmt.Errorf("%s has a digest (ZONEMD) of its own, which would not match another serial: say zonemd: make for it in the configuration, or export the older version and put it into %s", res.Zone, res.File)
	case !res.Merged && rules.serials[string(apex)] == publish.SerialStrict:
		return fmt.Errorf("%s is numbered by its file (serial: strict): export the older version, raise its serial, and put it into %s", res.Zone, res.File)
	}
	return nil
}

func hasDigest(z *zone.Zone) bool {
	_, ok := z.ApexNode().Set(zonemd.Type)
	return ok
}

// rolledBack makes the version of a rollback, and notes what changes; nil: nothing
// does.
func (d *instance) rolledBack(apex []byte, cur *zone.Zone, res *control.RollbackResult) (*zone.Zone, *zone.Changeset, error) {
	res.Before, res.After = cur.Serial(), cur.Serial()
	undo, err := d.undoing(apex, cur, res.To)
	if err != nil {
		return nil, nil, err
	}
	next, changes, err := publish.Rollback(cur, undo)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("serial %d of %s can't be served any more: %w", res.To, res.Zone, err)
	case next == nil:
		res.Same = true
		return nil, nil, nil
	}
	res.After = next.Serial()
	// The SOA is the first of both.
	del, add := changes.Del[1:], changes.Add[1:]
	res.DelAll, res.AddAll = len(del), len(add)
	res.Del, res.Add = recordLines(del, shownLines), recordLines(add, shownLines)
	withOld, _, err := publish.WithSerial(next, cur.Serial())
	if err != nil {
		return nil, nil, err
	}
	a, b := publish.SOA(withOld), publish.SOA(cur)
	res.SOA = a.TTL != b.TTL || string(a.Data) != string(b.Data)
	if !res.DryRun {
		return next, changes, nil
	}
	_, problems := d.publisher.Compile(next, nil)
	for i := range problems {
		if !problems[i].Warning {
			return nil, nil, fmt.Errorf("serial %d of %s can't be served any more, since its steering has a problem: %w", res.To, res.Zone, &problems[i])
		}
	}
	return next, changes, nil
}

func newZoneRollback() *cobra.Command {
	var r remote
	var o control.RollbackOrder
	cmd := &cobra.Command{
		Use:   "rollback NAME SERIAL",
		Short: "Serve again what an older version of a zone said",
		Long: `Rollback has the running server serve again what a zone said at an older serial
that geodns zone history lists: as a new version with the next serial, so that
secondaries follow. It prints what changes. Commands in force (drains and the like)
are left alone.

The zone's file is not changed. Of a zone that only its file makes the file counts
again when it is changed or read anew, also at a restart: correct it, or write what
is served to it with geodns zone export --write. Copies are rolled back at their
primary.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("the name of one zone and a serial are wanted; geodns zone history NAME lists the serials")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Serial, err = parseSerial("the serial", args[1]); err != nil {
				return err
			}
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, reloadPatience)
			defer cancel()
			res, err := client.Rollback(ctx, args[0], o)
			if err != nil {
				return err
			}
			if r.output == "json" {
				return encode(cmd.OutOrStdout(), res)
			}
			return rollbackText(cmd.OutOrStdout(), &res)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only tell what would change")
	return cmd
}

func rollbackText(out io.Writer, res *control.RollbackResult) error {
	w := &errWriter{w: out}
	name := printable(res.Zone)
	if res.Same {
		w.printf("%s: serial %d says the same as serial %d; nothing was done\n", name, res.Before, res.To)
		return w.err
	}
	linesText(w, "-", res.Del, res.DelAll)
	linesText(w, "+", res.Add, res.AddAll)
	soa := ""
	if res.SOA {
		soa = ", and the SOA"
	}
	if res.DryRun {
		w.printf("%s: not changed; %s would go and %d come%s, as serial %d\n", name, count(res.DelAll, "record"), res.AddAll, soa, res.After)
		return w.err
	}
	w.printf("%s: serial %d says what serial %d said: %s went and %d came%s\n", name, res.After, res.To, count(res.DelAll, "record"), res.AddAll, soa)
	file := printable(res.File)
	if res.Merged {
		w.printf("%s is as it was; geodns zone export --write %s writes to it what is served\n", file, name)
		return w.err
	}
	w.printf("%s still says otherwise, and counts again when it changes or the server is restarted: correct it, or geodns zone export --write %s\n", file, name)
	return w.err
}
