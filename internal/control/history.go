package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Versions do what is asked about the versions of zones, and of what keeps zones
// equal on many servers. An error that is a *NotServedError is for a zone that
// there is not; others say why not.
type Versions struct {
	// History has the newest n versions of a zone.
	History func(name string, n int) (History, error)
	// Change is what led to one of them.
	Change func(name string, serial uint32) (ZoneChange, error)
	// Export looks for what is to be exported, and returns what writes it.
	Export func(name string, o ExportOrder) (func(io.Writer) error, error)
	// Write exports to the zone's own file.
	Write func(name string) (Written, error)
	// Rollback serves what an older version said; by tells who asked.
	Rollback func(name string, o RollbackOrder, by string) (RollbackResult, error)
	// Retransfer has a copy's primaries asked; full: for the whole zone.
	Retransfer func(name string, full bool) error
	// Notify tells all who are to be told of a zone's version, again.
	Notify func(name string) ([]Told, error)
}

// NotServedError: there is no such zone here.
type NotServedError struct{ Zone string }

// Error says where those are listed that there are.
func (e *NotServedError) Error() string {
	return "the zone " + e.Zone + " is not served here; geodns zone status lists those that are"
}

// History is what is known of a zone's versions.
type History struct {
	Zone   string `json:"zone"`
	Serial uint32 `json:"serial"` // that is served
	// Versions are the newest first.
	Versions []Version `json:"versions"`
	// More: there are older ones, beyond how many were asked for.
	More bool `json:"more"`
}

// Version is one version of a zone, and how it came to be.
type Version struct {
	Serial uint32    `json:"serial"`
	From   uint32    `json:"from"` // the serial before
	At     time.Time `json:"at"`
	Origin string    `json:"origin"` // file, transfer, update, command
	By     string    `json:"by"`     // who made it: a file, a key, a primary, a user
	Note   string    `json:"note"`
	// Added and Deleted count records, without the SOA.
	Added   int `json:"added"`
	Deleted int `json:"deleted"`
	// Whole: nothing is known of what was before.
	Whole bool `json:"whole"`
	// Cut: what it changed is not kept.
	Cut bool `json:"cut"`
	// Reachable: what it said can be exported, and be served again.
	Reachable bool `json:"reachable"`
}

// ZoneChange is what led to a version. The lists have records as lines of a
// master file, at most MaxLines each, the SOA first.
type ZoneChange struct {
	Version
	Zone       string   `json:"zone"`
	Del        []string `json:"del"`
	Add        []string `json:"add"`
	DelAll     int      `json:"del-all"` // how many there are
	AddAll     int      `json:"add-all"`
	Incomplete bool     `json:"incomplete"` // there are more than are listed
}

// MaxLines is how many records of a list are told.
const MaxLines = 100_000

// ExportOrder says what of a zone is exported.
type ExportOrder struct {
	// Serial is the version's; nil: the one that is served.
	Serial *uint32
	// Stripped: without all that steers. All: with the records of commands in
	// force, too.
	Stripped, All bool
}

// Written is what became of an export to the zone's own file.
type Written struct {
	Zone    string `json:"zone"`
	File    string `json:"file"`
	Serial  uint32 `json:"serial"`
	Records int    `json:"records"`
	// Same: the file said the very same already.
	Same bool `json:"same"`
}

// RollbackOrder is the body of POST /v1/zones/NAME/rollback.
type RollbackOrder struct {
	Serial uint32 `json:"serial"`
	DryRun bool   `json:"dry-run"`
}

// RollbackResult is what a rollback did, or would do.
type RollbackResult struct {
	Zone   string `json:"zone"`
	To     uint32 `json:"to"`     // the version that is served again
	Before uint32 `json:"before"` // the serial that was served
	After  uint32 `json:"after"`  // and that is now
	// Del and Add are the first records that go and come, without the SOA; DelAll
	// and AddAll count them.
	Del    []string `json:"del"`
	Add    []string `json:"add"`
	DelAll int      `json:"del-all"`
	AddAll int      `json:"add-all"`
	SOA    bool     `json:"soa"` // more of the SOA changes than its serial
	// Same: the version that is served says the same, and nothing was done.
	Same   bool `json:"same"`
	DryRun bool `json:"dry-run"`
	// File is the zone's file, which says something else; "": it has none.
	File string `json:"file"`
	// Merged: the zone takes updates, so that only what changes of its file
	// counts; else its file counts as a whole, as soon as it is read again.
	Merged bool `json:"merged"`
}

// History asks for the newest n versions of a zone.
func (c *Client) History(ctx context.Context, name string, n int) (h History, err error) {
	return h, c.do(ctx, http.MethodGet, zonePath(name, "history")+"?n="+strconv.Itoa(n), nil, &h)
}

// Change asks what led to a version.
func (c *Client) Change(ctx context.Context, name string, serial uint32) (v ZoneChange, err error) {
	return v, c.do(ctx, http.MethodGet, zonePath(name, "history")+"/"+serialText(serial), nil, &v)
}

// Export writes a zone as a master file.
func (c *Client) Export(ctx context.Context, name string, o ExportOrder, w io.Writer) error {
	v := url.Values{"stripped": {strconv.FormatBool(o.Stripped)}, "all": {strconv.FormatBool(o.All)}}
	if o.Serial != nil {
		v.Set("serial", serialText(*o.Serial))
	}
	return c.exchange(ctx, http.MethodGet, zonePath(name, "export")+"?"+v.Encode(), nil, func(body io.Reader) error {
		n, err := io.Copy(w, body)
		if err == nil && n >= maxAnswer {
			err = errors.New("it takes more than 1 GiB")
		}
		if err != nil {
			return fmt.Errorf("the export was cut off: %w", err)
		}
		return nil
	})
}

