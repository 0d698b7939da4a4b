package main

import (
	"context"
	"fmt"
	"time"

	"geodns/internal/config"
	"geodns/internal/control"
	"geodns/internal/metrics"
	"geodns/internal/monitor"
	"geodns/internal/probe"
	"geodns/internal/steer/record"
)

// What tells whether this server is cut off.

// anchors are those of the configuration, as the monitor asks them.
func anchors(cfg *config.Config) (list []monitor.Anchor) {
	how := map[config.AnchorKind]record.CheckType{
		config.AnchorDNS: record.CheckDNS, config.AnchorTCP: record.CheckTCP, config.AnchorICMP: record.CheckICMP,
	}
	for _, a := range cfg.Anchors {
		list = append(list, monitor.Anchor{Name: a.String(), Probe: func(ctx context.Context) probe.Result {
			return probe.Reach(ctx, how[a.Kind], a.Addr)
		}})
	}
	return list
}

// warnOfSite tells that no zone knows the site where this server stands.
func (d *instance) warnOfSite() {
	if d.cfg.Site != "" && len(d.cfg.Anchors) > 0 && !d.monitor.SiteDeclared() {
		d.log.Warn("no steered name uses the site of the configuration: all nodes count as outside of it, also those beside this server",
			"site", d.cfg.Site, "remedy", "correct site:, or declare it as "+d.cfg.Site+"._site in a zone")
	}
}

// isolation is for the control socket; nil without anchors.
func (d *instance) isolation() *control.Isolation {
	i := d.monitor.Isolation()
	if len(i.Anchors) == 0 {
		return nil
	}
	out := &control.Isolation{
		Isolated: !i.Since.IsZero(), Since: i.Since, Until: i.Until, Held: i.Held, Site: d.cfg.Site, Anchors: []control.Anchor{},
	}
	for _, a := range i.Anchors {
		out.Anchors = append(out.Anchors, control.Anchor{
			Anchor: a.Name, OK: a.Last.OK, Reason: a.Last.Reason, Seconds: a.Last.RTT.Seconds(), At: a.At,
		})
	}
	return out
}

// isolated is why the server is not ready because it is cut off; "": it isn't.
func (d *instance) isolated() string {
	if i := d.isolation(); i != nil && i.Isolated {
		return isolationText(i)
	}
	return ""
}

func isolationText(i *control.Isolation) string {
	outside := "no node"
	if i.Site != "" {
		outside = "no node outside " + i.Site
	}
	held := fmt.Sprintf("the verdicts of %s are held until", count(i.Held, "target"))
	if i.Held == 0 {
		held = "no verdict is held any more since"
		if time.Now().Before(i.Until) {
			held = "verdicts are held until"
		}
	}
	return fmt.Sprintf("isolated since %s: none of %s answers, and %s; %s %s; see to this server's network",
		i.Since.UTC().Format(time.RFC3339), count(len(i.Anchors), "anchor"), outside, held, i.Until.UTC().Format(time.RFC3339))
}

// anchorsText is how many anchors answer, in a few words.
func anchorsText(i *control.Isolation) string {
	text := fmt.Sprintf("%d of %d answer", i.Answering(), len(i.Anchors))
	for k := range i.Anchors {
		if a := &i.Anchors[k]; !a.OK && !a.At.IsZero() {
			text += fmt.Sprintf("; %s: %s", a.Anchor, a.Reason)
		}
	}
	return text
}

// isolationMetrics adds it to what is scraped.
func (d *instance) isolationMetrics(n *metrics.Nodes) {
	i := d.isolation()
	if i == nil {
		return
	}
	n.Isolated, n.Held = i.Isolated, i.Held
	answering := uint64(i.Answering())
	n.Anchors = []metrics.Count{{Label: "answering", N: answering}, {Label: "failing", N: uint64(len(i.Anchors)) - answering}}
}

// isolationNote is for a line a second.
func isolationNote(i *control.Isolation) string {
	if i == nil || !i.Isolated {
		return ""
	}
	return fmt.Sprintf(", isolated (%d held)", i.Held)
}
