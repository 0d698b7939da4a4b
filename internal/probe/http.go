package probe

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"

	"geodns/internal/steer/record"
)

const (
	// maxHeader bounds what comes before the body, in octets.
	maxHeader = 64 << 10
	// maxBody is how much of a body is looked at.
	maxBody = 256 << 10
	// maxInterim bounds the interim responses before the final one.
	maxInterim = 8

	userAgent = "geodns-probe"
)

// http asks for the path. Each probe has its own connection, as a new client
// would; nothing is followed.
func (r *attempt) http() (string, error) {
	if r.c.HTTP2 {
		return r.http2()
	}
	c, err := r.dial(budgetHTTP)
	if err != nil {
		return "", err
	}
	var nc net.Conn = c
	if r.c.Type == record.CheckHTTPS {
		if nc, err = r.secure(c, "http/1.1"); err != nil {
			return "", err
		}
	}
	if _, err := nc.Write(r.request()); err != nil {
		return "", r.failed("sending the request", err)
	}
	in := &limited{r: nc, max: maxHeader, left: maxHeader}
	resp, err := r.response(bufio.NewReaderSize(in, 4096))
	if err != nil {
		return "", err
	}
	// What is looked at, and what is only read to its end.
	in.max, in.left = 3*maxBody, 3*maxBody
	if err := r.judge(resp); err != nil {
		return "", err
	}
	r.rest(resp)
	return resp.Status, nil
}

// request is the request in HTTP/1.1 (RFC 9112 3).
func (r *attempt) request() []byte {
	b := make([]byte, 0, 256)
	b = append(b, r.c.Method+" "+r.c.Path+" HTTP/1.1\r\nHost: "+r.authority()+"\r\nUser-Agent: "+userAgent+"\r\nAccept: */*\r\n"...)
	if !r.hold {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// authority is the Host of requests (RFC 9110 7.2): the port stands in it only
// if it is not the scheme's own.
func (r *attempt) authority() string {
	host := r.c.Host
	if host == "" {
		host = r.t.Addr.WithZone("").String()
		if r.t.Addr.Is6() {
			host = "[" + host + "]"
		}
	}
	if r.c.Type == record.CheckHTTP && r.c.Port == 80 || r.c.Type == record.CheckHTTPS && r.c.Port == 443 {
		return host
	}
	return host + ":" + strconv.Itoa(int(r.c.Port))
}

// response reads the head of the final response.
func (r *attempt) response(br *bufio.Reader) (*http.Response, error) {
	req := &http.Request{Method: r.c.Method}
	for range maxInterim {
		resp, err := http.ReadResponse(br, req)
		if err != nil {
			return nil, r.failed("waiting for the response", err)
		}
		// RFC 9110 15.2: interim responses are skipped; 101 would be the last in
		// HTTP, and nobody asked for it.
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errors.New("interim responses (1xx) without end")
}

// judge compares a response with what the check asks for.
func (r *attempt) judge(resp *http.Response) error {
	in := func(s record.StatusRange) bool { return s.Low <= resp.StatusCode && resp.StatusCode <= s.High }
	if !slices.ContainsFunc(r.c.Status, in) {
		if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
			return fmt.Errorf("status %s, to %s: redirects are not followed", resp.Status, to)
		}
		return fmt.Errorf("status %s", resp.Status)
	}
	if r.c.Body == "" {
		return nil
	}
	found, err := contains(io.LimitReader(resp.Body, maxBody), r.c.Body)
	switch {
	case err != nil:
		return r.failed("reading the body", err)
	case !found:
		return fmt.Errorf("status %s, but the body does not contain %q", resp.Status, r.c.Body)
	}
	return nil
}

// rest reads what is left of a response whose connection is to be held: what
// comes after it is then unasked.
func (r *attempt) rest(resp *http.Response) {
	if !r.hold {
		return
	}
	r.clock()
	if resp.Close {
		r.unheld = "the server closes the connection after each response"
		return
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody+1)); err != nil || n > maxBody {
		r.unheld = "the body is too long to keep the connection"
	}
}

// contains looks for a text in a stream, and reads no more than it must.
func contains(body io.Reader, want string) (bool, error) {
	buf := make([]byte, 8192)
	kept := 0
	for {
		n, err := body.Read(buf[kept:])
		n += kept
		if bytes.Contains(buf[:n], []byte(want)) {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		// The text may lie across two reads.
		kept = copy(buf, buf[max(0, n-len(want)+1):n])
	}
}

// limited reads up to a limit, and then fails: what is cut off by silence would
// be taken for the end.
type limited struct {
	r         io.Reader
	max, left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, tooMuch(l.max)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
