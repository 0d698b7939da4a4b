package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is what fits into one packet on nearly all networks.
	udpSize = 1232
	// maxStray bounds the datagrams that do not answer the question.
	maxStray = 1000
)

// dns asks a question and compares the answer.
func (r *attempt) dns() (string, error) {
	q, wire, err := r.question()
	if err != nil {
		return "", err
	}
	if r.c.TCP {
		return r.dnsTCP(q, wire)
	}
	in, err := r.dnsUDP(q, wire)
	if err != nil {
		return "", err
	}
	// RFC 2181 9: what is truncated is asked for again over TCP.
	if in.Truncated && len(r.c.Answers) > 0 {
		return r.dnsTCP(q, wire)
	}
	return r.compare(in)
}

func (r *attempt) question() (*dns.Msg, []byte, error) {
	name, _, err := dns.UnpackDomainName([]byte(r.c.Name), 0)
	if err != nil {
		return nil, nil, local("the name to ask for: %v", err)
	}
	q := new(dns.Msg)
	// RD is set: a resolver needs it, and an authoritative server may ignore it
	// (RFC 1034 4.3.1). The ID is random (RFC 5452 9.2), as is the port.
	q.SetQuestion(name, uint16(r.c.QType))
	q.SetEdns0(udpSize, false)
	wire, err := q.Pack()
	if err != nil {
		return nil, nil, local("the question: %v", err)
	}
	return q, wire, nil
}

func (r *attempt) dnsUDP(q *dns.Msg, wire []byte) (*dns.Msg, error) {
	c, err := (&net.Dialer{}).DialContext(r.ctx, "udp", r.addrPort().String())
	if err != nil {
		return nil, r.failed("sending the question", err)
	}
	defer c.Close()
	stop := context.AfterFunc(r.ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(wire); err != nil {
		return nil, r.failed("sending the question", err)
	}
	buf := make([]byte, udpSize+1)
	for range maxStray {
		n, err := c.Read(buf)
		if err != nil {
			return nil, r.failed("waiting for the answer", err)
		}
		// RFC 5452 9.1: what has another ID is not the answer, and whoever guesses
		// must not be able to end the wait.
		if n < 12 || uint16(buf[0])<<8|uint16(buf[1]) != q.Id {
			continue
		}
		return r.unpack(q, buf[:n])
	}
	return nil, fmt.Errorf("%d datagrams came that do not answer the question", maxStray)
}

func (r *attempt) dnsTCP(q *dns.Msg, wire []byte) (string, error) {
	c, err := r.dial(budgetDialog + 2)
	if err != nil {
		return "", err
	}
	dc := &dns.Conn{Conn: c}
	if _, err := dc.Write(wire); err != nil {
		return "", r.failed("sending the question", err)
	}
	data, err := dc.ReadMsgHeader(nil)
	if err != nil && !errors.Is(err, dns.ErrShortRead) {
		return "", r.failed("waiting for the answer", err)
	}
	in, err := r.unpack(q, data)
	if err != nil {
		return "", err
	}
	return r.compare(in)
}

// unpack reads the answer to a question.
func (r *attempt) unpack(q *dns.Msg, data []byte) (*dns.Msg, error) {
	in := new(dns.Msg)
	if err := in.Unpack(data); err != nil {
		return nil, fmt.Errorf("the answer is no DNS message: %w", err)
	}
	switch {
	case in.Id != q.Id:
		return nil, errors.New("the answer has another ID than the question")
	case !in.Response:
		return nil, errors.New("the answer is itself a question")
	// Errors may come without a question.
	case len(in.Question) == 0 && in.Rcode != dns.RcodeSuccess:
	case len(in.Question) != 1 || in.Question[0].Qtype != q.Question[0].Qtype || !strings.EqualFold(in.Question[0].Name, q.Question[0].Name):
		return nil, errors.New("the answer is to another question")
	}
	return in, nil
}

// compare holds the answer against what the check asks for.
func (r *attempt) compare(in *dns.Msg) (string, error) {
	got := rcodeName(in.Rcode)
	switch {
	case in.Rcode != int(r.c.Rcode):
		return "", fmt.Errorf("answered %s", got)
	// A referral, or nothing: who asks for a name that exists wants data.
	case in.Rcode == dns.RcodeSuccess && len(in.Answer) == 0 && !in.Truncated:
		return "", errors.New("answered NOERROR without a record")
	}
	for _, want := range r.c.Answers {
		if !slices.ContainsFunc(in.Answer, r.matches(want)) {
			return "", fmt.Errorf("answered %s without %q", got, want)
		}
	}
	return fmt.Sprintf("answered %s, %d records", got, len(in.Answer)), nil
}

func rcodeName(rcode int) string {
	if name := dns.RcodeToString[rcode]; name != "" {
		return name
	}
	return fmt.Sprintf("RCODE %d", rcode)
}

// matches tells whether a record has the data that a text stands for.
func (r *attempt) matches(text string) func(dns.RR) bool {
	qtype := uint16(r.c.QType)
	want, err := dns.NewRR(". 0 IN " + dns.Type(qtype).String() + " " + text)
	if err != nil || want == nil {
		return func(rr dns.RR) bool { return rr.Header().Rrtype == qtype && data(rr) == text }
	}
	return func(rr dns.RR) bool {
		h := rr.Header()
		*want.Header() = *h
		return h.Rrtype == qtype && dns.IsDuplicate(want, rr)
	}
}

// data is the presentation of a record's data.
func data(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }
