package drill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// Log is what a log of questions says, the same ones together.
type Log struct {
	Queries []Query `json:"queries"`
	Lines   uint64  `json:"lines"` // that were understood
	// Skipped were not, and Why is the first of them: file:line: what is wrong.
	Skipped uint64 `json:"skipped"`
	Why     string `json:"why"`
	// LeftOut were understood, but there were too many different ones.
	LeftOut uint64 `json:"left-out"`
	// First and Last are when the first and the last one were asked; zero: the
	// log doesn't tell.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Query is one question, and how often it was asked.
type Query struct {
	Client netip.Prefix `json:"client"`
	Name   string       `json:"name"`
	Type   string       `json:"type"`
	Count  uint64       `json:"count"`
}

// What is read of a log at most.
const (
	MaxQueries = 200_000 // different ones
	maxLine    = 64 << 10
)

// rate is how many questions a second the log has, 0: not known.
func (l *Log) rate() float64 {
	span := l.Last.Sub(l.First).Seconds()
	if l.First.IsZero() || span <= 0 {
		return 0
	}
	return float64(l.Lines) / span
}

// ReadLog reads a log of questions, a line each:
//
//	[TIME] CLIENT NAME TYPE
//
// with TIME as in RFC 3339 and CLIENT an address or a prefix; or lines of BIND's
// querylog. Clients of one /24 or /56 count as one. file is its name, for
// messages. What can't be understood is counted; the error is for a log of which
// nothing can be.
func ReadLog(in io.Reader, file string) (*Log, error) {
	l := &Log{}
	type key struct {
		client netip.Prefix
		name   string
		typ    string
	}
	known := map[key]int{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		x, err := readLine(text)
		if err != nil {
			if l.Skipped++; l.Skipped == 1 {
				l.Why = fmt.Sprintf("%s:%d: %v", file, n, err)
			}
			continue
		}
		l.Lines++
		l.span(x.at)
		k := key{x.client, x.name, x.typ}
		i, ok := known[k]
		if !ok {
			if len(l.Queries) == MaxQueries {
				l.LeftOut++
				continue
			}
			i = len(l.Queries)
			known[k] = i
			l.Queries = append(l.Queries, Query{Client: x.client, Name: x.name, Type: x.typ})
		}
		l.Queries[i].Count++
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s can't be read after %d lines: %w", file, l.Lines+l.Skipped, err)
	}
	if l.Lines == 0 {
		if l.Skipped == 0 {
			return nil, fmt.Errorf("%s has no questions", file)
		}
		return nil, fmt.Errorf("no line of %s is a question; the first: %s", file, l.Why)
	}
	return l, nil
}

func (l *Log) span(at time.Time) {
	if at.IsZero() {
		return
	}
	if l.First.IsZero() || at.Before(l.First) {
		l.First = at
	}
	if at.After(l.Last) {
		l.Last = at
	}
}

// logged is one line.
type logged struct {
	at     time.Time
	client netip.Prefix
	name   string
	typ    string
}

var errLine = errors.New("write CLIENT NAME TYPE, such as 192.0.2.1 www.example.org A, perhaps with a time such as 2026-11-20T12:00:00Z in front; lines of BIND's querylog do as well")

func readLine(text string) (x logged, err error) {
	if before, after, ok := strings.Cut(text, " query: "); ok && strings.Contains(before, "client ") {
		return readBIND(before, after)
	}
	f := strings.Fields(text)
	if len(f) == 4 {
		if x.at, err = time.Parse(time.RFC3339Nano, f[0]); err != nil {
			return x, fmt.Errorf("%q is no time: %w", clip(f[0]), errLine)
		}
		f = f[1:]
	}
	if len(f) != 3 {
		return x, errLine
	}
	return x, x.set(f[0], f[1], f[2])
}

// readBIND reads a line of BIND's category queries:
//
//	20-Nov-2026 12:00:00.123 client @0x7f 192.0.2.1#5353 (www.example.org): query: www.example.org IN A +E(0)K (198.51.100.53) [ECS 203.0.113.0/24/0]
func readBIND(before, after string) (x logged, err error) {
	if f := strings.Fields(before); len(f) > 1 {
		x.at, _ = time.ParseInLocation("02-Jan-2006 15:04:05.000", f[0]+" "+f[1], time.Local)
	}
	_, who, _ := strings.Cut(before, "client ")
	client := ""
	for _, f := range strings.Fields(who) {
		if a, _, ok := strings.Cut(f, "#"); ok {
			client = a
			break
		}
	}
	if _, ecs, ok := strings.Cut(after, "[ECS "); ok {
		ecs, _, _ = strings.Cut(ecs, "]")
		// Address, source and scope; a source of 0 stands for nobody.
		if i := strings.LastIndexByte(ecs, '/'); i > 0 && !strings.HasSuffix(ecs[:i], "/0") {
			client = ecs[:i]
		}
	}
	f := strings.Fields(after)
	if len(f) < 3 || f[1] != "IN" {
		return x, errors.New("no question of class IN follows \"query:\"")
	}
	return x, x.set(client, f[0], f[2])
}

// Clients of one such network count as one.
const (
	clientBits4 = 24
	clientBits6 = 56
)

func (x *logged) set(client, name, typ string) error {
	p, err := netip.ParsePrefix(client)
	if err != nil {
		a, err := netip.ParseAddr(client)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%q is no address or prefix: %w", clip(client), errLine)
		}
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
	}
	most := clientBits4
	if p.Addr().Is6() {
		most = clientBits6
	}
	x.client, _ = p.Addr().Prefix(min(p.Bits(), most))
	wireName, err := zonefile.ParseName(name, []byte{0})
	if err != nil {
		return fmt.Errorf("%q is no domain name: %w", clip(name), err)
	}
	if _, err := zonefile.ParseType(typ); err != nil {
		return err
	}
	x.name, x.typ = strings.ToLower(wire.NameString(wireName)), strings.ToUpper(typ)
	return nil
}

// clip shortens what a message quotes.
func clip(text string) string {
	const most = 40
	if b := []byte(text); len(b) > most {
		return string(bytes.ToValidUTF8(b[:most], nil)) + ".."
	}
	return text
}
