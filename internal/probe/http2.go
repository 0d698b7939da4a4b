package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
)

// http2 asks for the path in HTTP/2, which the server must agree to in the TLS
// handshake (RFC 9113 3.2).
func (r *attempt) http2() (string, error) {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	tr := &http.Transport{
		Protocols:              &protocols,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{
			MaxReadFrameSize:              16 << 10,
			MaxReceiveBufferPerConnection: maxHeader,
			MaxReceiveBufferPerStream:     maxHeader,
		},
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return r.dialH2() },
	}
	cc, err := tr.NewClientConn(r.ctx, "https", r.addrPort().String())
	if err != nil {
		return "", r.library("connecting", err)
	}
	defer cc.Close()
	req := &http.Request{
		Method: r.c.Method,
		URL:    &url.URL{Scheme: "https", Host: r.addrPort().String()},
		Host:   r.authority(),
		Header: http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}},
	}
	if req.URL, err = req.URL.Parse(r.c.Path); err != nil {
		return "", local("path=%s is no path: %v", r.c.Path, err)
	}
	resp, err := cc.RoundTrip(req.WithContext(r.ctx))
	if err != nil {
		return "", r.failed("waiting for the response", err)
	}
	defer resp.Body.Close()
	if err := r.judge(resp); err != nil {
		return "", err
	}
	r.rest(resp)
	r.settle()
	return "HTTP/2 " + resp.Status, nil
}

func (r *attempt) dialH2() (net.Conn, error) {
	c, err := r.dial(budgetHTTP)
	if err != nil {
		return nil, err
	}
	t, err := r.secure(c, "h2", "http/1.1")
	if err != nil {
		return nil, err
	}
	if p := t.ConnectionState().NegotiatedProtocol; p != "h2" {
		return nil, r.because(errors.New("the server does not speak HTTP/2"))
	}
	return t, nil
}
