package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What a file may have before it is handed to the YAML parser, which recurses
// for depth and takes time that grows with the square of the keys.
const (
	maxSize  = 1 << 20 // octets
	maxKeys  = 20_000
	maxDepth = 200 // brackets, list marks in one line and columns of indentation
)

// document parses data to the node that holds all keys; nil if the file is
// empty, or if it cannot be read as YAML, which is reported.
func (r *reader) document(data []byte) ast.Node {
	body := r.parseYAML(data)
	r.unreadable = len(r.errs) > 0
	return body
}

func (r *reader) parseYAML(data []byte) ast.Node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > maxSize {
		r.errs = append(r.errs, Error{File: r.name, Message: fmt.Sprintf("is larger than %d octets, so it is hardly a configuration", maxSize)})
		return nil
	}
	if !r.checkText(data) {
		return nil
	}
	// The lexer counts CRLF after a comment as two lines.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	tokens := lexer.Tokenize(string(data))
	if !r.checkTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(data, err)
		return nil
	}
	return r.onlyBody(file)
}

// checkText reports octets that no text has.
func (r *reader) checkText(data []byte) bool {
	n := -1
	for line := range bytes.Lines(data) {
		n++
		// The parser takes a lone CR for the end of a line; nobody's editor does.
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		column := 1
		for len(line) > 0 {
			c, size := utf8.DecodeRune(line)
			if c == utf8.RuneError && size == 1 {
				r.failAt(place{n + 1, column}, "is not UTF-8 text; save the file as UTF-8")
				return false
			}
			if c < ' ' && c != '\t' || c == 0x7f {
				r.failAt(place{n + 1, column}, "control character %U; remove it", c)
				return false
			}
			line = line[size:]
			column++
		}
	}
	return true
}

// checkTokens reports what of YAML is not used here, and what would cost the
// parser too much.
func (r *reader) checkTokens(tokens token.Tokens) bool {
	before := len(r.errs)
	keys, brackets, marks, line, indent := 0, 0, 0, 0, 0
	for _, t := range tokens {
		at := place{t.Position.Line, t.Position.Column}
		if at.line != line {
			line, marks, indent = at.line, 0, 0
			if brackets == 0 {
				indent = at.column - 1
			}
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType:
			marks++
		case token.MappingValueType:
			keys++
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.failAt(at, "anchors, aliases and merge keys (& * <<) are not supported; write the value out (in quotes, if it begins with & or *)")
		case token.TagType:
			r.failAt(at, "tags (!) are not supported; write the value without, or in quotes")
		case token.MappingKeyType, token.DirectiveType:
			r.failAt(at, "%q is not supported; write plain \"key: value\" lines", t.Value)
		}
		if brackets+marks+indent > maxDepth {
			r.failAt(at, "is nested deeper than anything that a configuration needs; indent less, or close brackets")
			return false
		}
		if keys > maxKeys {
			r.failAt(at, "more than %d keys, so it is hardly a configuration", maxKeys)
			return false
		}
	}
	return len(r.errs) == before
}

// syntaxError reports what the parser found. It stops at the first error and
// is vague about tabs, so those are all reported here.
func (r *reader) syntaxError(data []byte, err error) {
	tabs := 0
	for n, line := range strings.Split(string(data), "\n") {
		margin := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if i := strings.IndexByte(margin, '\t'); i >= 0 && strings.TrimSpace(line) != "" {
			r.failAt(place{n + 1, i + 1}, "a tab in the indentation; YAML wants spaces")
			tabs++
		}
	}
	if tabs > 0 {
		return
	}
	var yamlErr yaml.Error
	if !errors.As(err, &yamlErr) || yamlErr.GetToken() == nil {
		r.errs = append(r.errs, Error{File: r.name, Message: "cannot be read as YAML: " + err.Error()})
		return
	}
	p := yamlErr.GetToken().Position
	r.failAt(place{p.Line, p.Column}, "cannot be read as YAML: %s; see to quotes, brackets and indentation here and in the next lines", yamlErr.GetMessage())
}

// onlyBody returns the body of the only document.
func (r *reader) onlyBody(file *ast.File) ast.Node {
	var body ast.Node
	for _, d := range file.Docs {
		switch {
		case d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType:
		case body == nil:
			body = d.Body
		default:
			r.failAt(placeOf(d.Body), "a second document begins here; a configuration is one, without lines of ---")
			return nil
		}
	}
	return body
}
