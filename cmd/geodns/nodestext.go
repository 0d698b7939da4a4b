package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"geodns/internal/control"
)

// nodesText prints how the nodes are, a table a kind; nothing if there are none.
func nodesText(w *errWriter, n *control.Nodes, now time.Time, colour bool) {
	sidesText(w, n, now, colour)
	if n.TargetsAll > 0 {
		w.printf("\ntargets: %s\n", countsText(&n.Counts))
	}
	if n.Isolation != nil {
		w.printf("anchors: %s\n", printable(anchorsText(n.Isolation)))
	}
	for i := range n.Drains {
		d := &n.Drains[i]
		w.printf("%s %s\n", paint(colour, yellow, "!"), printable(drainLine(d, now)))
	}
	if len(n.Drains) > 0 && n.Unstored != "" {
		w.printf("%s the drains are lost at a restart: %s\n", paint(colour, yellow, "!"), printable(n.Unstored))
	}
	namesTable(w, n, colour)
	placesTable(w, n, colour)
	loadsText(w, n, now, colour)
	targetsTable(w, n, now, colour)
}

func countsText(c *control.Counts) string {
	text := fmt.Sprintf("%d up, %d down, %d unknown", c.Up, c.Down, c.Unknown)
	for _, more := range []struct {
		n    int
		what string
	}{{c.Refused, "not probed"}, {c.Joining, "joining"}, {c.Stale, "stale"}, {c.Damped, "damped"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}

// drainLine is a drain in one line.
func drainLine(d *control.Drain, now time.Time) string {
	text := d.Name
	if d.Zone != "" {
		text += " of " + d.Zone
	}
	switch {
	case d.Active && d.Primary:
		text += " is drained, as the zone's primary says"
	case d.Active:
		text += " is drained, by command"
	default:
		text += " will be drained"
	}
	text += spanText(d, "drain", now)
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return text
}

// table prints rows in columns, and how many are left out. Colours come in the
// last column only: they count as width.
func table(w *errWriter, head string, rows int, left int, what string, row func(i int, w *errWriter)) {
	if rows == 0 {
		return
	}
	out := w.w
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	w.w = t
	w.printf("\n%s\n", head)
	for i := range rows {
		row(i, w)
	}
	if w.err == nil {
		w.err = t.Flush()
	}
	w.w = out
	more(w, left, what+"; --all lists them")
}

func namesTable(w *errWriter, n *control.Nodes, colour bool) {
	table(w, "NAME\tTYPE\tPOLICY\tLIVE\tANSWERED FROM", len(n.Names), n.NamesAll-len(n.Names), "names", func(i int, w *errWriter) {
		x := &n.Names[i]
		w.printf("%s\t%s\t%s\t%d/%d\t%s\n", printable(x.Name), x.Type, x.Policy, x.Records.Live, x.Records.All,
			paint(colour, nameColour(x), printable(fromText(x))))
	})
}

func nameColour(n *control.Name) string {
	switch {
	case n.Well():
		return green
	case n.Stage == control.StageNormal:
		return yellow
	}
	return red
}

// fromText is where a name's records are, live ones of all, and how far down the
// chain one has to go for an answer.
func fromText(n *control.Name) string {
	var parts []string
	for i := range n.Sites {
		s := &n.Sites[i]
		text := fmt.Sprintf("%s %d/%d", s.Site, s.Records.Live, s.Records.All)
		if s.Records.Drained > 0 {
			text += " drained"
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		parts = []string{"all"}
		if n.Records.Drained > 0 {
			parts[0] = fmt.Sprintf("%d drained", n.Records.Drained)
		}
	}
	text := strings.Join(parts, ", ")
	if n.Stage != control.StageNormal {
		text += "; " + n.Stage
	}
	return text
}

func placesTable(w *errWriter, n *control.Nodes, colour bool) {
	table(w, "PLACE\tKIND\tZONE\tLIVE\tDRAINED", len(n.Places), n.PlacesAll-len(n.Places), "sites and nodes", func(i int, w *errWriter) {
		x := &n.Places[i]
		drained, code := "no", green
		switch {
		case x.Drained != "":
			drained, code = x.Drained, yellow
		case x.Records.Live < x.Records.All:
			code = red
		}
		w.printf("%s\t%s\t%s\t%d/%d\t%s\n", printable(x.Name), x.Kind, printable(x.Zone), x.Records.Live, x.Records.All, paint(colour, code, drained))
	})
}

func targetsTable(w *errWriter, n *control.Nodes, now time.Time, colour bool) {
	table(w, "TARGET\tCHECK\tTOOK\tLAST\tNEXT\tVERDICT", len(n.Targets), n.TargetsAll-len(n.Targets), "targets", func(i int, w *errWriter) {
		x := &n.Targets[i]
		took, last, next := "-", "never", "now"
		if !x.At.IsZero() {
			took, last = tookText(x.Seconds), age(now.Sub(x.At))
		}
		switch {
		case x.Refused != "":
			next = "never"
		case !x.Next.IsZero():
			next = age(x.Next.Sub(now) + time.Second/2)
		}
		w.printf("%s\t%s (%s)\t%s\t%s\t%s\t%s\n", x.Address, printable(x.Check), x.Type, took, last, next, verdictText(x, now, colour))
	})
}

func tookText(seconds float64) string {
	return fmt.Sprintf("%.1fms", seconds*1e3)
}

// verdictText is the verdict, its age, and why.
func verdictText(t *control.Target, now time.Time, colour bool) string {
	code := map[string]string{"up": green, "down": red}[t.Verdict]
	if code == "" || t.Verdict == "up" && t.Fails > 0 {
		code = yellow
	}
	text := paint(colour, code, t.Verdict)
	if !t.Since.IsZero() {
		text += " for " + age(now.Sub(t.Since))
	}
	var notes []string
	switch {
	case t.Refused != "":
		notes = append(notes, "not probed: "+t.Refused)
	case t.Joining:
		notes = append(notes, "not answered before its first result")
	case t.Reason != "":
		notes = append(notes, t.Reason)
	}
	if t.Held {
		notes = append(notes, "held: this server may be cut off")
	}
	if t.Stale {
		notes = append(notes, "no result for long")
	}
	if t.Verdict != "up" && t.Successes > 0 || t.Damped && t.Verdict != "up" {
		note := fmt.Sprintf("%d of %d good probes", t.Successes, t.Rise)
		if t.Damped {
			note += ", damped"
		}
		notes = append(notes, note)
	}
	if t.Verdict != "down" && t.Fails > 0 && !t.Held {
		notes = append(notes, fmt.Sprintf("%d of %d failures", t.Fails, t.Fall))
	}
	if len(notes) > 0 {
		text += ": " + printable(strings.Join(notes, "; "))
	}
	return text
}
