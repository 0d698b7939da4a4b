package control

import (
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Orders and what came of them pass as they are, and who gave them is noted.
func TestDrain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var log buffer
	h := handlers(slog.New(slog.NewTextHandler(&log, nil)))
	var drained DrainOrder
	var undrained UndrainOrder
	want := DrainResult{
		Drains: []Drain{{Name: "lon", Zone: "example.", Active: true, From: time.Unix(1800000000, 0).UTC(), Until: time.Unix(1800003600, 0).UTC(), Reason: "why"}},
		Places: []Place{{Kind: KindSite, Name: "lon", Zone: "example.", Records: Records{Live: 1, Drained: 2, All: 3}}},
		Changed: []NameChange{{
			Before: Name{Name: "www.example.", Zone: "example.", Type: "A", Policy: "nearest", Stage: StageNormal, Records: Records{3, 0, 3}, Sites: []SiteRecord{{"lon", Records{3, 0, 3}}}},
			After:  Name{Name: "www.example.", Zone: "example.", Type: "A", Policy: "nearest", Stage: "nothing", Records: Records{0, 3, 3}},
			Lost:   true,
		}},
		ChangedAll: 1, Lost: 1, Refused: true, DryRun: true, Unstored: "no store",
	}
	h.Drain = func(o DrainOrder) (DrainResult, error) {
		drained = o
		if o.Name == "" {
			return DrainResult{}, errors.New("nothing is called that")
		}
		return want, nil
	}
	h.Undrain = func(o UndrainOrder) (DrainResult, error) {
		undrained = o
		return want, nil
	}
	start(t, path, h)
	c, ctx := NewClient(path), t.Context()

	order := DrainOrder{Name: "lon", Zone: "example.", At: time.Unix(1800000000, 0).UTC(), Seconds: 3600, Reason: "why", Force: true, DryRun: true}
	if res, err := c.Drain(ctx, order); err != nil || cmp.Diff(want, res) != "" || drained != order {
		t.Errorf("drain %+v: %v %s", drained, err, cmp.Diff(want, res))
	}
	if res, err := c.Undrain(ctx, UndrainOrder{"lon", "example.", true}); err != nil || cmp.Diff(want, res) != "" || undrained != (UndrainOrder{"lon", "example.", true}) {
		t.Errorf("undrain %+v: %v %s", undrained, err, cmp.Diff(want, res))
	}
	if _, err := c.Drain(ctx, DrainOrder{}); err == nil || err.Error() != "nothing is called that" {
		t.Errorf("drain nothing: %v", err)
	}
	for _, want := range []string{"command=drain name=lon zone=example. force=true dry-run=true uid=", "command=undrain name=lon zone=example. dry-run=true uid="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	for _, body := range []string{`{"name":"lon","for":"1h"}`, `{"name":3}`} {
		res, err := c.http.Post("http://x/v1/drain", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var f failure
		if err := json.NewDecoder(res.Body).Decode(&f); err != nil || res.StatusCode != 400 || !strings.HasPrefix(f.Error, `the body must be like {"name": "lon"`) {
			t.Errorf("%s: %d %v %s", body, res.StatusCode, err, f.Error)
		}
		res.Body.Close()
	}
}

// All of everything is asked for only when it is wanted.
func TestStatusAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	h := handlers(silent())
	h.Status = func(all bool) Status {
		if all {
			return Status{PID: 2}
		}
		return Status{PID: 1}
	}
	start(t, path, h)
	for all, want := range map[bool]int{false: 1, true: 2} {
		if s, err := NewClient(path).Status(t.Context(), all); err != nil || s.PID != want {
			t.Errorf("all %t: %d %v, want %d", all, s.PID, err, want)
		}
	}
}

// The keys that scripts rely on.
func TestNodesKeys(t *testing.T) {
	n := Nodes{
		Drains: []Drain{{}}, Sides: []Side{{}}, Places: []Place{{}}, Targets: []Target{{}}, Names: []Name{{Sites: []SiteRecord{{}}}},
	}
	data, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	const zero = `"0001-01-01T00:00:00Z"`
	want := `{"counts":{"up":0,"down":0,"unknown":0,"refused":0,"stale":0,"joining":0,"damped":0,"probes":0},"isolation":null,` +
		`"drains":[{"name":"","zone":"","active":false,"by-primary":false,"from":` + zero + `,"until":` + zero + `,"reason":""}],"drains-unstored":"",` +
		`"sides":[{"name":"","zone":"","types":"","step":"","first":false,"since":` + zero + `,"by":"","reason":"","held":false,"back":` + zero + `,` +
		`"role":false,"writers":null,"alarm":` + zero + `}],"sides-all":0,"sides-unstored":"",` +
		`"places":[{"kind":"","name":"","zone":"","drained-by":"","records":{"live":0,"drained":0,"all":0}}],"places-all":0,` +
		`"targets":[{"address":"","check":"","zone":"","type":"","check-text":"","verdict":"","since":` + zero + `,"stale":false,"joining":false,"held":false,"refused":"",` +
		`"ok":false,"reason":"","seconds":0,"at":` + zero + `,"next":` + zero + `,"fails":0,"successes":0,"fall":0,"rise":0,"damped":false}],"targets-all":0,` +
		`"names":[{"name":"","zone":"","type":"","policy":"","stage":"","records":{"live":0,"drained":0,"all":0},"sites":[{"site":"","records":{"live":0,"drained":0,"all":0}}]}],` +
		`"names-all":0,"loads":null,"loads-all":0,"ramps":null,"ramps-all":0,"names-troubled":0}`
	if string(data) != want {
		t.Errorf("got\n%s\nwant\n%s", data, want)
	}
}
