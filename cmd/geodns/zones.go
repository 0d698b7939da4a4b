package main

import (
	"context"
	"log/slog"
	"time"

	"geodns/internal/wire"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// maxLogged is how many findings of one file are logged; check shows all.
const maxLogged = 20

// report logs what became of a zone file.
func (d *instance) report(r *zonedir.Result) {
	for i, f := range r.Findings {
		if i == maxLogged {
			d.log.Error("there is more: see geodns check", "file", r.File, "findings", len(r.Findings)-i)
			break
		}
		level := slog.LevelError
		if f.Severity == zonefile.Warning {
			level = slog.LevelWarn
		}
		d.log.Log(context.Background(), level, f.Message, "at", f.Pos.String(), "remedy", f.Remedy)
	}
	name := wire.NameString(r.Apex)
	switch {
	case r.Gone:
		d.log.Info("zone is no longer served", "zone", name, "file", r.File)
	case r.Kept:
		d.log.Error("the file is broken, the zone's last good version stays in service", "zone", name, "file", r.File)
	case r.Zone == nil:
		d.log.Error("the file is broken and makes no zone: its names are answered SERVFAIL", "zone", name, "file", r.File)
	default:
		d.log.Debug("zone read", "zone", name, "serial", r.Zone.Serial(), "records", r.Stats.Records, "took", r.Took.Round(time.Microsecond))
	}
}

// summary is what a scan did, as attributes of one log line.
func summary(results []zonedir.Result) []any {
	var zones, broken, gone, records int
	for i := range results {
		switch r := &results[i]; {
		case r.Gone:
			gone++
		case r.Zone == nil:
			broken++
		default:
			zones++
			records += r.Stats.Records
		}
	}
	attrs := []any{"zones", zones, "records", records}
	if broken > 0 {
		attrs = append(attrs, "broken", broken)
	}
	if gone > 0 {
		attrs = append(attrs, "gone", gone)
	}
	return attrs
}
