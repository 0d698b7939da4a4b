package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"geodns/internal/live"
	"geodns/internal/resolver"
	"geodns/internal/tsig"
)

// Config says where to listen and what to allow.
type Config struct {
	// Listen holds the addresses, each for UDP and TCP. Port 0 takes a free
	// port, the same for both; see Server.Addrs.
	Listen []netip.AddrPort
	// ListenTLS holds the addresses for DNS over TLS (RFC 7858) and transfers
	// over it (RFC 9103), with Certificate; SetCertificate replaces that. See
	// Server.TLSAddrs.
	ListenTLS   []netip.AddrPort
	Certificate *tls.Certificate
	// Workers is how many UDP sockets, each with a goroutine, share one listen
	// address; 0 means CPUs.
	Workers  int
	Limits   Limits
	Identity Identity
	// Live is what is answered from.
	Live *live.Holder
	// Keys are those that may sign queries (RFC 8945); nil for none. SetKeys
	// replaces them.
	Keys *tsig.Keyring
	// Exchanges, if not nil, answers transfers, NOTIFY and UPDATE; else they are
	// refused.
	Exchanges Exchanges
	// Log gets what goes wrong; nil for silence.
	Log *slog.Logger
}

// Limits bound what clients can take, over TCP and TLS together. A zero means the
// default.
type Limits struct {
	// TCPClients is how many connections may be open at once (1024). One more
	// takes the place of the connection that has been idle longest, and is
	// refused only while none is idle.
	TCPClients int
	// TCPPerClient is how many of them one client may have (64): an IPv4
	// address or an IPv6 /64. One more is refused.
	TCPPerClient int
	// TCPIdle is how long a connection may take for its next whole query, and
	// to read answers that wait for it (10 s).
	TCPIdle time.Duration
	// TCPQueries is how many queries a connection may ask before it is closed
	// (without limit).
	TCPQueries int
	// UDPPayload is the longest UDP reply in octets, 512 to 4096 (1232: fits
	// every IPv6 path without fragments).
	UDPPayload int
}

// Identity is what the server tells about itself to those who ask.
type Identity struct {
	NSID    []byte // RFC 5001; empty: not told
	Version string // version.bind, version.server; empty: not told
	ID      string // id.server, hostname.bind (RFC 4892); empty: not told
}

const (
	defaultTCPClients   = 1024
	defaultTCPPerClient = 64
	defaultTCPIdle      = 10 * time.Second
	defaultUDPPayload   = 1232
	minUDPPayload       = 512 // RFC 1035 4.2.1
	maxUDPPayload       = 4096
	// minPooled is how many TCP workers are kept at least when idle.
	minPooled = 4
)

// longAgo is a deadline that ends a wait at once.
var longAgo = time.Unix(1, 0)

// Server holds the sockets and those who serve them.
type Server struct {
	cfg     Config
	log     *slog.Logger
	sockets []*binding
	addrs   []netip.AddrPort
	secure  []netip.AddrPort
	pool    *pool
	tcp     *tcpTable
	hook    answerFunc
	chaos   resolver.Identity
	keys    atomic.Pointer[tsig.Keyring]
	cert    atomic.Pointer[tls.Certificate]
	tls     *tls.Config
	// exchanging holds a place for each exchange over UDP that is under way.
	exchanging chan struct{}
	lanes      atomic.Int64 // of workers: resolver.Resolver.Lane

	stop atomic.Bool   // read by workers once a batch
	done chan struct{} // closed when stop is set

	mu      sync.Mutex
	started bool
	udp     []*udpSocket
	loops   int // how many goroutines read or accept, were all well
	running atomic.Int32
	serving sync.WaitGroup
}

// Listen binds every address of cfg, or none. An address that cannot be bound
// is an *AddrError.
func Listen(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, done: make(chan struct{}), exchanging: make(chan struct{}, maxExchanges)}
	s.SetKeys(cfg.Keys)
	s.SetCertificate(cfg.Certificate)
	s.tls = s.tlsConfig()
	s.chaos = resolver.Identity{Version: chaosText(cfg.Identity.Version), ID: chaosText(cfg.Identity.ID)}
	s.tcp = newTCPTable(cfg.Limits)
	s.pool = newPool(s, max(minPooled, 2*CPUs()))
	for _, at := range cfg.Listen {
		b, err := bind(at, cfg.Workers, s.log)
		if err != nil {
			s.closeSockets()
			return nil, err
		}
		s.sockets = append(s.sockets, b)
		s.addrs = append(s.addrs, b.addr)
	}
	for _, at := range cfg.ListenTLS {
		b, err := bind(at, 0, s.log)
		if err != nil {
			s.closeSockets()
			return nil, err
		}
		b.tls = true
		s.sockets = append(s.sockets, b)
		s.secure = append(s.secure, b.addr)
	}
	return s, nil
}

