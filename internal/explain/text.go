package explain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxListed is how many entries of a list the tree shows; JSON has them all.
const maxListed = 20

// Text writes the report as a tree for people, in colour if that is wanted.
func (r *Report) Text(w io.Writer, colour bool) error {
	asked := "as the running server answers"
	if r.Source == "files" {
		asked = "as the files answer, without verdicts"
	}
	root := branch{text: fmt.Sprintf("%s %s asked by %s%s, %s", r.Question.Name, r.Question.Type, r.Question.Client, forWhom(r.Question.ECS), asked), style: bold}
	root.add(r.zoneBranch())
	root.add(r.clientBranch())
	root.add(branch{key: "why", text: r.Why, kids: r.pathBranches()})
	for i := range r.Choices {
		root.add(r.Choices[i].branch(r.Draw))
	}
	root.add(branch{key: "scope", text: scopeText(&r.Scope)})
	root.add(r.Answer.branch())
	p := painter{on: colour}
	p.tree(&root, "")
	_, err := io.WriteString(w, p.out.String())
	return err
}

func forWhom(ecs string) string {
	if ecs == "" {
		return ""
	}
	return " for " + ecs
}

func (r *Report) zoneBranch() branch {
	b := branch{key: "zone"}
	switch {
	case r.Zone == nil:
		b.text, b.style = "none here holds the name", red
	case r.Zone.State != serving:
		b.text, b.style = r.Zone.Name+": there is nothing to serve", red
	default:
		b.text = fmt.Sprintf("%s serial %d", r.Zone.Name, r.Zone.Serial)
		if r.Zone.Signed {
			b.text += ", signed"
		}
		if !r.Zone.Steered {
			b.text += ", no steering"
		}
	}
	return b
}

func (r *Report) clientBranch() branch {
	b := branch{key: "client", text: r.Client.Address + ": " + r.Client.Why}
	p := r.Client.Place
	if p == nil {
		return b
	}
	if !p.Known {
		b.add(branch{key: "place", text: "unknown: no source has " + p.Network, style: yellow})
		return b
	}
	where := []string{}
	for _, s := range []string{cmp.Or(p.Subdivision, p.Country), p.City, p.Continent} {
		if s != "" {
			where = append(where, s)
		}
	}
	if p.At != nil {
		where = append(where, fmt.Sprintf("at %.2f,%.2f", p.At[0], p.At[1]))
	}
	if p.ASN != 0 {
		where = append(where, "AS"+strconv.FormatUint(uint64(p.ASN), 10))
	}
	b.add(branch{key: "place", text: strings.Join(where, ", ")})
	says := p.Source
	if p.Database != "" {
		says += ", " + p.Database
	}
	if p.Date != "" {
		says += " of " + p.Date
	}
	b.add(branch{key: "source", text: says + ", for all of " + p.Network})
	return b
}

// pathBranches are the names on the way, if there were several.
func (r *Report) pathBranches() []branch {
	if len(r.Path) < 2 {
		return nil
	}
	var kids []branch
	for i := range r.Path {
		l := &r.Path[i]
		text := l.Found
		if l.At != l.Name {
			text += " " + l.At
		}
		kids = append(kids, branch{key: l.Name, text: text + ": " + cmp.Or(strings.Join(l.Types, " "), "no records")})
	}
	return kids
}

