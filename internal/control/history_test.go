package control

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// versionsOf answers for one zone, and notes what it was asked.
func versionsOf(asked *[]any) Versions {
	known := func(name string) error {
		if name != "example.org." {
			return &NotServedError{Zone: name}
		}
		return nil
	}
	return Versions{
		History: func(name string, n int) (History, error) {
			*asked = append(*asked, n)
			return History{Zone: name, Serial: 7, Versions: []Version{{Serial: 7, From: 6, Added: 1, Reachable: true}}, More: true}, known(name)
		},
		Change: func(name string, serial uint32) (ZoneChange, error) {
			if serial == 1 {
				return ZoneChange{}, errors.New("serial 1 is not kept")
			}
			return ZoneChange{Zone: name, Version: Version{Serial: serial}, Del: []string{"a"}, Add: []string{}}, known(name)
		},
		Export: func(name string, o ExportOrder) (func(io.Writer) error, error) {
			*asked = append(*asked, o)
			return func(w io.Writer) error {
				_, err := io.WriteString(w, strings.Repeat("text\n", 20_000))
				if o.Stripped {
					return errors.New("the disk fails")
				}
				return err
			}, known(name)
		},
		Write: func(name string) (Written, error) { return Written{Zone: name, Serial: 7}, known(name) },
		Rollback: func(name string, o RollbackOrder, by string) (RollbackResult, error) {
			*asked = append(*asked, o, strings.HasPrefix(by, "uid "))
			return RollbackResult{Zone: name, To: o.Serial, Before: 7, After: 8, Del: []string{}, Add: []string{}}, known(name)
		},
		Retransfer: func(name string, full bool) error {
			*asked = append(*asked, full)
			return known(name)
		},
		Notify: func(name string) ([]Told, error) { return []Told{{Server: "192.0.2.1:53"}}, known(name) },
	}
}

// The client and the server agree on every path about versions.
func TestVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	var log buffer
	var asked []any
	h := handlers(slog.New(slog.NewTextHandler(&log, nil)))
	h.Versions = versionsOf(&asked)
	start(t, path, h)
	c, ctx := NewClient(path), t.Context()
	serial := uint32(4294967295)
	same := func(what string, got, want any, err error) {
		t.Helper()
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", what, err, d)
		}
	}
	hist, err := c.History(ctx, "example.org.", 5)
	same("history", hist, History{Zone: "example.org.", Serial: 7, Versions: []Version{{Serial: 7, From: 6, Added: 1, Reachable: true}}, More: true}, err)
	change, err := c.Change(ctx, "example.org.", serial)
	same("change", change, ZoneChange{Zone: "example.org.", Version: Version{Serial: serial}, Del: []string{"a"}, Add: []string{}}, err)
	var text bytes.Buffer
	err = c.Export(ctx, "example.org.", ExportOrder{Serial: &serial, All: true}, &text)
	same("export", text.String(), strings.Repeat("text\n", 20_000), err)
	written, err := c.WriteZone(ctx, "example.org.")
	same("write", written, Written{Zone: "example.org.", Serial: 7}, err)
	res, err := c.Rollback(ctx, "example.org.", RollbackOrder{Serial: 3, DryRun: true})
	same("rollback", res, RollbackResult{Zone: "example.org.", To: 3, Before: 7, After: 8, Del: []string{}, Add: []string{}}, err)
	same("retransfer", nil, nil, c.Retransfer(ctx, "example.org.", true))
	told, err := c.Notify(ctx, "example.org.")
	same("notify", told, []Told{{Server: "192.0.2.1:53"}}, err)
	same("asked", asked, []any{5, ExportOrder{Serial: &serial, All: true}, RollbackOrder{Serial: 3, DryRun: true}, true, true}, nil)
	for _, command := range []string{"zone write", "zone rollback", "zone retransfer", "zone notify"} {
		if !strings.Contains(log.String(), `command="`+command+`"`) {
			t.Errorf("the log lacks %s:\n%s", command, log.String())
		}
	}

	// An export that breaks off is not taken for the whole.
	if err := c.Export(ctx, "example.org.", ExportOrder{Stripped: true}, io.Discard); err == nil || !strings.Contains(err.Error(), "the export was cut off") {
		t.Errorf("an export that fails: %v", err)
	}
	if err := c.Export(ctx, "b.", ExportOrder{}, io.Discard); err == nil || !strings.Contains(err.Error(), "the zone b. is not served here") {
		t.Errorf("an export of nothing: %v", err)
	}
	if _, err := c.Change(ctx, "example.org.", 1); err == nil || err.Error() != "serial 1 is not kept" {
		t.Errorf("what is not kept: %v", err)
	}
}

// What makes no sense is refused, with a status and a sentence.
func TestVersionsRefused(t *testing.T) {
	var asked []any
	h := handlers(silent())
	h.Versions = versionsOf(&asked)
	mux := h.mux()
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/zones/b./history", "", 404, "is not served here"},
		{"GET", "/v1/zones/example.org./history?n=0", "", 400, "a number from 1 to"},
		{"GET", "/v1/zones/example.org./history/x", "", 400, "is no serial"},
		{"GET", "/v1/zones/example.org./history/4294967296", "", 400, "is no serial"},
		{"GET", "/v1/zones/example.org./export?serial=-1", "", 400, "is no serial"},
		{"GET", "/v1/zones/example.org./rollback", "", 405, "cannot be asked for with GET"},
		{"POST", "/v1/zones/example.org./rollback", `{"serial": "x"}`, 400, "the body must be like"},
		{"POST", "/v1/zones/example.org./rollback", `{"serial": -1}`, 400, "the body must be like"},
		{"POST", "/v1/zones/example.org./retransfer", `{"ful": true}`, 400, "the body must be like"},
		{"POST", "/v1/zones/b./notify", "", 404, "is not served here"},
		{"POST", "/v1/zones/b./write", "", 404, "is not served here"},
	} {
		w := httptest.NewRecorder()
		r, err := http.NewRequestWithContext(t.Context(), tt.method, "http://geodns"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		mux.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
}
