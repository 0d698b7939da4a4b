package harness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Expect is one reply that a scenario accepts.
type Expect struct {
	Reply
	// counts are numbers of records a section that stand for the records.
	counts map[string]int
	// any are the sections that are not looked at.
	any map[string]bool
	// noQuestion: the question is not echoed.
	noQuestion bool
	// ednsAny: whatever the OPT holds will do.
	ednsAny bool
	// minOctets and maxOctets bound the message's length; 0: not looked at.
	minOctets, maxOctets int
}

// parseExpect reads the lines that describe one reply.
func parseExpect(lines []string) (*Expect, error) {
	if len(lines) == 0 {
		return nil, fmt.Errorf("no reply is expected: write at least an RCODE, or drop")
	}
	e := &Expect{Reply: Reply{Records: map[string][]string{}}, counts: map[string]int{}, any: map[string]bool{}}
	head := strings.Fields(lines[0])
	if head[0] == "drop" {
		e.Drop = true
		return e, nil
	}
	e.Rcode = head[0]
	for _, f := range head[1:] {
		switch f {
		case "aa", "tc", "rd", "ra", "ad", "cd", "z":
			e.Flags = append(e.Flags, f)
		case "q0":
			e.noQuestion = true
		default:
			return nil, fmt.Errorf("%q is no flag of a reply", f)
		}
	}
	for _, l := range lines[1:] {
		if err := e.line(l); err != nil {
			return nil, err
		}
	}
	for _, rrs := range e.Records {
		slices.Sort(rrs)
	}
	return e, nil
}

func (e *Expect) line(l string) error {
	word, rest, _ := strings.Cut(l, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case sectionAnswer, sectionAuthority, sectionAdditional:
		return e.section(word, rest)
	case "edns":
		e.EDNS = strings.Fields(rest)
		if e.ednsAny = rest == "any"; e.ednsAny {
			return nil
		}
		if !slices.ContainsFunc(e.EDNS, func(w string) bool { return strings.HasPrefix(w, "size=") }) {
			e.EDNS = append(e.EDNS, "size="+ourUDPSize)
		}
	case "tsig":
		e.TSIG = rest
	case "octets":
		low, high, ok := strings.Cut(rest, "-")
		var err1, err2 error
		e.minOctets, err1 = strconv.Atoi(low)
		e.maxOctets, err2 = strconv.Atoi(high)
		if !ok || err1 != nil || err2 != nil {
			return fmt.Errorf("octets takes LOW-HIGH, not %q", rest)
		}
	default:
		return fmt.Errorf("%q is nothing that a reply has: use answer, authority, additional, edns, tsig, octets, or", word)
	}
	return nil
}

// section reads "answer any", "answer count N" and "answer RECORD".
func (e *Expect) section(name, rest string) error {
	if rest == "any" {
		e.any[name] = true
		return nil
	}
	if n, ok := strings.CutPrefix(rest, "count "); ok {
		v, err := strconv.Atoi(n)
		e.counts[name] = v
		return err
	}
	rr, err := normalRecord(rest)
	e.Records[name] = append(e.Records[name], rr)
	return err
}

// differences says where a reply is not what is expected; none: it is.
func (e *Expect) differences(got *Reply, question string) []string {
	if e.Drop || got.Drop {
		if e.Drop == got.Drop {
			return nil
		}
		return []string{fmt.Sprintf("dropped: %v, expected: %v", got.Drop, e.Drop)}
	}
	var d []string
	differ := func(what string, got, want any) {
		d = append(d, fmt.Sprintf("%s: got %v, expected %v", what, got, want))
	}
	if got.Rcode != e.Rcode {
		differ("RCODE", got.Rcode, e.Rcode)
	}
	if !sameSet(got.Flags, e.Flags) {
		differ("flags", got.Flags, e.Flags)
	}
	switch {
	case e.noQuestion && len(got.Question) > 0:
		differ("question", got.Question, "none")
	case !e.noQuestion && (len(got.Question) != 1 || got.Question[0] != question):
		differ("question", got.Question, question)
	}
	for _, s := range []string{sectionAnswer, sectionAuthority, sectionAdditional} {
		if n, ok := e.counts[s]; ok && !e.any[s] {
			if n != len(got.Records[s]) {
				differ("number of records in "+s, len(got.Records[s]), n)
			}
		} else if !e.any[s] && !slices.Equal(got.Records[s], e.Records[s]) {
			d = append(d, recordDifferences(s, got.Records[s], e.Records[s])...)
		}
	}
	if (got.EDNS == nil) != (e.EDNS == nil) || !e.ednsAny && !sameSet(got.EDNS, e.EDNS) {
		differ("edns", got.EDNS, e.EDNS)
	}
	if !strings.EqualFold(got.TSIG, e.TSIG) {
		differ("tsig", got.TSIG, e.TSIG)
	}
	if e.maxOctets > 0 && (got.Octets < e.minOctets || got.Octets > e.maxOctets) {
		differ("octets", got.Octets, fmt.Sprintf("%d-%d", e.minOctets, e.maxOctets))
	}
	return d
}

// recordDifferences lists the records that are there or missing wrongly. Both
// lists are sorted, and a record counts as often as it is there.
func recordDifferences(section string, got, want []string) []string {
	var d []string
	i, j := 0, 0
	for i < len(got) || j < len(want) {
		switch {
		case j == len(want) || i < len(got) && got[i] < want[j]:
			d = append(d, "unexpected "+section+" "+got[i])
			i++
		case i == len(got) || want[j] < got[i]:
			d = append(d, "missing "+section+" "+want[j])
			j++
		default:
			i++
			j++
		}
	}
	return d
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
