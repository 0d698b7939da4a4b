// Package positions owns where in its file each steering record of a zone
// stands, so that what is wrong with one can be told with line and column.
//
// Invariant: what is kept is bounded by the steering records; a place is that
// of the very octet where the text stands in the file as it is, else that of
// the record.
package positions

import (
	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// Places are the steering records of a file; nil has none.
type Places struct {
	file string
	text zonefile.Strings
	at   map[string]place // by owner and RDATA, or owner alone
}

// place is where a record stands, and its text if it is TXT.
type place struct {
	record zonefile.Pos
	text   []zonefile.Stretch
}

// In returns the empty Places of a file.
func In(file string) *Places { return &Places{file: file, at: map[string]place{}} }

// Strings is for the zonefile.Options of the reading whose records are noted.
func (p *Places) Strings() *zonefile.Strings { return &p.text }

// Note notes a record that is being read, if it may be one of steering.
func (p *Places) Note(rr *wire.RR, pos zonefile.Pos) {
	if !below(rr.Owner) {
		return
	}
	at := place{record: pos, text: p.text.Stretches()}
	for _, key := range [...]string{string(rr.Owner) + string(rr.Data), string(rr.Owner)} {
		if _, ok := p.at[key]; !ok {
			p.at[key] = at
		}
	}
}

// Knows reports whether an owner (wire form, lower case) has records that were
// noted.
func (p *Places) Knows(owner []byte) bool {
	if p == nil {
		return false
	}
	_, ok := p.at[string(owner)]
	return ok
}

// below reports whether some label of a name is that of a steering subtree.
func below(name []byte) bool {
	for i := 0; i < len(name) && name[i] != 0; i += 1 + int(name[i]) {
		if steer.HiddenLabel(name[i+1 : i+1+int(name[i])]) {
			return true
		}
	}
	return false
}

// Finding is a problem in its place.
func (p *Places) Finding(pr *steer.Problem) zonefile.Finding {
	f := zonefile.Finding{
		Rule: pr.Rule, Severity: zonefile.Error, Remedy: pr.Remedy,
		Message: wire.NameString(pr.Owner) + ": " + pr.Text,
		Pos:     zonefile.Pos{Line: 1, Column: 1},
	}
	if pr.Warning {
		f.Severity = zonefile.Warning
	}
	if p == nil {
		return f
	}
	f.Pos.File = p.file
	if at, ok := p.at[string(pr.Owner)+string(pr.Data)]; ok && pr.Data != nil {
		f.Pos = at.octet(pr.At)
	} else if at, ok := p.at[string(pr.Owner)]; ok {
		f.Pos = at.record
	}
	return f
}

// octet is where an octet of the text stands.
func (at *place) octet(n int) zonefile.Pos {
	pos := at.record
	for _, s := range at.text {
		if s.At > n {
			break
		}
		pos = s.Pos
		pos.Column += n - s.At
	}
	return pos
}
