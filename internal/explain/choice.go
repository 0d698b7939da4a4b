package explain

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"geodns/internal/resolver"
	"geodns/internal/steer"
	"geodns/internal/steer/record"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// choice explains one.
func (e *explainer) choice(c *resolver.Choice) Choice {
	r := c.Rule
	out := Choice{
		Owner: wire.NameString(c.Owner), Type: zonefile.TypeString(c.Type), Hint: c.Hint,
		Record: r.SteerName, Text: textOf(r.Spec.Tags), Policy: r.PolicyName(), Pick: r.PickName(),
		Stage: c.Result.Stage.String(), Site: c.Moment.SiteName(r, c.Result.Site), Ranking: []Ranked{},
	}
	e.rank(c, &out)
	ch := chain{choice: c, m: &c.Moment, r: r, f: familyOf(c.Type)}
	switch r.Kind() {
	case steer.Addresses:
		out.Steps = ch.addresses()
	case steer.Targets:
		out.Steps = ch.targets()
	default:
		out.Steps = ch.aliases()
	}
	out.Drawn = ch.drawn
	out.TTL = e.ttl(c)
	out.Scope = e.choiceScope(c)
	return out
}

// textOf is what a policy record says, as the zone has it.
func textOf(tags record.TagList) string {
	parts := make([]string, len(tags))
	escape := strings.NewReplacer("%25", "%2525", "%3B", "%253B", "%3b", "%253b", ";", "%3B")
	for i, t := range tags {
		parts[i] = t.Key + "=" + escape.Replace(t.Value)
	}
	return strings.Join(parts, "; ")
}

// rank says in which order the client's place puts the sites.
func (e *explainer) rank(c *resolver.Choice, out *Choice) {
	r := c.Rule
	if !r.Ranks() {
		out.RankingWhy = "policy=" + r.PolicyName() + " doesn't ask where the client is"
		return
	}
	ranked := r.Rank(&c.Moment.Client)
	for _, k := range ranked {
		s := c.Moment.Sites[c.Moment.SiteOf(r, k.Site)]
		one := Ranked{Site: s.Name, Zone: s.Zone, By: k.Word}
		if k.Measured {
			km := math.Round(10*k.Km) / 10 // places are no more exact than that
			one.Km = &km
		}
		if one.By == "" {
			one.By = "distance"
			if !k.Measured {
				one.By = "nothing"
			}
		}
		out.Ranking = append(out.Ranking, one)
	}
	out.RankingWhy = "by the client's place: sites that name it, then the nearest"
	if len(ranked) == 0 {
		out.RankingWhy = "nothing is known of where the client is, and there is no default=: all sites"
		if r.Kind() == steer.Aliases {
			out.RankingWhy = "nothing is known of where the client is, and there is no default=: no site"
		}
		if d := c.Moment.SiteName(r, r.Default()); d != "" {
			out.RankingWhy = "nothing is known of where the client is: default=" + d
		}
	}
}

// ttl finds the TTL that was answered, and says why.
func (e *explainer) ttl(c *resolver.Choice) TTL {
	var t TTL
	if c.Hint {
		t.Why = "that of the record in which the hints are"
		return t
	}
	sent := e.answered(c)
	if sent == nil {
		t.Why = "nothing is answered; how long that may be kept is the SOA's to say"
		return t
	}
	t.Sent, t.Seconds = true, sent.TTL
	spec := c.Rule.Spec
	switch {
	case spec.TTLHigh == 0:
		t.Why = "the zone's TTL: the policy has no ttl="
	case c.Result.Unsteady:
		t.Why = fmt.Sprintf("the low end of ttl=%d-%d: something has just changed", spec.TTLLow, spec.TTLHigh)
	case spec.TTLLow == spec.TTLHigh:
		t.Why = fmt.Sprintf("ttl=%d", spec.TTLHigh)
	default:
		t.Why = fmt.Sprintf("the high end of ttl=%d-%d: all is steady", spec.TTLLow, spec.TTLHigh)
	}
	if c.Result.Stage == steer.LastResort {
		t.Why += ", or the last resort's own if that is less"
	}
	return t
}

// answered is the set of the answer that a choice made; nil: none.
func (e *explainer) answered(c *resolver.Choice) *wire.Set {
	i := slices.IndexFunc(e.reply.Answer, func(s wire.Set) bool {
		owner := s.Owner
		if owner == nil {
			owner = e.query.Name.Bytes()
		}
		return s.Type == c.Type && wire.EqualFold(owner, c.Owner)
	})
	if i < 0 {
		return nil
	}
	return &e.reply.Answer[i]
}