func (c *Choice) branch(draw string) branch {
	b := branch{text: c.Owner + " " + c.Type + " by " + c.Record, style: bold}
	if c.Hint {
		b.text = "hints of " + b.text
	}
	b.add(branch{key: "policy", text: c.Text})
	ranking := branch{key: "ranking", text: c.RankingWhy}
	for i, k := range c.Ranking {
		if i == maxListed {
			ranking.add(more(len(c.Ranking) - i))
			break
		}
		how := []string{}
		if k.By != "distance" && k.By != "nothing" {
			how = append(how, k.By)
		}
		if k.Km != nil {
			how = append(how, fmt.Sprintf("%.0f km", *k.Km))
		}
		ranking.add(branch{key: fmt.Sprintf("%d %s", i+1, k.Site), text: cmp.Or(strings.Join(how, ", "), "no place is known")})
	}
	b.add(ranking)
	for i := range c.Steps {
		step := c.Steps[i].branch()
		if c.Drawn && c.Steps[i].Step == "order" {
			step.text += " by " + draw + " (--draw)"
		}
		b.add(step)
	}
	if c.TTL.Sent {
		b.add(branch{key: "TTL", text: fmt.Sprintf("%d s: %s", c.TTL.Seconds, c.TTL.Why)})
	} else {
		b.add(branch{key: "TTL", text: c.TTL.Why})
	}
	if !c.Scope.Sent && c.Scope.Prefix != "" {
		b.add(branch{key: "scope", text: c.Scope.Prefix + " with a client subnet: " + c.Scope.Why})
	}
	return b
}

func (s *Step) branch() branch {
	n, all := len(s.In), len(s.In)+len(s.Out)
	b := branch{key: strings.ReplaceAll(s.Step, "-", " "), text: fmt.Sprintf("%d of %d", n, all)}
	if s.Step == "members" || s.Step == "pick" || s.Step == "order" {
		b.text = strconv.Itoa(n)
	}
	if s.Note != "" {
		b.text += ", " + s.Note
	}
	if all == 0 {
		b.text = s.Note
	}
	// What everybody can see in the other lists is not told again.
	told := s.In
	switch s.Step {
	case "not-drained", "live", "answers":
		told = slices.DeleteFunc(slices.Clone(s.In), func(it Item) bool { return it.Why == "" })
	case "pick":
		told = slices.DeleteFunc(slices.Clone(s.In), func(it Item) bool { return it.Share == nil })
	}
	items(&b, told, "+", green)
	items(&b, s.Out, "-", red)
	return b
}

func items(b *branch, list []Item, mark, style string) {
	for i := range list {
		if i == maxListed {
			b.add(more(len(list) - i))
			return
		}
		b.add(branch{mark: mark, markStyle: style, key: cmp.Or(list[i].Name, "(no site)"), text: list[i].text()})
	}
}

func (it *Item) text() string {
	var parts []string
	if it.Site != "" {
		parts = append(parts, it.Site)
	}
	if it.Node != "" {
		parts = append(parts, "node "+it.Node)
	}
	if f := it.Floor; f != nil {
		parts = append(parts, fmt.Sprintf("%d of %d live, floor %d", f.Live, f.Of, f.Need))
	}
	if it.Share != nil {
		parts = append(parts, strconv.FormatFloat(*it.Share, 'f', 1, 64)+" %")
	}
	if it.Why != "" {
		parts = append(parts, it.Why)
	}
	return strings.Join(parts, ", ")
}

func more(n int) branch { return branch{text: fmt.Sprintf("and %d more: -o json has them all", n)} }

func scopeText(s *Scope) string {
	text := fmt.Sprintf("/%d: %s", s.Length, s.Why)
	if s.Prefix != "" {
		text = s.Prefix + ": " + s.Why
	}
	return text
}

func (a *Answer) branch() branch {
	b := branch{key: "answer", text: a.Rcode, style: green}
	if a.Rcode != "NOERROR" {
		b.style = red
	}
	if a.AA {
		b.text += ", authoritative"
	}
	b.text += fmt.Sprintf(", %d octets", a.Octets)
	if a.Truncated {
		b.text += ", by TCP: over UDP it is truncated"
	}
	if a.Error != "" {
		b.text += ", extended error " + a.Error
	}
	for _, s := range []struct {
		name string
		list []RR
	}{{"answer", a.Answer}, {"authority", a.Authority}, {"additional", a.Additional}} {
		if len(s.list) == 0 {
			continue
		}
		section := branch{text: s.name}
		for i := range s.list {
			if i == maxListed {
				section.add(more(len(s.list) - i))
				break
			}
			rr := &s.list[i]
			section.add(branch{key: rr.Name, text: fmt.Sprintf("%d %s %s", rr.TTL, rr.Type, rr.Data)})
		}
		b.add(section)
	}
	return b
}
