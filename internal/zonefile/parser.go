package zonefile

import (
	"bytes"
	"errors"
	"io"
	"path"

	"geodns/internal/wire"
)

// maxData is the longest RDATA, in octets (RFC 1035 3.2.1: RDLENGTH).
const maxData = 65535

// parser is one reading: of a file and those that it includes.
type parser struct {
	o      Options
	rec    func(*wire.RR, Pos) error
	report func(Finding)
	stats  Stats
	done   bool  // nothing more is to be read
	err    error // for Parse to return

	source          // the file that is being read
	files  []string // those that are open, the outermost first

	// RFC 2308 4: $TTL is the default for records without; RFC 1035 5.1 has
	// the last TTL that was written. Both live on through $INCLUDE.
	defaultTTL, lastTTL       uint32
	haveDefault, haveLastTTL  bool
	saidNoTTL                 bool
	generated                 *generator // within a $GENERATE, else nil
	rr                        wire.RR
	data, scratch, foreignBuf []byte
	foreignOrigin             string // source.origin as text, for miekg/dns
	foreignFor                []byte // the origin that foreignOrigin is for
}

// source is what an $INCLUDE sets aside.
type source struct {
	lx          *lexer
	file        string
	origin      []byte // as written
	originLower []byte
	owner       []byte // of the record before; lower case
	ownerState  ownerState
}

// ownerState says what source.owner is worth.
type ownerState uint8

const (
	noOwner   ownerState = iota // there was no record yet
	goodOwner                   // it can be inherited
	lostOwner                   // the last owner could not be read, and that was reported
)

// Parse reads one master file and calls rec for each record, in order. rr and
// its slices are valid only during the call. An error that rec returns becomes
// a Finding at the record's place (a Finding or *Finding is taken over whole,
// its Pos filled in if it is zero), and reading goes on; ErrStop ends it.
//
// report gets every finding, also in order. After 1,000 errors reading ends
// with a last finding that says so; of warnings the first 1,000 are reported.
//
// The error is ErrStop, or what a reader returned.
func Parse(r io.Reader, o Options, rec func(rr *wire.RR, pos Pos) error, report func(Finding)) (Stats, error) {
	p := &parser{o: o, rec: rec, report: report}
	if o.Strings != nil {
		o.Strings.p = p
	}
	p.source = source{lx: newLexer(r, nil), file: o.File, origin: bytes.Clone(o.Origin), originLower: bytes.Clone(o.Origin)}
	p.files = []string{path.Clean(o.File)}
	p.run()
	if o.Strings != nil {
		o.Strings.p = nil // which holds the buffers
	}
	return p.stats, p.err
}

// run reads the current file to its end.
func (p *parser) run() {
	p.mark()
	for !p.done && p.lx.next() {
		if p.lx.bad.rule != "" {
			p.badEntry()
			continue
		}
		t := &p.lx.toks[0]
		if !p.lx.blank && !t.quoted && p.text(t)[0] == '$' {
			p.directive()
			continue
		}
		p.entry()
	}
	p.stats.Bytes += p.lx.read
	if p.lx.err != nil && p.err == nil {
		p.done, p.err = true, p.lx.err
	}
}

// mark looks for a byte order mark in front of the file.
func (p *parser) mark() {
	l := p.lx
	l.fill()
	head := l.buf[:l.end]
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		p.find(Finding{
			Pos: Pos{p.file, 1, 1}, Severity: Warning, Rule: "byte-order-mark",
			Message: "the file begins with a byte order mark, which is skipped", Remedy: "save it as UTF-8 without one",
		})
		l.pos = 3
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		p.find(Finding{
			Pos: Pos{p.file, 1, 1}, Rule: "byte-order-mark",
			Message: "the file is in UTF-16, which no DNS server reads", Remedy: "save it as UTF-8 or ASCII",
		})
		l.pos, l.end, l.eof = 0, 0, true
	}
}

