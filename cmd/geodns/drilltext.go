package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"geodns/internal/control"
	"geodns/internal/drill"
)

// maxCountries is how many countries a line lists.
const maxCountries = 6

// planText prints a forecast: what is worst first.
func planText(out io.Writer, p *drill.Plan) error {
	w := &errWriter{w: out}
	colour := colours(out)
	w.printf("if %s%s were lost: %s would stop answering%s\n", printable(p.Site), ofZones(p.Zones), count(p.Targets, "probed target"), within(p.Nets))
	if p.Log != nil {
		w.printf("of %d questions in the log, %d are for steered names%s\n", p.Log.Questions, p.Log.Steered, logText(p.Log))
	}
	planTable(w, p, colour)
	lostText(w, p, colour)
	unnoticedText(w, p, colour)
	loadTable(w, p, colour)
	if c := &p.Worst; c.Total > 0 {
		but := ""
		if p.Lost > 0 || p.Unnoticed > 0 {
			but = ", but for the names with a ! above"
		}
		w.printf("\nat worst, nobody is led to %s after %s%s: %s until the answers of %s change, and their TTL of %ds\n",
			printable(p.Site), seconds(c.Total), but, seconds(c.Server), printable(c.Name), c.TTL)
	}
	w.printf("%s with records at the site, %d without\n", count(atSite(p), "steered name"), p.NamesAll+p.Unaffected-atSite(p))
	return w.err
}

func atSite(p *drill.Plan) (n int) {
	for i := range p.Names {
		if p.Names[i].At > 0 {
			n++
		}
	}
	return n + p.NamesAll - len(p.Names)
}

// maxWarned is how many names a warning is printed for one by one.
const maxWarned = 10

// unnoticedText lists the names that would go on leading to the site.
func unnoticedText(w *errWriter, p *drill.Plan, colour bool) {
	n := 0
	for i := range p.Names {
		x := &p.Names[i]
		if x.Unnoticed == 0 {
			continue
		}
		if n++; n > maxWarned {
			continue
		}
		what := "is 1 record that isn't probed: clients would go on being led to it"
		if x.Unnoticed > 1 {
			what = fmt.Sprintf("are %d records that aren't probed: clients would go on being led to them", x.Unnoticed)
		}
		w.printf("%s %s %s: there %s\n", paint(colour, yellow, "!"), printable(x.Name), x.Type, what)
	}
	more(w, max(n, p.Unnoticed)-min(n, maxWarned), "such names")
}

func ofZones(zones []string) string {
	if len(zones) == 0 {
		return ""
	}
	return " (" + printable(firstOf(zones, 3)) + ")"
}

func within(nets []string) string {
	if len(nets) == 0 {
		return ""
	}
	return " in " + printable(firstOf(nets, 4))
}

