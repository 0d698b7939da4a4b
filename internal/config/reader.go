package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// place is where something stands in the file, both from 1.
type place struct{ line, column int }

// reader collects what is wrong while it reads.
type reader struct {
	name string
	errs Errors
	// unreadable: the text is no YAML, so nothing is known of its keys.
	unreadable bool
	// places says where the value of a key stands, by its dotted name.
	places map[string]place
	// failed has the keys whose values are wrong.
	failed map[string]bool
	// warnings are about what is valid but unwise.
	warnings Errors
	// keys are the entries under keys that can be used; badKeys: there are
	// others. cited are the keys that entries name.
	keys    []keyEntry
	badKeys bool
	cited   []citation
	// checks are the entries under checks that can be used.
	checks []checkEntry
}

func (r *reader) failAt(p place, format string, args ...any) {
	r.errs = append(r.errs, Error{File: r.name, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)})
}

// fail reports that the value n of key is wrong.
func (r *reader) fail(key string, n ast.Node, format string, args ...any) {
	if r.failed == nil {
		r.failed = map[string]bool{}
	}
	r.failed[key] = true
	if key != "" {
		format = strings.ReplaceAll(key, "%", "%%") + ": " + format
	}
	r.failAt(placeOf(n), format, args...)
}

// failKey reports that the value of key is wrong, or its default if the file
// does not have it.
func (r *reader) failKey(key, format string, args ...any) {
	message := key + ": " + fmt.Sprintf(format, args...)
	p, given := r.places[key]
	if !given {
		message += " (this is the default; the file has no " + key + ")"
	}
	r.errs = append(r.errs, Error{File: r.name, Line: p.line, Column: p.column, Message: message})
}

// warnKey warns of the value of key.
func (r *reader) warnKey(key, format string, args ...any) {
	p := r.places[key]
	r.warnings = append(r.warnings, Error{File: r.name, Line: p.line, Column: p.column, Message: key + ": " + fmt.Sprintf(format, args...)})
}

// resolvePath is a path of the file, relative to its directory.
func (r *reader) resolvePath(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(r.name), p)
}

// placeOf is where a node begins. A block mapping's own token is the first
// colon, so the first key stands for it.
func placeOf(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key)
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

// kindOf names what a node is, for "must be .., not ..".
func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return "the text " + quote(n.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.BoolNode:
		return strconv.FormatBool(n.Value)
	case *ast.NullNode:
		return "nothing"
	}
	if t := n.GetToken(); t != nil {
		return "the number " + t.Value
	}
	return "this"
}

// quote quotes s for a message, shortened if it is long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return strconv.Quote(string(r[:most])) + ".."
	}
	return strconv.Quote(s)
}

// field is a key that a mapping may have.
type field struct {
	name string
	// read stores the value n of the key, or reports what is wrong with it.
	read func(r *reader, key string, n ast.Node)
	// keys are what the value may hold if it is a mapping.
	keys []field
}

// mapping reads the fields of n; prefix is the dotted name of n, "" for the
// whole file. A key without a value (null) keeps its default.
func (r *reader) mapping(prefix string, n ast.Node, fields []field) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		want := "a configuration is a list of \"key: value\" lines"
		if prefix != "" {
			want = fmt.Sprintf("must be a mapping such as {%s: ..}", fields[0].name)
		}
		r.fail(prefix, n, "%s, not %s", want, kindOf(n))
		return
	}
	seen := map[string]place{}
	for _, kv := range m.Values {
		name, ok := kv.Key.(*ast.StringNode)
		if !ok {
			r.fail(prefix, kv.Key, "a key must be a word, not %s", kindOf(kv.Key))
			continue
		}
		key := join(prefix, name.Value)
		if first, twice := seen[name.Value]; twice {
			r.failAt(placeOf(name), "%s: given twice; the first is in line %d, column %d", shorten(key), first.line, first.column)
			continue
		}
		seen[name.Value] = placeOf(name)
		f := find(fields, name.Value)
		if f == nil {
			r.failAt(placeOf(name), "%s: unknown key; %s", shorten(key), suggest(prefix, name.Value, fields))
			continue
		}
		r.places[key] = placeOf(kv.Value)
		if kv.Value.Type() != ast.NullType {
			f.read(r, key, kv.Value)
		}
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// item is the dotted name of an item of a list.
func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

func find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// section is a mapping with keys of its own.
func section(name string, fields ...field) field {
	return field{name: name, keys: fields, read: func(r *reader, key string, n ast.Node) {
		r.mapping(key, n, fields)
	}}
}

// str returns the text of n; ok is false if it is something else, which is
// reported with the form that would be right.
func (r *reader) str(key string, n ast.Node) (s string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.MappingNode, *ast.SequenceNode, *ast.LiteralNode:
		r.fail(key, n, "must be a text, not %s", kindOf(n))
	default:
		r.fail(key, n, "must be a text, not %s; write it in quotes: %q", kindOf(n), n.GetToken().Value)
	}
	return "", false
}

// text is a string of at most most octets, without control characters.
func text(name string, dst *string, most int) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := r.str(key, n)
		switch {
		case !ok:
		case len(s) > most:
			r.fail(key, n, "has %d octets; at most %d fit", len(s), most)
		case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }):
			r.fail(key, n, "%s has a control character; write one line of plain text", quote(s))
		default:
			*dst = s
		}
	}}
}

// path is the name of a file or directory; what says what "" means, "" that
// it must not be empty.
func path(name string, dst *string, mayBeEmpty bool) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		s, ok := r.str(key, n)
		switch {
		case !ok:
		case s == "" && !mayBeEmpty:
			r.fail(key, n, "is empty; write a path, absolute or relative to the directory of this file")
		case strings.ContainsRune(s, 0):
			r.fail(key, n, "%s has a NUL, which no path has", quote(s))
		default:
			*dst = s
		}
	}}
}

// integer is a whole number from low to high.
func integer(name string, dst *int, low, high int) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			r.fail(key, n, "must be a whole number from %d to %d, without quotes, not %s", low, high, kindOf(n))
			return
		}
		v, ok := wholeNumber(i.Value)
		if !ok || v < low || v > high {
			r.fail(key, n, "%s is out of range; it must be from %d to %d", i.GetToken().Value, low, high)
			return
		}
		*dst = v
	}}
}

func wholeNumber(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), v == int64(int(v))
	case uint64:
		return int(v & math.MaxInt), v <= math.MaxInt
	}
	return 0, false
}

// duration is a time with a unit, from low to high.
func duration(name string, dst *time.Duration, low, high time.Duration) field {
	return field{name: name, read: func(r *reader, key string, n ast.Node) {
		if i, ok := n.(*ast.IntegerNode); ok {
			r.fail(key, n, "%s lacks a unit; write %ss, or use ms, m or h", i.GetToken().Value, i.GetToken().Value)
			return
		}
		s, ok := r.str(key, n)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			r.fail(key, n, "%s is not a time; write a number with a unit, such as 10s, 500ms or 2m", quote(s))
		case d < low || d > high:
			r.fail(key, n, "%s is out of range; it must be from %s to %s", s, shortTime(low), shortTime(high))
		default:
			*dst = d
		}
	}}
}

// shortTime writes 1h as such and not as 1h0m0s.
func shortTime(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