// badEntry reports what the lexer met, and keeps the owner if it can.
func (p *parser) badEntry() {
	b := p.lx.bad
	message, remedy := b.describe()
	p.find(Finding{Pos: Pos{p.file, b.line, b.column}, Rule: b.rule, Message: message, Remedy: remedy})
	if p.lx.blank {
		return
	}
	p.ownerState = lostOwner
	if len(p.lx.toks) > 0 && !p.lx.toks[0].quoted {
		if owner, f, _ := appendName(p.owner[:0], p.text(&p.lx.toks[0]), p.originLower, &letters.lower); f == 0 {
			p.owner, p.ownerState = owner, goodOwner
		}
	}
}

// describe puts a lexer's trouble into words.
func (b trouble) describe() (message, remedy string) {
	switch b.rule {
	case "parenthesis-open":
		return "this parenthesis is not closed", "write ) where the record ends"
	case "parenthesis-extra":
		return "this closing parenthesis has no opening one", "remove it, or write ( where the record should begin to span lines"
	case "quote-open":
		return "this quote is not closed on its line", `write " where the string ends; split a long string into several (RFC 1035 5.1)`
	case "escape":
		return "there is nothing behind this backslash that it could escape", `remove it, or write \092 for a backslash`
	case "bare-cr":
		return "there is a carriage return within the line", "end lines with a line feed, or a carriage return and a line feed"
	case "entry-length":
		return "the entry is longer than 1 MiB", "split it; no record is that large"
	}
	return "there is a control character, value " + itoa(int(b.octet)), "remove it, or write it as an escape \\DDD; if the file is not text, it is no master file"
}

// entry reads a record: [owner] [TTL] [class] type RDATA, TTL and class in
// either order (RFC 1035 5.1).
func (p *parser) entry() {
	toks := p.lx.toks
	i := 0
	if !p.lx.blank {
		if !p.setOwner(&toks[0]) {
			return
		}
		i = 1
	} else if !p.inherit(&toks[0]) {
		return
	}
	var ttl ttlField
	haveClass := false
	for ; i < len(toks); i++ {
		t := &toks[i]
		text := p.text(t)
		switch {
		case t.quoted:
			p.fail(t, 0, "syntax", "a TTL, class or type is never quoted, but "+quote(text)+" is", "remove the quotes")
			return
		case isDigit(text[0]) && !ttl.set:
			if !p.readTTL(t, &ttl) {
				return
			}
			continue
		case !haveClass:
			if class, ok := classOf(text); ok {
				if haveClass = p.checkClass(t, class); !haveClass {
					return
				}
				continue
			}
		}
		typ, ok := p.recordType(t)
		if ok {
			p.record(typ, ttl, i+1)
		}
		return
	}
	last := &toks[len(toks)-1]
	p.fail(last, int(last.end-last.start), "type-missing", "the entry ends where a record type should stand", "write owner, TTL, class, type and data, such as: www 300 IN A 192.0.2.1")
}

// setOwner reads an owner and keeps it for the records that inherit it.
func (p *parser) setOwner(t *token) bool {
	p.ownerState = lostOwner
	if t.quoted {
		p.fail(t, 0, "syntax", "an owner is never quoted, but "+quote(p.text(t))+" is", "remove the quotes, and escape odd characters with a backslash")
		return false
	}
	owner, f, at := appendName(p.owner[:0], p.text(t), p.originLower, &letters.lower)
	p.owner = owner
	if f != 0 {
		p.nameFault(t, f, at, "the owner "+quote(p.text(t)))
		return false
	}
	p.ownerState = goodOwner
	return true
}

// inherit reports whether there is an owner for an entry that begins with a
// blank.
func (p *parser) inherit(t *token) bool {
	if p.ownerState == noOwner {
		p.ownerState = lostOwner // once is enough
		p.fail(t, 0, "owner-missing", "the line begins with a blank, so it takes the owner of the record before, but there is none in this file", "write an owner in the first column, or @ for the origin")
	}
	return p.ownerState == goodOwner
}

