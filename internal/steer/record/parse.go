package record

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxProblems bounds the errors, and the warnings, of one record.
const maxProblems = 16

// Join joins the character-strings of a TXT record's RDATA without anything in
// between (RFC 1035 3.3.14; joined as in RFC 6376 3.6.2.2). It reports false
// for RDATA that is malformed.
func Join(rdata []byte) ([]byte, bool) {
	if len(rdata) == 0 {
		return nil, false
	}
	text := make([]byte, 0, len(rdata)-1)
	for len(rdata) > 0 {
		n := int(rdata[0])
		if n >= len(rdata) {
			return nil, false
		}
		text = append(text, rdata[1:n+1]...)
		rdata = rdata[n+1:]
	}
	return text, true
}

// Find returns the octet of the text where a tag's value begins: of the first
// tag with this key whose value is, or lists, item; of the first one with the
// key if none does or item is ""; 0 if there is no such tag. An item that
// begins a value ("lon" in "lon:a.cdn.example.") or ends it ("lon" in "3@lon")
// is found too.
func (l TagList) Find(key, item string) int {
	first := -1
	for _, t := range l {
		if t.Key != key {
			continue
		}
		if first < 0 {
			first = t.ValueAt
		}
		if item == "" {
			break
		}
		for _, it := range t.items() {
			if strings.EqualFold(it.text, item) || sameAddr(it.text, item) {
				return it.at
			}
			left, right, ok := cutAny(it.text, ":@")
			if ok && (strings.EqualFold(left, item) || strings.EqualFold(right, item) || sameAddr(right, item)) {
				return it.at
			}
		}
	}
	return max(first, 0)
}

func sameAddr(text, canonical string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.String() == canonical
}

// cutAny cuts text at the first octet that is one of chars.
func cutAny(text, chars string) (left, right string, ok bool) {
	i := strings.IndexAny(text, chars)
	if i < 0 {
		return text, "", false
	}
	return trim(text[:i]), trim(text[i+1:]), true
}

// item is one of several values that stand in one tag.
type item struct {
	text string
	at   int // the octet of the record's text
}

// items splits a value at its commas. An empty value has one empty item.
func (t *Tag) items() []item {
	out := make([]item, 0, 1+strings.Count(t.Value, ","))
	at, exact := 0, true
	for part := range strings.SplitSeq(t.Value, ",") {
		it := item{text: trim(part), at: t.ValueAt}
		if exact {
			it.at += at + len(part) - len(strings.TrimLeft(part, blanks))
		}
		out = append(out, it)
		at += len(part) + 1
		// Behind %3B or %25 the text is longer than the value.
		exact = exact && !strings.ContainsAny(part, ";%")
	}
	return out
}

// Failed reports whether one of the problems is an error, so that the record
// can't be used.
func Failed(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// parser reads one record.
type parser struct {
	text   string
	origin Origin
	record string // "site"
	must   []string
	all    TagList
	// tags are those of all that may be read: known, with a value, and once
	// only if they must.
	tags             TagList
	problems         []Problem
	errors, warnings int
}

// newParser takes the record apart. With a v= that is not the record's own
// nothing else is read.
func newParser(record string, text []byte, o Origin) *parser {
	p := &parser{text: string(text), origin: o, record: record}
	p.all = make(TagList, 0, 1+strings.Count(p.text, "="))
	p.split()
	if !p.version() {
		return p
	}
	p.readMust()
	p.tags = make(TagList, 0, len(p.all))
	docs := docsOf(record)
	seen := make([]int, len(docs))
	for _, t := range p.all {
		at := index(docs, t.Key)
		if at < 0 {
			p.unknown(t, docs)
			continue
		}
		doc := &docs[at]
		seen[at]++
		switch {
		case seen[at] > 1 && !doc.Repeats:
			p.twice(t.At, t.Key, t.Key+"= stands twice", "keep one of them")
		case t.Value == "" && !doc.Bare:
			p.lacks(t.At, t.Key, t.Key+"= has no value", "write "+doc.Example+" (values: "+doc.Values+"), or remove the tag")
		case listed(doc) && strings.Contains(t.Value, ","):
			p.bad(&t, t.Key+"="+quote(t.Value)+" has several values", "write one "+t.Key+"= for each, with \";\" in between")
		default:
			p.tags = append(p.tags, t)
		}
	}
	for i := range docs {
		if doc := &docs[i]; doc.Required && seen[i] == 0 {
			p.lacks(0, doc.Tag, "the _"+record+" record has no "+doc.Tag+"=", "add "+doc.Example+" (values: "+doc.Values+")")
		}
	}
	return p
}

// listed reports whether a tag is one that people may take for a list: it
// repeats instead, and a comma has no other meaning in it.
func listed(doc *TagDoc) bool { return doc.Repeats && doc.Tag != "answer" && doc.Tag != "cname" }

// done returns the problems in the order of the text.
func (p *parser) done() []Problem {
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.At, b.At) })
	return p.problems
}

