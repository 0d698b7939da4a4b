package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// block is one question of a scenario and the replies that it accepts.
type block struct {
	file  string
	line  int
	title string
	// args are what dig is called with; nil for a raw message.
	args []string
	// message are the lines that assemble a raw message; nil for dig.
	message []string
	// accept are the replies that will do; at least one.
	accept []*Expect
	// differs are the servers that the block is left out with.
	differs []Kind
}

// String names the block in messages.
func (b *block) String() string { return fmt.Sprintf("%s:%d: %s", b.file, b.line, b.title) }

// readBlocks reads a file of questions: blocks of lines between blank lines.
// See the README for the notation.
func readBlocks(path, name string) ([]*block, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &blockReader{file: name, macros: map[string]string{}}
	lines := append(strings.Split(string(data), "\n"), "")
	for i, l := range lines {
		if err := r.add(i+1, strings.TrimSpace(l)); err != nil {
			return nil, err
		}
	}
	if len(r.blocks) == 0 {
		return nil, fmt.Errorf("%s: no questions", name)
	}
	return r.blocks, nil
}

// blockReader gathers the lines of a block until a blank line ends it.
type blockReader struct {
	file    string
	macros  map[string]string
	blocks  []*block
	pending []string
	start   int
	differs []Kind
}

func (r *blockReader) add(n int, l string) error {
	if rest, ok := strings.CutPrefix(l, "# differs:"); ok {
		servers, _, _ := strings.Cut(rest, "--")
		for _, s := range strings.Fields(servers) {
			if !slices.Contains([]Kind{Geodns, Knot, NSD, BIND}, Kind(s)) {
				return fmt.Errorf("%s:%d: %q is no server; write: # differs: knot nsd -- why", r.file, n, s)
			}
			r.differs = append(r.differs, Kind(s))
		}
		return nil
	}
	if strings.HasPrefix(l, "#") {
		return nil
	}
	if rest, ok := strings.CutPrefix(l, "let "); ok {
		name, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		r.macros["$"+name] = strings.TrimSpace(value)
		return nil
	}
	if l != "" {
		if v, ok := r.macros[l]; ok {
			l = v
		}
		if len(r.pending) == 0 {
			r.start = n
		}
		r.pending = append(r.pending, l)
		return nil
	}
	if len(r.pending) == 0 {
		return nil
	}
	b, err := r.finish()
	if err != nil {
		return fmt.Errorf("%s:%d: %w", r.file, r.start, err)
	}
	r.blocks = append(r.blocks, b)
	return nil
}

// finish makes a block of the pending lines.
func (r *blockReader) finish() (*block, error) {
	b := &block{file: r.file, line: r.start, title: r.pending[0], differs: r.differs}
	lines := r.pending
	r.pending, r.differs = nil, nil
	mark, rest, _ := strings.Cut(lines[0], " ")
	lines = lines[1:]
	switch mark {
	case "?":
		b.args = strings.Fields(rest)
		if len(b.args) == 0 {
			return nil, fmt.Errorf("a question needs a name: ? NAME [TYPE] [+options]")
		}
	case ">":
		i := slices.Index(lines, "=")
		if i < 0 {
			return nil, fmt.Errorf("a raw message needs a line = between it and the reply")
		}
		b.message, lines = lines[:i:i], lines[i+1:]
	default:
		return nil, fmt.Errorf("a block begins with ? (a question to dig) or > (a raw message), not %q", mark)
	}
	for {
		i := slices.Index(lines, "or")
		part := lines
		if i >= 0 {
			part = lines[:i]
		}
		e, err := parseExpect(part)
		if err != nil {
			return nil, err
		}
		b.accept = append(b.accept, e)
		if i < 0 {
			return b, nil
		}
		lines = lines[i+1:]
	}
}

// digQuestion is the question that dig sends, as its reply has to echo it.
func (b *block) digQuestion() string {
	name, typ, class := b.args[0], "A", "IN"
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	words := slices.Clone(b.args[1:])
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "+"):
		case i > 0 && words[i-1] == "-c":
			class = w
		case i > 0 && words[i-1] == "-t":
			typ = w
		case w == "CH", w == "HS", strings.HasPrefix(w, "CLASS"):
			class = w
		case !strings.HasPrefix(w, "-"):
			typ = w
		}
	}
	return name + " " + class + " " + typ
}

// tolerate takes into account what another server's most minimal answers leave
// out: NSD's have no additional data but glue.
func (b *block) tolerate(kind Kind, got *Reply) {
	for _, e := range b.accept {
		if kind == NSD && slices.Contains(got.Flags, "aa") && len(got.Records[sectionAdditional]) == 0 {
			e.any[sectionAdditional] = true
		}
	}
}

// check compares a reply with all that the block accepts, and says what is
// wrong; "" if nothing is.
func (b *block) check(got *Reply, question string) string {
	var out strings.Builder
	for i, e := range b.accept {
		d := e.differences(got, question)
		if len(d) == 0 {
			return ""
		}
		if i > 0 {
			out.WriteString("  or\n")
		}
		out.WriteString("  " + strings.Join(short(d), "\n  ") + "\n")
	}
	reply := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n")
	return fmt.Sprintf("%s\n%s  the reply was:\n    %s", b, out.String(), strings.Join(short(reply), "\n    "))
}

// short leaves out what is beyond some lines: a wrong reply may have hundreds.
func short(lines []string) []string {
	const most = 15
	if len(lines) <= most {
		return lines
	}
	return append(lines[:most:most], fmt.Sprintf("... and %d more", len(lines)-most))
}

// Ask asks every question of a file that is meant for the server and returns
// what is wrong with the replies, a text each.
func Ask(s *Server, path, name string) ([]string, error) {
	return ask(s, asker{port: s.Port}, path, name)
}

func ask(s *Server, who asker, path, name string) ([]string, error) {
	blocks, err := readBlocks(path, name)
	if err != nil {
		return nil, err
	}
	blocks = slices.DeleteFunc(blocks, func(b *block) bool { return slices.Contains(b.differs, s.Target.Kind) })
	var plain []*block
	var args [][]string
	for _, b := range blocks {
		if b.args != nil {
			plain = append(plain, b)
			args = append(args, b.args)
		}
	}
	var wrong []string
	note := func(b *block, got *Reply, question string) {
		b.tolerate(s.Target.Kind, got)
		if w := b.check(got, question); w != "" {
			wrong = append(wrong, w)
		}
	}
	if len(plain) > 0 {
		replies, err := who.dig(args)
		if err != nil {
			return nil, err
		}
		for i, b := range plain {
			note(b, replies[i], b.digQuestion())
		}
	}
	for _, b := range blocks {
		if b.message == nil {
			continue
		}
		m, err := assemble(b.message)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b, err)
		}
		got, err := m.exchange(s.Addr())
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s\n  %v", b, err))
			continue
		}
		question := ""
		if len(m.questions) > 0 {
			question = questionText(m.questions[0])
		}
		note(b, got, question)
	}
	return wrong, nil
}

// typeNumber reads a type's name or number.
func typeNumber(s string) (uint16, error) {
	if t, ok := dns.StringToType[s]; ok {
		return t, nil
	}
	return numbered(s, "TYPE")
}

// classNumber reads a class's name or number.
func classNumber(s string) (uint16, error) {
	if c, ok := dns.StringToClass[s]; ok {
		return c, nil
	}
	return numbered(s, "CLASS")
}
