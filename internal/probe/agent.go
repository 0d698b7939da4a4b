package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxAgent bounds what an agent says, in octets; HAProxy reads less.
	maxAgent = 1024
	// maxWeight bounds the percentage that it may ask for.
	maxWeight = 1000
)

// agent connects to an agent as HAProxy does (agent-check): it says one line on
// its own, and closes.
func (r *attempt) agent() (string, error) {
	c, err := r.dial(maxAgent)
	if err != nil {
		return "", err
	}
	line, err := agentLine(bufio.NewReaderSize(c, maxAgent))
	var much tooMuch
	switch {
	case errors.As(err, &much):
		return "", fmt.Errorf("the agent said more than %d octets", maxAgent)
	case err != nil:
		return "", r.failed("waiting for the agent's line", err)
	}
	return r.obey(line)
}

// agentLine reads up to a line feed, a carriage return or the end.
func agentLine(br *bufio.Reader) (string, error) {
	var b []byte
	for {
		c, err := br.ReadByte()
		switch {
		case err == io.EOF && len(b) > 0, err == nil && (c == '\n' || c == '\r'):
			return string(b), nil
		case err != nil:
			return "", err
		}
		b = append(b, c)
	}
}

// obey does what an agent's line says: words from HAProxy's manual ("agent-check"),
// with commas and blanks in between, and a description after #.
func (r *attempt) obey(line string) (string, error) {
	words, why, _ := strings.Cut(line, "#")
	up, understood := true, false
	for _, w := range strings.FieldsFunc(words, func(c rune) bool { return c == ' ' || c == ',' || c == '\t' }) {
		known := true
		switch w = strings.ToLower(w); {
		case w == "up", w == "ready":
		case w == "down", w == "fail", w == "failed", w == "stopped", w == "maint":
			up = false
		case w == "drain":
			r.res.Drain = true
		case strings.HasSuffix(w, "%"):
			known = r.weigh(w)
		default:
			// maxconn:30 and what later versions bring is not for us.
			known = false
		}
		understood = understood || known
	}
	said := strings.TrimSpace(words)
	if why = strings.TrimSpace(why); why != "" {
		said += ": " + why
	}
	switch {
	case !understood:
		return "", fmt.Errorf("it said %q; up, ready, down, fail, stopped, maint, drain and a percentage are understood", line)
	case !up:
		return "", fmt.Errorf("it said %s", said)
	}
	return "it said " + said, nil
}

// weigh takes in a percentage.
func (r *attempt) weigh(w string) bool {
	n, err := strconv.ParseUint(strings.TrimSuffix(w, "%"), 10, 16)
	if err != nil || n > maxWeight {
		return false
	}
	r.res.Weight = int(n)
	// HAProxy: a weight of 0 % is a drain.
	r.res.Drain = r.res.Drain || n == 0
	return true
}
