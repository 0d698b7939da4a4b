package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"geodns/internal/steer/record"
)

// Target is what one probe asks.
type Target struct {
	// Addr is asked, at Check's port.
	Addr netip.Addr
	// Check says how; never nil. It is only read.
	Check *record.Check
	// Entry is what Check.Use names in the configuration; nil: there is no such
	// entry, and a check that needs one fails.
	Entry *Entry
	// Roots are the authorities that certificates are verified by; nil: those
	// that the machine trusts.
	Roots *x509.CertPool
}

// Entry is an entry of checks: in the configuration: what zones can only cite,
// because it runs something here, reads something here, or is secret. It must
// not be copied once it is used.
type Entry struct {
	Name string

	Command []string // exec: the program's absolute path, and its arguments
	Env     []string // exec: more variables, as NAME=value
	File    string   // file: the path that is read

	// mysql and postgres.
	User, Password string
	Database       string // "": none (mysql), User (postgres)
	TLS            TLS
	TLSName        string // the name for SNI and verification; "": the address
	// Networks are where the password may be sent to; empty: anywhere. A zone
	// says which addresses are probed, and whoever writes the zone need not be
	// trusted with the password.
	Networks []netip.Prefix

	// reading: a read of File is under way. A file on a server that is gone may
	// block for ever, and must not pile up readers.
	reading atomic.Bool
	// running are the programs of Command under way.
	running atomic.Int32
}

// TLS says how a login is protected.
type TLS uint8

// The modes: in plain text (a password is then sent only if the server's method
// hides it), encrypted, or encrypted with a certificate that must be valid.
const (
	TLSOff TLS = iota
	TLSOn
	TLSVerified
)

// Result is what one probe found.
type Result struct {
	OK bool
	// Reason is why, in one line of at most maxReason printable octets; never
	// empty.
	Reason string
	// RTT is how long it took to know: from the probe's start to the answer that
	// decided, without the farewell.
	RTT time.Duration
	// Local: the failure is this machine's (no free sockets, no IPv6, no right to
	// send ICMP, no such entry), and says nothing about the target.
	Local bool
	// Weight is the percentage that an agent asked for, 0 and more; -1: none.
	Weight int
	// Drain: an agent asked for no new clients. OK may be true beside it.
	Drain bool
	// Role is what a database said that it is; RoleAny: it did not say.
	Role record.Role
	// CertDays is for how many more whole days the target's certificate lasts,
	// 0 if it has expired; -1: there was none.
	CertDays int
}

// Probe asks a target once. The context is its only deadline: the check's
// timeout must be in it.
func Probe(ctx context.Context, t Target) Result {
	r := begin(ctx, t, false)
	defer r.close()
	return r.do()
}

// attempt is one probe under way.
type attempt struct {
	ctx   context.Context
	t     Target
	c     *record.Check
	start time.Time
	hold  bool // the connection is wanted afterwards
	// anyAnswer: type dns is well with whatever is answered. See Reach.
	anyAnswer bool
	// routed tells whether this machine has routes for addresses like one.
	routed func(netip.Addr) bool

	// unheld is why the connection can't be held; "": it can.
	unheld string

	mu    sync.Mutex // libraries connect in goroutines of their own
	conn  *conn      // of types over TCP, once there is one
	cause error      // why there is none, or no TLS on it
	over  bool       // the attempt has ended
	res   Result
}

func begin(ctx context.Context, t Target, hold bool) *attempt {
	t.Addr = t.Addr.Unmap()
	return &attempt{ctx: ctx, t: t, c: t.Check, start: time.Now(), hold: hold, routed: hasRoute, res: Result{Weight: -1, CertDays: -1}}
}

// errLocal marks a failure as this machine's own.
var errLocal = errors.New("on this machine")

// local is a failure of this machine.
func local(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errLocal, fmt.Sprintf(format, args...))
}

func (r *attempt) do() (res Result) {
	defer func() {
		// What a target sends passes through several libraries. One that it
		// breaks must not end the server.
		if p := recover(); p != nil {
			res = r.result(fmt.Sprintf("the answer broke the probe: %v", p), false)
		}
	}()
	reason, err := r.speak()
	if err != nil {
		r.clock()
		res = r.result(err.Error(), false)
		res.Local = isLocal(err)
		return res
	}
	r.settle()
	return r.result(reason, true)
}

func (r *attempt) result(reason string, ok bool) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := r.res
	res.OK, res.Reason = ok, clean(reason)
	return res
}

// speak is the protocol of the check's type. It returns what to say of a
// success, or why there was none.
func (r *attempt) speak() (string, error) {
	if r.ctx.Err() != nil {
		return "", r.failed("beginning", r.ctx.Err())
	}
	switch r.c.Type {
	case record.CheckTCP:
		return r.tcp()
	case record.CheckHTTP, record.CheckHTTPS:
		return r.http()
	case record.CheckSMTP:
		return r.smtp()
	case record.CheckIMAP:
		return r.imap()
	case record.CheckPOP3:
		return r.pop3()
	case record.CheckDNS:
		if r.anyAnswer {
			return r.answers()
		}
		return r.dns()
	case record.CheckICMP:
		return r.icmp()
	case record.CheckMySQL:
		return r.mysql()
	case record.CheckPostgres:
		return r.postgres()
	case record.CheckGRPC:
		return r.grpc()
	case record.CheckExec:
		return r.exec()
	case record.CheckAgent:
		return r.agent()
	case record.CheckFile:
		return r.file()
	}
	return "", local("no probe speaks type=%s", r.c.Type)
}

// clock notes how long it took, the first time.
func (r *attempt) clock() {
	if r.res.RTT == 0 {
		r.res.RTT = max(time.Since(r.start), 1)
	}
}

// settle is called when a success is known, before the farewell: it stops the
// clock and, if the connection is to be held, lays a second hand on it.
func (r *attempt) settle() {
	r.clock()
	if c := r.connection(); r.hold && c != nil && r.unheld == "" {
		if err := c.keep(); err != nil {
			r.unheld = err.Error()
		}
	}
}

func (r *attempt) connection() *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn
}

// close ends what is still open. A library that is still connecting will find
// that it is too late.
func (r *attempt) close() {
	r.mu.Lock()
	r.over = true
	c := r.conn
	r.mu.Unlock()
	if c != nil {
		c.end()
	}
}

// addrPort is what is connected to.
func (r *attempt) addrPort() netip.AddrPort { return netip.AddrPortFrom(r.t.Addr, r.c.Port) }

// entry is the entry of the configuration that the check names.
func (r *attempt) entry() (*Entry, error) {
	if r.t.Entry == nil {
		return nil, local("checks: in geodns.yaml has no entry %q; add it, or correct use=", r.c.Use)
	}
	return r.t.Entry, nil
}

// login is the entry with a password, if the target may have it.
func (r *attempt) login() (*Entry, error) {
	e, err := r.entry()
	if err != nil {
		return nil, err
	}
	in := func(p netip.Prefix) bool { return p.Contains(r.t.Addr.WithZone("")) }
	if len(e.Networks) > 0 && !slices.ContainsFunc(e.Networks, in) {
		return nil, local("the password of the entry %q in geodns.yaml must not be sent to %s; add its network there, or correct the zone", r.c.Use, r.t.Addr)
	}
	return e, nil
}