// complete fills in the defaults and refuses what cannot work.
func (c *Config) complete() error {
	if len(c.Listen) == 0 {
		return errors.New("no address to listen on: name at least one, such as 127.0.0.1:53")
	}
	if len(c.ListenTLS) > 0 && c.Certificate == nil {
		return errors.New("no certificate to listen with over TLS: give one with its key")
	}
	if c.Live == nil {
		c.Live = live.New()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l := &c.Limits
	if c.Workers < 0 || l.TCPClients < 0 || l.TCPPerClient < 0 || l.TCPIdle < 0 || l.TCPQueries < 0 || l.UDPPayload < 0 {
		return errors.New("workers and limits cannot be negative: use 0 for the default")
	}
	orDefault(&c.Workers, CPUs())
	orDefault(&l.TCPClients, defaultTCPClients)
	orDefault(&l.TCPPerClient, defaultTCPPerClient)
	orDefault(&l.UDPPayload, defaultUDPPayload)
	if l.TCPIdle == 0 {
		l.TCPIdle = defaultTCPIdle
	}
	if l.UDPPayload < minUDPPayload || l.UDPPayload > maxUDPPayload {
		return fmt.Errorf("UDP payload of %d octets: must be %d to %d", l.UDPPayload, minUDPPayload, maxUDPPayload)
	}
	return nil
}

func orDefault(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

// CPUs is how many CPUs the process may use, by its affinity and its cgroup,
// whatever GOMAXPROCS has been raised to.
func CPUs() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// Addrs returns the bound addresses in the order of Config.Listen, with the
// port that was taken where 0 was asked.
func (s *Server) Addrs() []netip.AddrPort {
	return append([]netip.AddrPort(nil), s.addrs...)
}

// Sockets is how many UDP sockets there are: each takes a thread that blocks in
// the kernel while there is nothing to answer.
func (s *Server) Sockets() int { return len(s.addrs) * s.cfg.Workers }

// Serve starts to answer and returns at once. A second call does nothing.
func (s *Server) Serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stop.Load() {
		return
	}
	s.started = true
	for _, b := range s.sockets {
		for _, fd := range b.udp {
			u := newUDPSocket(s, b, fd)
			s.udp = append(s.udp, u)
			s.loop(u.serve)
		}
		admit := s.admit
		if b.tls {
			admit = s.admitTLS
		}
		s.loop(func() { s.accept(b.tcp, admit) })
	}
}

// loop runs f, which is to last as long as the server.
func (s *Server) loop(f func()) {
	s.loops++
	s.running.Add(1)
	s.serving.Go(func() {
		defer s.running.Add(-1)
		f()
	})
}

// Loops is how many of the goroutines that read datagrams or accept connections
// run, and how many were started: fewer mean that an address is deaf, or that
// the server is shutting down.
func (s *Server) Loops() (running, started int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.running.Load()), s.loops
}

// Shutdown ends what Serve began. UDP sockets answer what has already arrived
// and close; no connection is accepted any more; TCP connections get the
// answers to what they have sent, and close. When ctx ends first, connections
// that are left are cut off and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.beginStop() {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.tcp.closeAll()
	<-ended
	return ctx.Err()
}

// beginStop tells everyone to end; it reports whether there is anyone to wait
// for.
func (s *Server) beginStop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop.Swap(true) {
		return s.started
	}
	close(s.done)
	if !s.started {
		s.closeSockets()
		return false
	}
	for _, b := range s.sockets {
		_ = b.tcp.Close()
	}
	for _, u := range s.udp {
		u.wake()
	}
	s.tcp.drain()
	return true
}

func (s *Server) closeSockets() {
	for _, b := range s.sockets {
		b.close()
	}
}

// Counters sums what all workers have counted, without holding them up. The
// values are at most one batch old.
func (s *Server) Counters() Counters {
	var sum Counters
	s.mu.Lock()
	for _, u := range s.udp {
		u.w.read(&sum)
	}
	s.mu.Unlock()
	s.pool.read(&sum)
	s.tcp.read(&sum)
	return sum
}
