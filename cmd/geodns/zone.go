package main

import (
	"errors"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/control"
)

func newZone() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "zone",
		Short: "See and change single zones of the running server",
		Args:  unknownCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("a command is missing: status, reload, history, export, rollback, retransfer or notify")}
		},
	}
	cmd.SuggestionsMinimumDistance = 2 // letters
	cmd.AddCommand(newZoneStatus(), newZoneReload(), newZoneHistory(), newZoneExport(), newZoneRollback(), newZoneRetransfer(), newZoneNotify())
	return cmd
}

func newZoneStatus() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "status [NAME...]",
		Short: "Tell how zones are, or all of them",
		RunE: func(cmd *cobra.Command, names []string) error {
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, readPatience)
			defer cancel()
			zones := []control.Zone{}
			if len(names) == 0 {
				zones, err = client.Zones(ctx)
			}
			for _, name := range names {
				var z control.Zone
				if z, err = client.Zone(ctx, name); err != nil {
					break
				}
				zones = append(zones, z)
			}
			if err != nil {
				return err
			}
			if r.output == "json" {
				return encode(cmd.OutOrStdout(), zones)
			}
			return zonesText(cmd.OutOrStdout(), zones, len(names) > 0, time.Now())
		},
	}
	r.flags(cmd)
	return cmd
}

// zonesText prints a table, then what is wrong, or, in detail, all that is known.
// Ages are reckoned from now.
func zonesText(out io.Writer, zones []control.Zone, detail bool, now time.Time) error {
	colour := colours(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w := &errWriter{w: t}
	w.printf("ZONE\tSERIAL\tRECORDS\tREAD\tFROM\tSTATE\n") // colours last: they count as width
	for i := range zones {
		z := &zones[i]
		name := z.Name
		if name == "" {
			name = "-"
		}
		code := green
		if z.State != control.StateServing {
			code = red
		}
		w.printf("%s\t%d\t%d\t%s\t%s\t%s\n", printable(name), z.Serial, z.Records, zoneRead(z), printable(comesFrom(z)), paint(colour, code, z.State))
	}
	if w.err == nil {
		w.err = t.Flush()
	}
	w.w = out
	for i := range zones {
		z := &zones[i]
		if z.Broken() {
			brokenText(w, z, colour)
		}
		if z.Copy != nil && (detail || z.State != control.StateServing || z.Copy.Error != "") {
			copyText(w, z, now)
		}
		if detail {
			_ = toldText(w, z.Told)
		}
	}
	return w.err
}

// zoneRead is when a zone was read from its file, or confirmed by a primary.
func zoneRead(z *control.Zone) string {
	at := z.Loaded
	if z.Copy != nil {
		at = z.Copy.Confirmed
	}
	if at.IsZero() {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}

// comesFrom is a zone's file, or the primary that it is from.
func comesFrom(z *control.Zone) string {
	switch {
	case z.File != "":
		return z.File
	case z.Copy == nil:
		return "geodns"
	case z.Copy.Primary == "":
		return "-"
	}
	return z.Copy.Primary
}

func newZoneReload() *cobra.Command {
	var r remote
	var force bool
	cmd := &cobra.Command{
		Use:   "reload NAME",
		Short: "Have the running server read one zone's file again, changed or not",
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) != 1 {
				return usageError{errors.New("the name of one zone is wanted; geodns reload reads all that changed")}
			}
			client, err := r.client(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := r.ctx(cmd, reloadPatience)
			defer cancel()
			result, err := client.ReloadZone(ctx, names[0], force)
			if err != nil {
				return err
			}
			return r.printReload(cmd.OutOrStdout(), cmd.ErrOrStderr(), &result)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "take the file, too, if it lost more of its records than shrink-limit allows")
	return cmd
}
