package tests

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const alertsFile = "../docs/alerts.yml"

// alertRules are docs/alerts.yml as far as these tests look at it.
type alertRules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr         string
			Labels, Annotations map[string]string
		}
	}
}

func readAlerts(t *testing.T) (text string, rules alertRules) {
	t.Helper()
	data, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	return string(data), rules
}

// TestAlertsNameWhatIs holds the alert rules to metrics that exist and to runbooks
// that exist; docs/metrics.md has to know the metrics, too.
func TestAlertsNameWhatIs(t *testing.T) {
	text, rules := readAlerts(t)
	known := metricNames(t)
	docs, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\bgeodns_\w+`).FindAllString(text, -1) {
		if !known[name] {
			t.Errorf("%s is no metric of the program", name)
		}
		if !strings.Contains(string(docs), name) {
			t.Errorf("docs/metrics.md does not explain %s", name)
		}
	}
	alerts := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts[r.Alert] = true
			if r.Annotations["summary"] == "" || r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" {
				t.Errorf("%s lacks a summary, or a severity of page or ticket", r.Alert)
			}
			if _, err := os.Stat(filepath.Join("../docs", r.Annotations["runbook"])); r.Annotations["runbook"] == "" || err != nil {
				t.Errorf("%s: the runbook: %v", r.Alert, err)
			}
		}
	}
	pages, err := filepath.Glob("../docs/runbooks/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no runbooks", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bGeodns[A-Z]\w+`).FindAllString(string(text), -1) {
			if !alerts[name] {
				t.Errorf("%s: there is no alert %s", page, name)
			}
		}
	}
}

// metricNames are those that the program can tell.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../internal/metrics/*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bdesc\("(\w+)"`).FindAllStringSubmatch(string(text), -1) {
			names["geodns_"+m[1]] = true
		}
	}
	if len(names) < 30 {
		t.Fatalf("%d names of metrics found: has their form changed?", len(names))
	}
	return names
}

// series are values over time, in promtool's notation, a minute each.
type series map[string]string

// well is how a server is that needs nobody.
func well() series {
	return series{
		`up{job="geodns", instance="one"}`:                                                                "1x3000",
		`process_start_time_seconds{job="geodns", instance="one"}`:                                        "-86400x3000",
		`geodns_steered_names{job="geodns", instance="one", state="whole"}`:                               "7x3000",
		`geodns_steered_names{job="geodns", instance="one", state="reduced"}`:                             "0x3000",
		`geodns_steered_names{job="geodns", instance="one", state="nothing-live"}`:                        "0x3000",
		`geodns_targets{job="geodns", instance="one", state="up"}`:                                        "20x3000",
		`geodns_targets{job="geodns", instance="one", state="down"}`:                                      "0x3000",
		`geodns_targets{job="geodns", instance="one", state="unknown"}`:                                   "0x3000",
		`geodns_targets{job="geodns", instance="two", state="up"}`:                                        "20x3000",
		`geodns_targets{job="geodns", instance="two", state="down"}`:                                      "0x3000",
		`geodns_verdict_turns_total{job="geodns", instance="one", state="down"}`:                          "3x3000",
		`geodns_probes_total{job="geodns", instance="one", type="http", result="local"}`:                  "2x3000",
		`geodns_probes_total{job="geodns", instance="one", type="http", result="ok"}`:                     "0+60x3000",
		`geodns_drains{job="geodns", instance="one", state="active"}`:                                     "0x3000",
		`geodns_listeners_running{job="geodns", instance="one"}`:                                          "4x3000",
		`geodns_listeners_started{job="geodns", instance="one"}`:                                          "4x3000",
		`geodns_dropped_total{job="geodns", instance="one", reason="panic"}`:                              "0x3000",
		`geodns_responses_total{job="geodns", instance="one", rcode="SERVFAIL"}`:                          "5x3000",
		`geodns_writers{job="geodns", instance="one", zone="a.example.", name="db.a.example.", type="A"}`: "1x3000",
		`geodns_failovers{job="geodns", instance="one", step="other"}`:                                    "0x3000",
		`geodns_isolated{job="geodns", instance="one"}`:                                                   "0x3000",
		`geodns_anchors{job="geodns", instance="one", state="failing"}`:                                   "0x3000",
		`geodns_zone_failures{job="geodns", instance="one"}`:                                              "0x3000",
		`geodns_secondary_zones{job="geodns", instance="one", state="serving"}`:                           "9x3000",
		`geodns_secondary_zones{job="geodns", instance="one", state="failing"}`:                           "0x3000",
		`geodns_secondary_zones{job="geodns", instance="one", state="expired"}`:                           "0x3000",
		`geodns_last_reload_success{job="geodns", instance="one"}`:                                        "1x3000",
		`geodns_store_errors_total{job="geodns", instance="one"}`:                                         "0x3000",
		`geodns_zone_serial{job="geodns", instance="one", zone="a.example."}`:                             "5x3000",
		`geodns_zone_serial{job="geodns", instance="two", zone="a.example."}`:                             "5x3000",
		`geodns_peers{job="geodns", instance="one", state="silent"}`:                                      "0x3000",
		`geodns_peer_lag_seconds{job="geodns", instance="one", peer="192.0.2.53:53"}`:                     "0x3000",
	}
}