// ttlField is a TTL as an entry has it.
type ttlField struct {
	set   bool
	value uint32 // seconds
}

// readTTL reads a TTL in front of a type. A word with a digit in front can be
// nothing else there.
func (p *parser) readTTL(t *token, ttl *ttlField) bool {
	v, ok := p.ttl(t)
	*ttl = ttlField{ok, v}
	return ok
}

// ttl reads a TTL, in seconds.
func (p *parser) ttl(t *token) (uint32, bool) {
	text := p.text(t)
	v, ok, tooLarge := period(text)
	switch {
	case t.quoted || !ok:
		p.fail(t, 0, "ttl", quote(text)+" is no TTL", "write seconds, or numbers with the units w, d, h, m, s, such as 1h30m")
		return 0, false
	case tooLarge:
		p.fail(t, 0, "ttl-range", "the TTL "+quote(text)+" does not fit into 32 bits", "write at most 2147483647 seconds (RFC 2181 8)")
		return 0, false
	case v > wire.MaxTTL:
		// RFC 2181 8: with the top bit set it counts as 0; BIND warns as well.
		p.warn(t, "ttl-range", "the TTL "+quote(text)+" is over 2147483647 seconds and so means 0 (RFC 2181 8)", "write a smaller one")
		v = 0
	}
	return uint32(v), true
}

// checkClass refuses what is not class IN.
func (p *parser) checkClass(t *token, class uint16) bool {
	if class == wire.ClassIN {
		return true
	}
	p.fail(t, 0, "class", "the class "+quote(p.text(t))+" is not served; zones are of class IN", "write IN, or leave it out")
	return false
}

// recordType reads a type that a zone may hold.
func (p *parser) recordType(t *token) (wire.Type, bool) {
	text := p.text(t)
	typ, ok := typeOf(text)
	switch {
	case !ok && text[0] == '$':
		p.fail(t, 0, "type", quote(text)+" is no record type", "begin a directive in the first column")
	case !ok && isDigit(text[0]):
		p.fail(t, 0, "type", "there is a second TTL, "+quote(text)+", where a record type should stand", "remove one of the two")
	case !ok:
		p.fail(t, 0, "type", quote(text)+" is no record type", "correct it; a type that has no mnemonic here is written TYPE and its number (RFC 3597)")
	case wire.MetaType(typ):
		// RFC 6895 3.1: QTYPEs and meta-TYPEs are for messages.
		p.fail(t, 0, "type-meta", "the type "+quote(text)+" occurs in messages only, never in a zone", "remove the record")
		ok = false
	}
	return typ, ok
}

// record reads the RDATA, settles the TTL and hands the record over.
func (p *parser) record(typ wire.Type, ttl ttlField, first int) {
	if p.o.Strings != nil {
		p.o.Strings.first = first
	}
	p.data = p.data[:0]
	if !p.rdata(typ, first) {
		return
	}
	if len(p.data) > maxData {
		p.fail(&p.lx.toks[first], 0, "rdata-length", "the data of this "+TypeString(typ)+" record takes "+itoa(len(p.data))+" octets", "shorten it to at most 65535 (RFC 1035 3.2.1)")
		return
	}
	seconds, ok := p.settleTTL(typ, ttl, first-1)
	if ok {
		p.hand(typ, seconds)
	}
}