// WriteZone exports a zone to its own file.
func (c *Client) WriteZone(ctx context.Context, name string) (r Written, err error) {
	return r, c.do(ctx, http.MethodPost, zonePath(name, "write"), struct{}{}, &r)
}

// Rollback serves what an older version said.
func (c *Client) Rollback(ctx context.Context, name string, o RollbackOrder) (r RollbackResult, err error) {
	return r, c.do(ctx, http.MethodPost, zonePath(name, "rollback"), o, &r)
}

// Retransfer has a copy's primaries asked at once; it does not wait for them.
func (c *Client) Retransfer(ctx context.Context, name string, full bool) error {
	return c.do(ctx, http.MethodPost, zonePath(name, "retransfer"), retransferOrder{full}, &struct{}{})
}

// Notify tells of a zone's version again; it does not wait for answers.
func (c *Client) Notify(ctx context.Context, name string) (list []Told, err error) {
	return list, c.do(ctx, http.MethodPost, zonePath(name, "notify"), struct{}{}, &list)
}

type retransferOrder struct {
	Full bool `json:"full"`
}

func zonePath(name, what string) string { return "/v1/zones/" + url.PathEscape(name) + "/" + what }

func serialText(serial uint32) string { return strconv.FormatUint(uint64(serial), 10) }

// routes are the paths below a zone's.
func (v *Versions) routes(h *Handlers) map[string]map[string]http.HandlerFunc {
	const zone = "/v1/zones/{name}/"
	return map[string]map[string]http.HandlerFunc{
		zone + "history":          {http.MethodGet: v.history},
		zone + "history/{serial}": {http.MethodGet: v.change},
		zone + "export":           {http.MethodGet: v.export},
		zone + "write":            {http.MethodPost: h.zoneWrite},
		zone + "rollback":         {http.MethodPost: h.zoneRollback},
		zone + "retransfer":       {http.MethodPost: h.zoneRetransfer},
		zone + "notify":           {http.MethodPost: h.zoneNotify},
	}
}

const (
	defaultVersions = 20
	maxVersions     = 100_000
)

func (v *Versions) history(w http.ResponseWriter, r *http.Request) {
	n := defaultVersions
	if text := r.URL.Query().Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxVersions {
			fail(w, http.StatusBadRequest, fmt.Sprintf("n=%q: it must be a number from 1 to %d", text, maxVersions))
			return
		}
	}
	list, err := v.History(r.PathValue("name"), n)
	respondZone(w, list, err)
}

func (v *Versions) change(w http.ResponseWriter, r *http.Request) {
	serial, ok := readSerial(w, r.PathValue("serial"))
	if !ok {
		return
	}
	c, err := v.Change(r.PathValue("name"), serial)
	respondZone(w, c, err)
}

func (v *Versions) export(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := ExportOrder{Stripped: q.Get("stripped") == "true", All: q.Get("all") == "true"}
	if text := q.Get("serial"); text != "" {
		serial, ok := readSerial(w, text)
		if !ok {
			return
		}
		o.Serial = &serial
	}
	write, err := v.Export(r.PathValue("name"), o)
	if err != nil {
		respondZone(w, struct{}{}, err)
		return
	}
	w.Header().Set("Content-Type", "text/dns") // RFC 4027
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(reloadTimeout))
	if err := write(w); err != nil {
		panic(http.ErrAbortHandler) // the client must not take it for the whole
	}
}

func (h *Handlers) zoneWrite(w http.ResponseWriter, r *http.Request) {
	if !h.command(w, r, &struct{}{}, "{}, or empty") {
		return
	}
	h.told(r, "zone write", "zone", r.PathValue("name"))
	res, err := h.Versions.Write(r.PathValue("name"))
	respondZone(w, res, err)
}

func (h *Handlers) zoneRollback(w http.ResponseWriter, r *http.Request) {
	var o RollbackOrder
	if !h.command(w, r, &o, `{"serial": 2026112001, "dry-run": false}`) {
		return
	}
	h.told(r, "zone rollback", "zone", r.PathValue("name"), "serial", o.Serial, "dry-run", o.DryRun)
	who, _ := r.Context().Value(peerKey{}).(peer)
	res, err := h.Versions.Rollback(r.PathValue("name"), o, fmt.Sprintf("uid %d", who.UID))
	respondZone(w, res, err)
}

func (h *Handlers) zoneRetransfer(w http.ResponseWriter, r *http.Request) {
	var o retransferOrder
	if !h.command(w, r, &o, `{"full": false}, or empty`) {
		return
	}
	h.told(r, "zone retransfer", "zone", r.PathValue("name"), "full", o.Full)
	respondZone(w, struct{}{}, h.Versions.Retransfer(r.PathValue("name"), o.Full))
}

func (h *Handlers) zoneNotify(w http.ResponseWriter, r *http.Request) {
	if !h.command(w, r, &struct{}{}, "{}, or empty") {
		return
	}
	h.told(r, "zone notify", "zone", r.PathValue("name"))
	list, err := h.Versions.Notify(r.PathValue("name"))
	respondZone(w, list, err)
}

// respondZone answers about a zone.
func respondZone(w http.ResponseWriter, res any, err error) {
	var missing *NotServedError
	switch {
	case errors.As(err, &missing):
		fail(w, http.StatusNotFound, err.Error())
	case err != nil:
		fail(w, http.StatusBadRequest, err.Error())
	default:
		answer(w, res)
	}
}

func readSerial(w http.ResponseWriter, text string) (serial uint32, ok bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Sprintf("%q is no serial: it must be a number from 0 to 4294967295", text))
	}
	return uint32(n), err == nil
}
