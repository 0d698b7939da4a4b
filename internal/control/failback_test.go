package control

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An order and what came of it pass as they are, and who gave it is noted.
func TestFailback(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var log buffer
	h := handlers(slog.New(slog.NewTextHandler(&log, nil)))
	side := Side{
		Name: "db.example.", Zone: "example.", Types: "A,AAAA", Step: "one", First: true, Since: time.Unix(1800000000, 0).UTC(), By: "force", Reason: "why",
		Held: true, Back: time.Unix(1800000600, 0).UTC(), Role: true, Writers: []string{"one", "two"}, Alarm: time.Unix(1800000001, 0).UTC(),
	}
	want := FailbackResult{
		Failovers: []Failback{{
			Policy: "10m0s", Before: side, After: Side{Step: "two"}, Refused: "two is down", Forcible: true, Same: true,
			Answers: []Turn{{Type: "A", Before: Answered{StageNormal, []string{"192.0.2.1"}}, After: Answered{"no-writer", nil}}},
		}},
		Refused: true, DryRun: true, Unstored: "no store",
	}
	var got FailbackOrder
	h.Failback = func(o FailbackOrder) (FailbackResult, error) {
		if got = o; o.To == "mars" {
			return FailbackResult{}, errors.New("mars is no step")
		}
		return want, nil
	}
	start(t, path, h)
	c, ctx := NewClient(path), t.Context()
	order := FailbackOrder{Name: "db.example.", Zone: "example.", To: "one", Reason: "why", Force: true, DryRun: true}
	if res, err := c.Failback(ctx, order); err != nil || cmp.Diff(want, res) != "" || got != order {
		t.Errorf("%+v: %v %s", got, err, cmp.Diff(want, res))
	}
	if _, err := c.Failback(ctx, FailbackOrder{To: "mars"}); err == nil || err.Error() != "mars is no step" {
		t.Error(err)
	}
	if want := "command=failback name=db.example. zone=example. to=one force=true dry-run=true uid="; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, log.String())
	}
	if res, err := c.http.Post("http://x/v1/failback", "application/json", strings.NewReader(`{"step":"one"}`)); err != nil || res.StatusCode != 400 {
		t.Errorf("an unknown field: %v", err)
	} else {
		res.Body.Close()
	}
}
