package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"geodns/internal/control"
)

func TestIsolationText(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	since, until := now.Add(-time.Minute), now.Add(9*time.Minute)
	anchors := []control.Anchor{
		{Anchor: "192.0.2.1:53", Reason: "timeout after 1s while waiting for the answer", At: now},
		{Anchor: "icmp://203.0.113.7", OK: true, Reason: "echo reply", At: now},
		{Anchor: "tcp://198.51.100.1:443"}, // not asked yet
	}
	if got, want := anchorsText(&control.Isolation{Anchors: anchors}), "1 of 3 answer; 192.0.2.1:53: timeout after 1s while waiting for the answer"; got != want {
		t.Errorf("anchors: %q, want %q", got, want)
	}
	for _, tt := range []struct {
		name string
		i    control.Isolation
		want []string
	}{
		{"held", control.Isolation{Since: since, Until: until, Held: 3, Site: "lon"}, []string{
			"isolated since " + since.UTC().Format(time.RFC3339), "none of 3 anchors", "no node outside lon", "the verdicts of 3 targets are held until " + until.UTC().Format(time.RFC3339),
		}},
		{"one", control.Isolation{Since: since, Until: until, Held: 1}, []string{"and no node; the verdicts of 1 target are held until"}},
		{"nothing to hold", control.Isolation{Since: since, Until: until}, []string{"and no node; verdicts are held until " + until.UTC().Format(time.RFC3339)}},
		{"too long", control.Isolation{Since: since.Add(-time.Hour), Until: now.Add(-time.Minute)}, []string{"no verdict is held any more since"}},
	} {
		tt.i.Isolated, tt.i.Anchors = true, anchors
		got := isolationText(&tt.i)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q in it", tt.name, got, want)
			}
		}
		if note := isolationNote(&tt.i); !strings.Contains(note, "isolated") {
			t.Errorf("%s: each second it is said %q", tt.name, note)
		}
	}
	if isolationNote(nil) != "" || isolationNote(&control.Isolation{Anchors: anchors}) != "" {
		t.Error("who is not isolated is told")
	}
}

// What is held, and what joins, is shown as that.
func TestVerdictStates(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		target control.Target
		want   string
	}{
		{control.Target{Verdict: "up", Since: now.Add(-time.Minute), Held: true, Reason: "timeout", Fails: 20, Fall: 3}, "up for 1m0s: timeout; held: this server may be cut off"},
		{control.Target{Verdict: "joining", Joining: true}, "joining: not answered before its first result"},
		{control.Target{Verdict: "up", Reason: "timeout", Fails: 1, Fall: 3}, "up: timeout; 1 of 3 failures"},
	} {
		if got := verdictText(&tt.target, now, false); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.target, got, tt.want)
		}
	}
	var b bytes.Buffer
	w := &errWriter{w: &b}
	nodesText(w, &control.Nodes{Isolation: &control.Isolation{Anchors: []control.Anchor{{OK: true}, {OK: true}}}}, now, false)
	if got := b.String(); !strings.Contains(got, "anchors: 2 of 2 answer\n") {
		t.Errorf("status prints %q", got)
	}
}
