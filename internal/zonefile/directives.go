package zonefile

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"geodns/internal/wire"
)

// maxIncludes is how deep files may include each other.
const maxIncludes = 16

func itoa(n int) string { return strconv.Itoa(n) }

// directive carries out a line that begins with $.
func (p *parser) directive() {
	t := &p.lx.toks[0]
	switch strings.ToUpper(string(p.text(t))) {
	case "$ORIGIN":
		p.originDirective()
	case "$TTL":
		p.ttlDirective()
	case "$INCLUDE":
		p.include()
	case "$GENERATE":
		p.generate()
	default:
		p.fail(t, 0, "directive", quote(p.text(t))+" is no directive", `write $ORIGIN, $TTL, $INCLUDE or $GENERATE; an owner that begins with a dollar sign is written \$`)
	}
}

// arguments checks how many fields follow a directive.
func (p *parser) arguments(least, most int, form string) bool {
	toks := p.lx.toks
	if len(toks)-1 < least {
		last := &toks[len(toks)-1]
		return p.fail(last, int(last.end-last.start), "directive", "something is missing behind "+string(p.text(&toks[0])), "write "+form)
	}
	if len(toks)-1 > most {
		return p.fail(&toks[most+1], 0, "directive", quote(p.text(&toks[most+1]))+" is too much for "+string(p.text(&toks[0])), "write "+form)
	}
	return true
}

// originDirective is RFC 1035 5.1: a relative name is below the origin so far.
func (p *parser) originDirective() {
	if !p.arguments(1, 1, "$ORIGIN and a name") {
		return
	}
	if kept, ok := p.originName(&p.lx.toks[1]); ok {
		p.setOrigin(kept)
	}
}

// originName reads a name that becomes the origin.
func (p *parser) originName(t *token) ([]byte, bool) {
	if t.quoted {
		return nil, p.fail(t, 0, "syntax", "a name is never quoted, but "+quote(p.text(t))+" is", "remove the quotes")
	}
	name, f, at := appendName(nil, p.text(t), p.origin, &letters.kept)
	if f != 0 {
		return nil, p.nameFault(t, f, at, "the origin "+quote(p.text(t)))
	}
	return name, true
}

func (p *parser) setOrigin(name []byte) {
	p.origin, p.originLower = name, wire.AppendLower(nil, name)
}

// ttlDirective is RFC 2308 4.
func (p *parser) ttlDirective() {
	if !p.arguments(1, 1, "$TTL and a time in seconds") {
		return
	}
	if v, ok := p.ttl(&p.lx.toks[1]); ok {
		p.defaultTTL, p.haveDefault = v, true
	}
}

// include is RFC 1035 5.1: the origin and the owner of this file are as they
// were afterwards. TTLs live on, as in BIND.
func (p *parser) include() {
	if p.generated != nil || !p.arguments(1, 2, "$INCLUDE, a file and, if it should be another, its origin") {
		return
	}
	t := &p.lx.toks[1]
	origin := p.origin
	if len(p.lx.toks) == 3 {
		var ok bool
		if origin, ok = p.originName(&p.lx.toks[2]); !ok {
			return
		}
	}
	name := unescapeAll(p.text(t))
	if name == "" {
		p.fail(t, 0, "include", "the name of the file to include is empty", "write a file name")
		return
	}
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(p.file), name)
	}
	if p.mayInclude(t, name) {
		p.open(t, name, origin)
	}
}

// mayInclude refuses what would not end.
func (p *parser) mayInclude(t *token, name string) bool {
	if p.o.Open == nil {
		return p.fail(t, 0, "include", "$INCLUDE is not allowed here", "put the records into this file")
	}
	if slices.Contains(p.files, path.Clean(name)) {
		return p.fail(t, 0, "include-loop", quote([]byte(name))+" includes itself", "remove the line")
	}
	if len(p.files) > maxIncludes {
		return p.fail(t, 0, "include-depth", "files include each other more than "+itoa(maxIncludes)+" deep", "include them from fewer levels")
	}
	return true
}

// open reads an included file to its end.
func (p *parser) open(t *token, name string, origin []byte) {
	f, err := p.o.Open(name)
	if err != nil {
		p.fail(t, 0, "include", "the file to include cannot be opened: "+err.Error(), "correct its name, which is relative to the file that it stands in")
		return
	}
	outer := p.source
	p.files = append(p.files, path.Clean(name))
	p.stats.Files = append(p.stats.Files, name)
	p.source = source{lx: newLexer(f, nil), file: name}
	p.setOrigin(origin)
	p.run()
	p.source = outer
	p.files = p.files[:len(p.files)-1]
	if err := f.Close(); err != nil && p.err == nil {
		p.done, p.err = true, err
	}
}

// unescapeAll takes the escapes out of a file name.
func unescapeAll(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			if c, n := unescape(b[i:]); n > 0 {
				s.WriteByte(c)
				i += n - 1
				continue
			}
		}
		s.WriteByte(b[i])
	}
	return s.String()
}
