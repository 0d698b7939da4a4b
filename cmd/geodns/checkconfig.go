package main

import (
	"cmp"
	"errors"

	"geodns/internal/check"
	"geodns/internal/config"
	"geodns/internal/geo"
	"geodns/internal/steer"
	"geodns/internal/zonefile"
)

// checkConfig checks a configuration and all that it names: zones, the database
// and the own networks of geography, and the files of keys.
func (f *checkFlags) checkConfig(o check.Options) (check.Report, error) {
	cfg, err := config.Load(f.config)
	if err != nil {
		return check.Report{}, err
	}
	var beside []zonefile.Finding
	for _, w := range cfg.Warnings {
		if f.warnings {
			beside = append(beside, besideZones(w.File, w.Line, w.Column, zonefile.Warning, "configuration", w.Message))
		}
	}
	table, err := geo.Load(geographyOf(cfg))
	for _, e := range geoErrors(err) {
		rule := "geo-database"
		if e.File == cfg.Geo.Networks {
			rule = "geo-networks"
		}
		beside = append(beside, besideZones(cmp.Or(e.File, f.config), e.Line, e.Column, zonefile.Error, rule, e.Message))
	}
	beside = append(beside, f.checkCertificate(cfg)...)
	if err == nil {
		o.Rankings = steer.NewRankings(func() *geo.Table { return table })
	}
	report, err := check.Dir(cfg.Zones, o)
	if err == nil {
		report.Add(beside)
	}
	return report, err
}

// builtInRankings is the geography where there is no configuration: that of the
// program, read when the first zone needs it.
func builtInRankings() *steer.Rankings {
	return steer.NewRankings(func() *geo.Table {
		t, err := geo.Load(geographyOf(&config.Config{}))
		if err != nil {
			// The world is part of the program; without it, nothing is known.
			t, _ = geo.Load(geo.Options{})
		}
		return t
	})
}

// besideZones is a finding in what is no zone. Line 0 stands for the file as a
// whole.
func besideZones(file string, line, column int, s zonefile.Severity, rule, message string) zonefile.Finding {
	return zonefile.Finding{Pos: zonefile.Pos{File: file, Line: max(line, 1), Column: max(column, 1)}, Severity: s, Rule: rule, Message: message}
}

// geoErrors takes apart what geography says of its files.
func geoErrors(err error) []geo.Error {
	switch e := err.(type) { //nolint:errorlint // It is taken apart here.
	case nil:
		return nil
	case geo.Error:
		return []geo.Error{e}
	case geo.Errors:
		return e
	case interface{ Unwrap() []error }:
		var all []geo.Error
		for _, one := range e.Unwrap() {
			all = append(all, geoErrors(one)...)
		}
		return all
	case interface{ Unwrap() error }:
		var one geo.Error
		var many geo.Errors
		if errors.As(err, &one) || errors.As(err, &many) {
			return geoErrors(e.Unwrap())
		}
	}
	return []geo.Error{{Message: err.Error()}}
}
