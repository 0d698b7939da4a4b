package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTimeout = 5 * time.Second
	// maxAnswer bounds what the client reads: 100,000 zones have some 30 MB.
	maxAnswer = 1 << 30
)

// Client asks the server behind a control socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client for the socket at path. Nothing is opened yet.
func NewClient(path string) *Client {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
	}}}
}

// Status asks how the server is; all: with lists of everything.
func (c *Client) Status(ctx context.Context, all bool) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/status?all="+strconv.FormatBool(all), nil, &s)
}

// Drain takes a site or node out of the answers.
func (c *Client) Drain(ctx context.Context, o DrainOrder) (r DrainResult, err error) {
	return r, c.do(ctx, http.MethodPost, "/v1/drain", o, &r)
}

// Undrain takes a drain back.
func (c *Client) Undrain(ctx context.Context, o UndrainOrder) (r DrainResult, err error) {
	return r, c.do(ctx, http.MethodPost, "/v1/undrain", o, &r)
}

// Zones asks for all zones.
func (c *Client) Zones(ctx context.Context) (z []Zone, err error) {
	return z, c.do(ctx, http.MethodGet, "/v1/zones", nil, &z)
}

// Zone asks for one zone.
func (c *Client) Zone(ctx context.Context, name string) (z Zone, err error) {
	return z, c.do(ctx, http.MethodGet, "/v1/zones/"+url.PathEscape(name), nil, &z)
}

// Reload has the configuration and the zones read again, and waits for it.
func (c *Client) Reload(ctx context.Context, force bool) (r Reload, err error) {
	return r, c.do(ctx, http.MethodPost, "/v1/reload", options{force}, &r)
}

// ReloadZone has one zone's file read again, and waits for it.
func (c *Client) ReloadZone(ctx context.Context, name string, force bool) (r Reload, err error) {
	return r, c.do(ctx, http.MethodPost, "/v1/zones/"+url.PathEscape(name)+"/reload", options{force}, &r)
}

// Explain asks how a question is answered, and why. report is filled in from
// the answer.
func (c *Client) Explain(ctx context.Context, q Question, report any) error {
	v := url.Values{"name": {q.Name}, "type": {q.Type}, "client": {q.Client}}
	if q.ECS != "" {
		v.Set("ecs", q.ECS)
	}
	if q.Draw != "" {
		v.Set("draw", q.Draw)
	}
	return c.do(ctx, http.MethodGet, "/v1/explain?"+v.Encode(), nil, report)
}

func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	return c.ask(ctx, method, path, body, func(d *json.Decoder) error {
		if err := d.Decode(into); err != nil {
			return fmt.Errorf("the answer from %s cannot be read; is the server of another version? %w", c.path, err)
		}
		return nil
	})
}

// ask sends a request, and has its answer, which is JSON, read.
func (c *Client) ask(ctx context.Context, method, path string, body any, read func(*json.Decoder) error) error {
	return c.exchange(ctx, method, path, body, func(in io.Reader) error { return read(json.NewDecoder(in)) })
}

// exchange sends a request, and has its answer read.
func (c *Client) exchange(ctx context.Context, method, path string, body any, read func(io.Reader) error) error {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://geodns"+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer res.Body.Close()
	answer := io.LimitReader(res.Body, maxAnswer)
	if res.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(answer).Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("what listens on %s is no geodns: it answered %s", c.path, res.Status)
		}
		return errors.New(f.Error)
	}
	return read(answer)
}

// explain says what can be done about a socket that does not answer.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no server has opened the control socket %s; start one with geodns serve, or name the right socket with --socket, or the server's configuration with --config", c.path)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("the server that had opened the control socket %s is gone; start it again with geodns serve", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("you may not open the control socket %s; be its owner or of its group, or root", c.path)
	}
	return fmt.Errorf("cannot talk to the server by the control socket %s: %w", c.path, plain(err))
}

// plain is the system call's error, without what the message says already.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}
