package check

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zonedir"
	"geodns/internal/zonefile"
)

// Options says how to check.
type Options struct {
	// Now is what dates and signatures are compared with; zero: the clock's.
	Now time.Time
	// Origin is the first origin of every file, in wire form and lower case;
	// nil: what each file is named after.
	Origin []byte
	// Ignore are the IDs of rules whose warnings are left out.
	Ignore []string
	// NoWarnings leaves out all warnings.
	NoWarnings bool
	// Whole: the files are all that there is to serve, so that a zone which is
	// not among them is not served. Dir sets it.
	Whole bool
	// Rankings is the geography; nil: what depends on one is not looked at.
	Rankings *steer.Rankings
}

// Report is what a run found.
type Report struct {
	// Findings are sorted by file, line and column.
	Findings []zonefile.Finding
	Zones    []Summary // one a file, in the order given
	// beside counts findings in what is no zone, by severity.
	beside [2]int
}

// Add takes in findings in what is no zone.
func (r *Report) Add(beside []zonefile.Finding) {
	for i := range beside {
		r.beside[beside[i].Severity]++
	}
	r.Findings = append(r.Findings, beside...)
	slices.SortStableFunc(r.Findings, byPlace)
}

// Summary is what a run says of one file.
type Summary struct {
	File     string
	Zone     string // its name, absolute
	Serial   uint32
	Records  int
	Names    int // with empty non-terminals
	Errors   int
	Warnings int
	// Left is how many more findings there were than are told: of one rule and
	// zone the first 1,000.
	Left int
	// Refused: serve would refuse the file.
	Refused bool
	// Time to read the file and check it alone.
	Took time.Duration
}

// maxOfRule is how many findings of one rule are told for one zone.
const maxOfRule = 1000

// Errors counts the errors of all zones and beside them.
func (r *Report) Errors() (n int) {
	n = r.beside[zonefile.Error]
	for i := range r.Zones {
		n += r.Zones[i].Errors
	}
	return n
}

// Warnings counts the warnings of all zones and beside them.
func (r *Report) Warnings() (n int) {
	n = r.beside[zonefile.Warning]
	for i := range r.Zones {
		n += r.Zones[i].Warnings
	}
	return n
}

// Dir checks all zone files of a directory, as Files does. The error is for a
// directory that cannot be read.
func Dir(path string, o Options) (Report, error) {
	files, err := List(path)
	if err != nil {
		return Report{}, err
	}
	o.Whole = true
	return Files(files, o), nil
}

// List names the zone files of a directory: those that serve would read.
func List(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the zones directory: %w", err)
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, zonedir.Suffix) && name[0] != '.' && !e.IsDir() {
			files = append(files, filepath.Join(path, name))
		}
	}
	return files, nil
}

// Files checks zone files, on all CPUs: each by itself, and all of them beside
// each other. A file that cannot be read is a finding.
func Files(paths []string, o Options) Report {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	checks := make([]*checker, len(paths))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)) {
		wg.Go(func() {
			rd := newReader()
			for i := range next {
				checks[i] = rd.check(paths[i], &o)
			}
		})
	}
	for i := range paths {
		next <- i
	}
	close(next)
	wg.Wait()
	across(checks, &o)
	return reportOf(checks)
}

// checker is one zone under examination.
type checker struct {
	*reading
	o        *Options
	off      [ruleCount]bool
	counts   [ruleCount]int
	found    []zonefile.Finding
	left     int
	took     time.Duration
	broken   bool // by its text or as a zone, whatever its steering
	steering steering
	apexNode,
	cur node
}

// check reads a file and looks at it alone.
func (rd *reader) check(path string, o *Options) *checker {
	start := time.Now()
	c := &checker{reading: rd.read(path, o.Origin), o: o}
	for i := range rules {
		c.off[i] = rules[i].Severity == zonefile.Warning && (o.NoWarnings || slices.Contains(o.Ignore, rules[i].ID))
	}
	c.cur = rd.scratch
	if c.stats.Records > 0 {
		c.alone()
	}
	rd.scratch, c.cur = c.cur, node{}
	c.broken = c.refused
	c.took = time.Since(start)
	return c
}

