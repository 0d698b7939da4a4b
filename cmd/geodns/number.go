package main

import (
	"errors"

	"geodns/internal/publish"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// acceptNumber refuses the version of a file whose zone is taken from others, or
// that should have a newer serial.
func (d *instance) acceptNumber(r *zonedir.Result) bool {
	rules := d.sync.rules.Load()
	if rules == nil {
		return true // only the files are looked at
	}
	refuse := func(rule, message, remedy string) bool {
		pos := zonefile.Pos{File: r.File, Line: 1, Column: 1}
		r.Findings = append(r.Findings, zonefile.Finding{Pos: pos, Severity: zonefile.Error, Rule: rule, Message: message, Remedy: remedy})
		r.Zone, r.Steering = nil, nil
		return false
	}
	if rules.secondary(r.Apex) {
		return refuse("secondary", "the zone is taken from other servers, as secondary says", "take the file away, or the entry")
	}
	if rules.serials[string(r.Apex)] != publish.SerialStrict {
		return true
	}
	var serial *publish.SerialError
	err := d.publisher.Check(publish.Change{Apex: r.Apex, Zone: r.Zone, Source: publish.Source(r.Source)})
	if errors.As(err, &serial) {
		return refuse("serial", serial.Error(), serial.Remedy())
	}
	return true
}