// sick are what makes each alert fire, at a minute from the start; the others
// that fire with it are listed, too.
var sick = []struct {
	alert, metric, values string
	minute                int
	with                  []string
}{
	{alert: "GeodnsNothingLive", metric: `geodns_steered_names{job="geodns", instance="one", state="nothing-live"}`, values: "2x3000", minute: 2},
	{alert: "GeodnsNodesDown", metric: `geodns_targets{job="geodns", instance="one", state="down"}`, values: "1x3000", minute: 6},
	{alert: "GeodnsManyNodesDown", metric: `geodns_targets{job="geodns", instance="one", state="down"}`, values: "20x3000", minute: 2},
	{alert: "GeodnsServersDisagree", metric: `geodns_targets{job="geodns", instance="two", state="down"}`, values: "1x3000", minute: 11, with: []string{"GeodnsNodesDown"}},
	{alert: "GeodnsFlapping", metric: `geodns_verdict_turns_total{job="geodns", instance="one", state="down"}`, values: "0+1x3000", minute: 31},
	{alert: "GeodnsCannotProbe", metric: `geodns_probes_total{job="geodns", instance="one", type="http", result="local"}`, values: "0+3x3000", minute: 12},
	{alert: "GeodnsDrainOld", metric: `geodns_drains{job="geodns", instance="one", state="active"}`, values: "1x3000", minute: 1441},
	{alert: "GeodnsWriters", metric: `geodns_writers{job="geodns", instance="one", zone="a.example.", name="db.a.example.", type="A"}`, values: "2x3000", minute: 2},
	{alert: "GeodnsFailedOver", metric: `geodns_failovers{job="geodns", instance="one", step="other"}`, values: "1x3000", minute: 61},
	{alert: "GeodnsIsolated", metric: `geodns_isolated{job="geodns", instance="one"}`, values: "1x3000", minute: 2},
	{alert: "GeodnsAnchorsFail", metric: `geodns_anchors{job="geodns", instance="one", state="failing"}`, values: "1x3000", minute: 31},
	{alert: "GeodnsGone", metric: `up{job="geodns", instance="one"}`, values: "0x3000", minute: 3},
	{alert: "GeodnsDeaf", metric: `geodns_listeners_running{job="geodns", instance="one"}`, values: "3x3000", minute: 2},
	{alert: "GeodnsPanics", metric: `geodns_dropped_total{job="geodns", instance="one", reason="panic"}`, values: "0x10 1x3000", minute: 20},
	{alert: "GeodnsServfail", metric: `geodns_responses_total{job="geodns", instance="one", rcode="SERVFAIL"}`, values: "0+600x3000", minute: 11},
	{alert: "GeodnsZoneBroken", metric: `geodns_zone_failures{job="geodns", instance="one"}`, values: "1x3000", minute: 6},
	{alert: "GeodnsZoneExpired", metric: `geodns_secondary_zones{job="geodns", instance="one", state="expired"}`, values: "1x3000", minute: 2},
	{alert: "GeodnsPrimariesFail", metric: `geodns_secondary_zones{job="geodns", instance="one", state="failing"}`, values: "3x3000", minute: 31},
	{alert: "GeodnsReloadBroken", metric: `geodns_last_reload_success{job="geodns", instance="one"}`, values: "0x3000", minute: 6},
	{alert: "GeodnsStoreFails", metric: `geodns_store_errors_total{job="geodns", instance="one"}`, values: "0x10 1x3000", minute: 20},
	{alert: "GeodnsSecondaryBehind", metric: `geodns_peer_lag_seconds{job="geodns", instance="one", peer="192.0.2.53:53"}`, values: "0+60x3000", minute: 8},
	{alert: "GeodnsSecondarySilent", metric: `geodns_peers{job="geodns", instance="one", state="silent"}`, values: "1x3000", minute: 11},
	{alert: "GeodnsSerialsDiffer", metric: `geodns_zone_serial{job="geodns", instance="two", zone="a.example."}`, values: "4x3000", minute: 16},
}

// TestAlerts has Prometheus' own tool try the rules: nothing fires while all is
// well, each fires for what it is about, and for nothing else.
func TestAlerts(t *testing.T) {
	_, rules := readAlerts(t)
	tested := map[string]bool{}
	var b strings.Builder
	path, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", path)
	trial(&b, well(), 1500, nil)
	for _, s := range sick {
		tested[s.alert] = true
		all := well()
		all[s.metric] = s.values
		trial(&b, all, s.minute, append([]string{s.alert}, s.with...))
	}
	// What could not be stored at the start.
	late := well()
	late[`process_start_time_seconds{job="geodns", instance="one"}`] = "0x3000"
	late[`geodns_store_errors_total{job="geodns", instance="one"}`] = "1x3000"
	trial(&b, late, 5, []string{"GeodnsStoreFails"})
	trial(&b, late, 20, nil)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if !tested[r.Alert] {
				t.Errorf("nothing here makes %s fire", r.Alert)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "alerts.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", path}, {"test", "rules", file}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// trial writes a test for promtool: the series, and which alerts fire at a minute.
func trial(b *strings.Builder, all series, minute int, firing []string) {
	fmt.Fprintf(b, "- interval: 1m\n  input_series:\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(b, "  - {series: '%s', values: '%s'}\n", name, all[name])
	}
	fmt.Fprintf(b, "  promql_expr_test:\n  - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n    eval_time: %dm\n    exp_samples:\n", minute)
	for _, alert := range firing {
		fmt.Fprintf(b, "    - {labels: '{alertname=%q}', value: 1}\n", alert)
	}
}