// alone applies the rules that need one zone only.
func (c *checker) alone() {
	z := c.z
	if err := z.link(); err != nil {
		c.fail("zone-too-large", err.Error(), "delegate a part of it")
		return
	}
	c.structure()
	z.settle()
	c.apexNode.load(z, z.find(z.apex))
	c.soa()
	for i := range z.names {
		n := nameID(i + 1)
		if z.firstOf(n) == 0 || z.has(n, outOfZone) {
			continue
		}
		c.cur.load(z, n)
		c.look(&c.cur)
	}
	c.nameServers()
	c.signatures()
}

// look applies the rules that need one name and what it leads to.
func (c *checker) look(n *node) {
	if len(n.sets) == 0 {
		return
	}
	c.ttls(n)
	c.ownerName(n)
	if c.hidden(n) {
		return
	}
	c.delegation(n)
	c.sizes(n)
	if c.z.cut(n.id) {
		return
	}
	c.hostNames(n)
	c.targets(n)
	c.aliases(n)
	c.texts(n)
	c.services(n)
	c.childKeys(n)
	c.reverse(n)
}

// at notes a finding at a record.
func (c *checker) at(r rule, rec recID, message, remedy string) {
	c.atPos(r, c.z.pos(rec), message, remedy)
}

func (c *checker) atPos(r rule, pos zonefile.Pos, message, remedy string) {
	if c.off[r] {
		return
	}
	if c.counts[r]++; c.counts[r] > maxOfRule {
		c.left++
		return
	}
	c.found = append(c.found, zonefile.Finding{Pos: pos, Severity: rules[r].Severity, Rule: rules[r].ID, Message: message, Remedy: remedy})
}

// merge puts together what the text, the compiled zone and the rules gave. What
// the builder of the zone said is said again by our rules, at the very records.
func (c *checker) merge() {
	said := map[string]bool{}
	for i := range c.found {
		said[c.found[i].Rule] = true
	}
	for _, f := range c.compiled {
		if !said[f.Rule] {
			c.text = append(c.text, f)
		}
	}
	for _, f := range c.text {
		ignored := f.Severity == zonefile.Warning && (c.o.NoWarnings || slices.Contains(c.o.Ignore, f.Rule))
		if !ignored {
			c.found = append(c.found, f)
		}
	}
	slices.SortStableFunc(c.found, byPlace)
}

func byPlace(a, b zonefile.Finding) int {
	return cmp.Or(
		strings.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
		cmp.Compare(a.Pos.Column, b.Pos.Column), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message),
	)
}

// summary is what there is to say of the file.
func (c *checker) summary() Summary {
	s := Summary{
		File: c.z.file, Serial: c.serial, Records: c.stats.Records, Names: c.names,
		Left: c.left, Refused: c.refused, Took: c.took,
	}
	if len(c.z.apex) > 0 {
		s.Zone = wire.NameString(c.z.apex)
	}
	for i := range c.found {
		if c.found[i].Severity == zonefile.Error {
			s.Errors++
		} else {
			s.Warnings++
		}
	}
	return s
}

func reportOf(checks []*checker) Report {
	var r Report
	for _, c := range checks {
		c.merge()
		r.Zones = append(r.Zones, c.summary())
		r.Findings = append(r.Findings, c.found...)
	}
	slices.SortStableFunc(r.Findings, byPlace)
	return r
}

// same reports whether two names are the same, but for case.
func same(a, b []byte) bool { return wire.EqualFold(a, b) }

// text is a name as a message has it.
func text(name []byte) string { return wire.NameString(name) }

// in reports whether name, of any case, is at or below apex.
func in(name, apex []byte) bool {
	var lower [wire.MaxName]byte
	return wire.HasSuffix(wire.AppendLower(lower[:0], name), apex)
}

// lowered is a name in lower case: A-Z alone (RFC 4343 3).
func lowered(name []byte) []byte { return wire.AppendLower(nil, name) }
