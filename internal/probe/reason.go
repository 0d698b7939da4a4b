package probe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxReason bounds Result.Reason, in octets.
const maxReason = 200

// clean makes one printable line of bounded length of a text that a target may
// have chosen: reasons are shown on terminals and pages, and logged.
func clean(s string) string {
	var b strings.Builder
	blank := false
	for _, c := range s[:min(len(s), 4*maxReason)] {
		switch {
		case unicode.IsSpace(c):
			blank = b.Len() > 0
			continue
		case c == utf8.RuneError || !unicode.IsPrint(c):
			c = '?'
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(c)
		if b.Len() > maxReason {
			break
		}
	}
	out := b.String()
	if len(out) > maxReason {
		out = out[:maxReason-len("…")]
		for !utf8.ValidString(out) {
			out = out[:len(out)-1]
		}
		out += "…"
	}
	if out == "" {
		return "no reason given"
	}
	return out
}

// tooMuch is the error of a limit that a target went over.
type tooMuch int64

func (n tooMuch) Error() string { return fmt.Sprintf("more than %d KiB were sent", int64(n)>>10) }

// failed says in plain words what went wrong with the network while doing
// something.
func (r *attempt) failed(doing string, err error) error {
	var much tooMuch
	var invalid *tls.CertificateVerificationError
	var text string
	switch {
	case errors.As(err, &much):
		return fmt.Errorf("%w while %s", much, doing)
	case errors.As(err, &invalid):
		text = fmt.Sprintf("the certificate is not valid: %v", invalid.Err)
	case r.ctx.Err() != nil || timedOut(err):
		return fmt.Errorf("timeout after %s while %s", r.elapsed(), doing)
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		text = "connection reset while " + doing
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		text = "connection closed while " + doing
	case errors.Is(err, syscall.EHOSTUNREACH):
		text = "no route to the host"
	case errors.Is(err, syscall.ENETUNREACH) && !r.routed(r.t.Addr):
		return local("it has no route for %s", family(r.t.Addr))
	case errors.Is(err, syscall.ENETUNREACH):
		text = "no route to the network"
	case machineTrouble(err):
		return &trouble{fmt.Sprintf("%v on this machine while %s", bare(err), doing), err}
	default:
		text = fmt.Sprintf("%v, while %s", bare(err), doing)
	}
	return errors.New(text)
}

// trouble is an error with a text of its own.
type trouble struct {
	text string
	err  error
}

func (t *trouble) Error() string { return t.text }
func (t *trouble) Unwrap() error { return t.err }

// elapsed is how long the probe has lasted, rounded as people write it.
func (r *attempt) elapsed() time.Duration {
	d := time.Since(r.start)
	if at, ok := r.ctx.Deadline(); ok && d > at.Sub(r.start) {
		d = at.Sub(r.start)
	}
	return max(d.Round(time.Millisecond), time.Millisecond)
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// machineTrouble reports whether an error is of this machine's resources or
// rights: no judgement on the target.
func machineTrouble(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
		syscall.EACCES, syscall.EPERM, syscall.EAFNOSUPPORT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// bare is an error without the address and operation that package net puts
// before it: the reader knows them.
func bare(err error) error {
	var op *net.OpError
	var sys *os.SyscallError
	switch {
	case errors.As(err, &sys):
		return sys.Err
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

func isLocal(err error) bool { return errors.Is(err, errLocal) || machineTrouble(err) }

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// hasRoute reports whether this machine has a route to the Internet of an
// address's family. A server without IPv6 can't tell that IPv6 nodes are dead.
// Connecting a UDP socket only asks the routing table; no packet is sent.
func hasRoute(a netip.Addr) bool {
	// A root server's: also routers without a default route know the way.
	to := "[2001:503:ba3e::2:30]:53"
	if a.Is4() {
		to = "198.41.0.4:53"
	}
	c, err := net.Dial("udp", to)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