// settleTTL says which TTL a record has, in seconds.
func (p *parser) settleTTL(typ wire.Type, ttl ttlField, at int) (uint32, bool) {
	switch {
	case ttl.set:
		p.lastTTL, p.haveLastTTL = ttl.value, true
		return ttl.value, true
	case p.haveDefault:
		// RFC 2308 4: $TTL goes before the last TTL that was written.
		return p.defaultTTL, true
	case p.haveLastTTL:
		// RFC 1035 5.1: an omitted TTL is the last one stated.
		return p.lastTTL, true
	}
	t := &p.lx.toks[at]
	if typ == wire.TypeSOA && len(p.data) >= 4 {
		m := p.data[len(p.data)-4:]
		v := uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3])
		if v > wire.MaxTTL {
			v = 0 // RFC 2181 8
		}
		p.warn(t, "ttl-missing", "there is no TTL, so the SOA's MINIMUM, "+itoa(int(v))+" seconds, becomes the default", "write a $TTL line above (RFC 2308 4)")
		p.defaultTTL, p.haveDefault = v, true
		return v, true
	}
	if !p.saidNoTTL {
		p.saidNoTTL = true // one line mends all
		p.fail(t, 0, "ttl-missing", "this record has no TTL, and nothing above gives one", "write a line such as $TTL 3600 above")
	}
	return 0, false
}

// hand gives a record to the caller.
func (p *parser) hand(typ wire.Type, ttl uint32) {
	if p.o.MaxRecords > 0 && p.stats.Records >= p.o.MaxRecords {
		p.fail(&p.lx.toks[0], 0, "record-limit", "there are more than "+itoa(p.o.MaxRecords)+" records, and reading stops", "raise the limit, or split the zone")
		p.done = true
		return
	}
	p.stats.Records++
	p.rr.Owner, p.rr.Type, p.rr.TTL, p.rr.Data = p.owner, typ, ttl, p.data
	pos := p.place(&p.lx.toks[0], 0)
	err := p.rec(&p.rr, pos)
	if err == nil {
		return
	}
	if errors.Is(err, ErrStop) {
		p.done, p.err = true, ErrStop
		return
	}
	p.find(asFinding(err, pos))
}

// asFinding makes a Finding at pos of what a callback returned.
func asFinding(err error, pos Pos) Finding {
	var f Finding
	if pf := (*Finding)(nil); errors.As(err, &pf) {
		f = *pf
	} else if !errors.As(err, &f) {
		f = Finding{Message: err.Error(), Rule: "record"}
	}
	if f.Pos == (Pos{}) {
		f.Pos = pos
	}
	return f
}

// text is what a token says, without its quotes.
func (p *parser) text(t *token) []byte { return p.lx.buf[t.start:t.end] }

// place is where offset at within a token stands.
func (p *parser) place(t *token, at int) Pos {
	if p.generated != nil {
		return p.generated.pos
	}
	column := int(t.column) + at
	if t.quoted && at > 0 {
		column++ // over the opening quote
	}
	return Pos{p.file, p.lx.entry + int(t.line), column}
}

// fail reports an error at offset at of a token. It returns false, for callers
// that do the same.
func (p *parser) fail(t *token, at int, rule, message, remedy string) bool {
	if g := p.generated; g != nil {
		message = "for " + itoa(g.value) + ": " + message
		g.failed = true
	}
	p.find(Finding{Pos: p.place(t, at), Rule: rule, Message: message, Remedy: remedy})
	return false
}

func (p *parser) warn(t *token, rule, message, remedy string) {
	p.find(Finding{Pos: p.place(t, 0), Severity: Warning, Rule: rule, Message: message, Remedy: remedy})
}

// nameFault reports a name that cannot be read; what says which, to begin a
// message.
func (p *parser) nameFault(t *token, f nameFault, at int, what string) bool {
	message, remedy := f.text()
	return p.fail(t, at, f.rule(), what+" "+message, remedy)
}

// find counts and reports a finding, and ends the reading after too many.
func (p *parser) find(f Finding) {
	if p.done {
		return
	}
	if f.Severity == Warning {
		if p.stats.Warnings++; p.stats.Warnings <= maxFindings {
			p.report(f)
		}
		return
	}
	p.stats.Errors++
	p.report(f)
	if p.stats.Errors >= maxFindings {
		p.done = true
		p.report(Finding{Pos: f.Pos, Rule: "too-many", Message: "there are " + itoa(maxFindings) + " errors, and reading stops here", Remedy: "mend these first"})
	}
}