func (p *parser) add(warning bool, rule string, at int, tag, text, remedy string) {
	n := &p.errors
	if warning {
		n = &p.warnings
	}
	if *n++; *n > maxProblems {
		return
	}
	p.problems = append(p.problems, Problem{At: min(at, len(p.text)), Tag: tag, Rule: rule, Text: text, Remedy: remedy, Warning: warning})
}

// fail notes that a value is wrong.
func (p *parser) fail(at int, tag, text, remedy string) {
	p.add(false, RuleValue, at, tag, text, remedy)
}

// bad is fail for the whole value of a tag.
func (p *parser) bad(t *Tag, text, remedy string) { p.fail(t.ValueAt, t.Key, text, remedy) }

// twice notes what may stand once.
func (p *parser) twice(at int, tag, text, remedy string) {
	p.add(false, RuleTwice, at, tag, text, remedy)
}

// lacks notes a tag, or a value, that there has to be.
func (p *parser) lacks(at int, tag, text, remedy string) {
	p.add(false, RuleMissing, at, tag, text, remedy)
}

// clash notes a tag that doesn't go with others.
func (p *parser) clash(at int, tag, text, remedy string) {
	p.add(false, RuleTogether, at, tag, text, remedy)
}

// warn notes that a tag's value is odd.
func (p *parser) warn(rule string, t *Tag, text, remedy string) {
	p.add(true, rule, t.ValueAt, t.Key, text, remedy)
}

const blanks = " \t"

func trim(s string) string { return strings.Trim(s, blanks) }

// split takes the text apart at its semicolons. Empty parts are nothing.
func (p *parser) split() {
	at := 0
	for part := range strings.SplitSeq(p.text, ";") {
		key, value, ok := strings.Cut(part, "=")
		t := Tag{Key: strings.ToLower(trim(key)), At: at + indent(key)}
		if t.ValueAt = t.At; ok {
			t.Value = decode(trim(value))
			t.ValueAt = at + len(key) + 1 + indent(value)
		}
		if at += len(part) + 1; !ok && t.Key == "" {
			continue
		}
		if isKey(t.Key) {
			p.all = append(p.all, t)
			continue
		}
		p.fail(t.At, "", quote(t.Key)+" is not a tag", `write tags as key=value with ";" in between, and a ";" in a value as %3B`)
	}
}

// indent counts the blanks at the beginning; if there is nothing else, none.
func indent(s string) int {
	rest := strings.TrimLeft(s, blanks)
	if rest == "" {
		return 0
	}
	return len(s) - len(rest)
}