func firstOf(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

func logText(l *drill.Summary) (text string) {
	if l.Skipped > 0 {
		text += fmt.Sprintf("; %s left out as no question, the first: %s", count(int(l.Skipped), "line"), printable(l.Why))
	}
	if l.LeftOut > 0 {
		text += fmt.Sprintf("; %d were left out: there are more than %d different ones", l.LeftOut, drill.MaxQueries)
	}
	return text
}

// planTable has a line for each thing that becomes of a name's clients.
func planTable(w *errWriter, p *drill.Plan, colour bool) {
	type row struct {
		n *drill.Name
		m *drill.Move // nil: none moves
	}
	var rows []row
	for i := range p.Names {
		n := &p.Names[i]
		moved := 0
		for j := range n.Moves {
			if m := &n.Moves[j]; m.Moved {
				rows = append(rows, row{n, m})
				moved++
			}
		}
		if moved == 0 {
			rows = append(rows, row{n, nil})
		}
	}
	table(w, "NAME\tTYPE\tLIVE\tGONE AFTER\tTTL\tCLIENTS\tANSWERED FROM", len(rows), p.NamesAll-len(p.Names), "names", func(i int, w *errWriter) {
		n, m := rows[i].n, rows[i].m
		after, ttl := "-", "-"
		if n.Converge.Total > 0 {
			after, ttl = seconds(n.Converge.Server), fmt.Sprintf("%ds", n.Converge.TTL)
		}
		who, what := "none", "as before"
		switch {
		case m != nil:
			who, what = clientsText(m), m.From.String()+" -> "+m.To.String()
		case p.Log != nil && (n.Type == "A" || n.Type == "AAAA") && len(n.Moves) == 0:
			who, what = "none in the log", "-"
		case len(n.Moves) == 0 && n.Before != n.After:
			who, what = "all", "fewer targets"
		}
		w.printf("%s\t%s\t%d/%d -> %d/%d\t%s\t%s\t%s\t%s\n", printable(n.Name), n.Type, n.Before.Live, n.Before.All, n.After.Live, n.After.All,
			after, ttl, who, paint(colour, planColour(n), printable(what)))
	})
}

func planColour(n *drill.Name) string {
	switch {
	case n.Lost:
		return red
	case n.Unnoticed > 0 || n.Then != "":
		return yellow
	}
	return green
}

// clientsText is how many clients there are, and where.
func clientsText(m *drill.Move) string {
	text := fmt.Sprintf("%.1f%%", m.Percent)
	if m.Questions > 0 {
		text = fmt.Sprintf("%d, %s", m.Questions, text)
	}
	var codes []string
	for _, c := range m.Countries {
		if c == "" {
			c = "unknown"
		}
		codes = append(codes, c)
	}
	if len(codes) > maxCountries {
		return fmt.Sprintf("%s: %s +%d", text, strings.Join(codes[:maxCountries], " "), len(codes)-maxCountries)
	}
	return text + ": " + strings.Join(codes, " ")
}

// lostText lists the names of which nothing lives any more.
func lostText(w *errWriter, p *drill.Plan, colour bool) {
	for i := range p.Names {
		n := &p.Names[i]
		if n.Then == "" || n.At == 0 {
			continue
		}
		text := "nothing live is left"
		if !n.Lost {
			text = "nothing is live already"
		}
		w.printf("%s %s %s: %s; %s\n", paint(colour, red, "!"), printable(n.Name), n.Type, text, printable(n.Then))
	}
}

// loadTable is what comes to each site.
func loadTable(w *errWriter, p *drill.Plan, colour bool) {
	if len(p.Sites) == 0 {
		return
	}
	what := "of these names' answers, by " + p.Weighed
	if p.PerSecond > 0 {
		what += fmt.Sprintf("; %.1f questions a second, %s", p.PerSecond, p.RateOf)
	}
	w.printf("\n%s:", what)
	alike := map[string]int{}
	for i := range p.Sites {
		alike[p.Sites[i].Site]++
	}
	table(w, "SITE\tBEFORE\tAFTER\tPER SECOND\tCAPACITY", len(p.Sites), 0, "sites", func(i int, w *errWriter) {
		l := &p.Sites[i]
		name, rate, capacity, code := l.Site, "-", "-", green
		if alike[l.Site] > 1 {
			name += " (" + l.Zone + ")"
		}
		if name == "" {
			name = "(no site)"
		}
		if p.PerSecond > 0 {
			rate = fmt.Sprintf("%.1f -> %.1f", l.RateBefore, l.RateAfter)
		}
		switch {
		case l.Over:
			capacity, code = fmt.Sprintf("%d: too little", l.Capacity), red
		case l.Capacity > 0:
			capacity = fmt.Sprint(l.Capacity)
		}
		w.printf("%s\t%.1f%%\t%.1f%%\t%s\t%s\n", printable(name), l.Before, l.After, rate, paint(colour, code, capacity))
	})
}

// seconds is a time as people read it: tenths only where they matter.
func seconds(s float64) string {
	if s >= 100 || s == float64(int(s)) {
		return fmt.Sprintf("%.0fs", s)
	}
	return fmt.Sprintf("%.1fs", s)
}

// tickText is how a drill is, in a line.
func tickText(t *drill.Tick) string {
	var answers []string
	for _, a := range t.Answers {
		name := a.Site
		if name == "" {
			name = "no site"
		}
		answers = append(answers, fmt.Sprintf("%s %d", name, a.N))
	}
	state := fmt.Sprintf("lost for %s, %s left: %d of %s gone", seconds0(t.Seconds), seconds0(t.Left), t.Gone, count(t.Names, "name"))
	if t.Over {
		state = fmt.Sprintf("over for %s: %d of %s back", seconds0(t.Seconds), t.Back, count(t.Names, "name"))
	}
	return printable(fmt.Sprintf("%s; sampled answers: %s; %.0f questions a second", state, strings.Join(answers, ", "), t.PerSecond))
}

func seconds0(s float64) string { return age(time.Duration(s*float64(time.Second)) + time.Second/2) }

// reportText prints what was measured.
func reportText(out io.Writer, r *drill.Report) error {
	w := &errWriter{w: out}
	colour := colours(out)
	lasted := r.Ended.Sub(r.Since).Round(10 * time.Millisecond)
	w.printf("%s was lost for %s, and %s: %s, %d probes not sent\n", printable(r.Site), lasted, printable(r.End), count(r.Targets, "target"), r.Probes)
	table(w, "NAME\tTYPE\tPROMISED\tFIRST OUT\tGONE\tBACK\tANSWERED BEFORE\tDURING\tAFTER\tVERDICT", len(r.Names), r.NamesAll-len(r.Names), "names", func(i int, w *errWriter) {
		m := &r.Names[i]
		verdict, code := m.Verdict, green
		switch m.Verdict {
		case drill.Broken:
			code = red
		case drill.NotJudged:
			verdict, code = "not judged: "+m.Why, yellow
		}
		promise := "-"
		if m.Promise > 0 {
			promise = millis(&m.Promise)
		}
		w.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(m.Name), m.Type, promise, millis(m.FirstOut), millis(m.Gone), millis(m.Back),
			shares(m.Before), shares(m.During), shares(m.After), paint(colour, code, printable(verdict)))
	})
	w.printf("\n")
	switch {
	case r.OK():
		w.printf("%s\n", paint(colour, green, "all promises were kept, and all is back"))
	case !r.Held:
		w.printf("%s\n", paint(colour, red, "not all promises were kept"))
	}
	if !r.Back {
		w.printf("%s\n", paint(colour, red, "not all is back; geodns status tells what isn't"))
	}
	return w.err
}

func millis(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.0fms", *ms)
}

// shares are answers in percent.
func shares(list []drill.Answers) string {
	sum := uint64(0)
	for _, a := range list {
		sum += a.N
	}
	if sum == 0 {
		return "-"
	}
	var parts []string
	for _, a := range list {
		name := a.Site
		if name == "" {
			name = "no site"
		}
		parts = append(parts, fmt.Sprintf("%s %.0f%%", name, 100*float64(a.N)/float64(sum)))
	}
	return printable(strings.Join(parts, " "))
}

// drillStateText is a drill in one line, for status.
func drillStateText(s *control.DrillState, now time.Time) string {
	if s.Over {
		return "a drill is over: " + s.Site + " is no longer lost, and what returns is waited for"
	}
	return "a drill is on: " + s.Site + " is lost until " + clockText(s.Until, now) + "; geodns drill stop ends it"
}