func isKey(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && !letter(c) && !digit(c) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// decode puts %3B and %25 back into what they stand for. Any other % is itself,
// so that floor=50% and path=/a%20b read as they look.
func decode(value string) string {
	if !strings.Contains(value, "%3") && !strings.Contains(value, "%25") {
		return value
	}
	return strings.NewReplacer("%3B", ";", "%3b", ";", "%25", "%").Replace(value)
}

// encode undoes decode.
func encode(value string) string {
	if !strings.ContainsAny(value, ";%") {
		return value
	}
	return strings.NewReplacer(";", "%3B", "%3B", "%253B", "%3b", "%253b", "%25", "%2525").Replace(value)
}

// version reports whether the record is of the kind that is wanted. If it
// isn't, that is the one problem that it has.
func (p *parser) version() bool {
	want := "v=" + p.record + "1"
	if len(p.all) > 0 && p.all[0].Key == "v" && p.all[0].Value == p.record+"1" {
		return true
	}
	p.problems, p.errors = p.problems[:0], 0
	i := slices.IndexFunc(p.all, func(t Tag) bool { return t.Key == "v" })
	switch {
	case i < 0:
		p.add(false, RuleVersion, indent(p.text), "v", "the record does not begin with "+want, "begin it with "+want+", or take it out of the _"+p.record+" subtree")
	case i > 0:
		p.add(false, RuleVersion, p.all[i].At, "v", "v= is not the first tag", "begin the record with "+want)
	default:
		p.wrongVersion(&p.all[0], want)
	}
	return false
}

func (p *parser) wrongVersion(v *Tag, want string) {
	bad := func(text, remedy string) { p.add(false, RuleVersion, v.ValueAt, v.Key, text, remedy) }
	name := strings.TrimRight(v.Value, "0123456789")
	first, _, several := strings.Cut(v.Value, " ")
	switch {
	case several && first == p.record+"1":
		bad("there is no \";\" behind "+want, "separate tags with \";\"")
	case name == p.record && name != v.Value:
		bad("version "+quote(v.Value[len(name):])+" of _"+p.record+" records is not known", "write "+want+", or serve the zone with a newer geodns")
	case name != p.record && len(docsOf(name)) > 0:
		bad("this is a _"+name+" record in the _"+p.record+" subtree", "move it to the _"+name+" subtree, or begin it with "+want)
	default:
		bad(quote(v.Value)+" is not a version of a _"+p.record+" record", "begin the record with "+want)
	}
}

// readMust reads must= before anything else, since it decides what an unknown
// tag means.
func (p *parser) readMust() {
	const most = 64 // bounds the work below
	i := slices.IndexFunc(p.all, func(t Tag) bool { return t.Key == "must" && t.Value != "" })
	if i < 0 {
		return
	}
	items := p.all[i].items()
	if len(items) > most {
		p.bad(&p.all[i], fmt.Sprintf("must= lists %d tags", len(items)), fmt.Sprintf("list at most %d", most))
		return
	}
	docs := docsOf(p.record)
	for _, it := range items {
		key := strings.ToLower(it.text)
		has := slices.ContainsFunc(p.all, func(t Tag) bool { return t.Key == key })
		switch {
		case !isKey(key):
			p.fail(it.at, "must", quote(it.text)+" is not the key of a tag", "list keys with commas in between")
			continue
		case slices.Contains(p.must, key):
			p.twice(it.at, "must", key+" is listed twice", "keep one of them")
			continue
		case find(docs, key) == nil && !has:
			p.add(p.origin.Lenient, RuleUnknownTag, it.at, "must", "there is no tag "+key+"= in _"+p.record+" records", suggest(key, docs))
		case !has:
			p.add(true, RuleNoEffect, it.at, "must", "must= lists "+key+"=, which the record does not have", "remove it from must=, or add the tag")
		}
		p.must = append(p.must, key)
	}
}

// unknown notes a tag that the record doesn't know.
func (p *parser) unknown(t Tag, docs []TagDoc) {
	switch {
	case slices.Contains(p.must, t.Key):
		p.add(false, RuleUnknownTag, t.At, t.Key, "there is no tag "+t.Key+"= in _"+p.record+" records, and must= lists it", suggest(t.Key, docs))
	case p.origin.Lenient:
		p.add(true, RuleUnknownTag, t.At, t.Key, "the tag "+t.Key+"= is not known and is ignored", "serve the zone with the geodns that knows it, or remove the tag")
	case p.errors >= maxProblems:
	default:
		p.add(false, RuleUnknownTag, t.At, t.Key, "there is no tag "+t.Key+"= in _"+p.record+" records", suggest(t.Key, docs))
	}
}

// docsOf are the tags of one record; they lie together.
func docsOf(record string) []TagDoc {
	from := 0
	for from < len(tagDocs) && tagDocs[from].Record != record {
		from++
	}
	to := from
	for to < len(tagDocs) && tagDocs[to].Record == record {
		to++
	}
	return tagDocs[from:to]
}

// index is where a tag stands among docs, -1 if it doesn't.
func index(docs []TagDoc, key string) int {
	for i := range docs {
		if docs[i].Tag == key {
			return i
		}
	}
	return -1
}

func find(docs []TagDoc, key string) *TagDoc {
	if i := index(docs, key); i >= 0 {
		return &docs[i]
	}
	return nil
}

// suggest says what may have been meant by a tag that is not known.
func suggest(key string, docs []TagDoc) string {
	keys := make([]string, len(docs))
	for i := range docs {
		keys[i] = docs[i].Tag
	}
	if near := nearest(key, keys); near != "" {
		return "did you mean " + near + "=?"
	}
	for i := range tagDocs {
		if tagDocs[i].Tag == key {
			return key + "= belongs into a _" + tagDocs[i].Record + " record"
		}
	}
	return `remove it (a ";" in a value is written %3B); the tags are ` + strings.Join(keys, ", ")
}

// quote is a value for a message: short, and printable.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + fmt.Sprintf(" (and %d more)", len(s)-most)
	}
	return strconv.QuoteToASCII(s)
}
