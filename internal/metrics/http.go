package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The limits of the HTTP server: it is for a few monitors, and must not take
// file descriptors and memory from DNS.
const (
	maxConnections = 64
	maxScrapes     = 4 // at once
	maxHeader      = 16 << 10
	readTimeout    = 5 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
)

// Endpoints is what the HTTP server tells.
type Endpoints struct {
	Metrics prometheus.Gatherer
	// Health returns why the process should be ended and started again; nil if
	// it is well.
	Health func() error
	// Ready returns why the server is not as its operator wants it, a sentence
	// a reason; none if it is.
	Ready func() []string
	// Version is shown on the index page.
	Version string
	Log     *slog.Logger
}

// Server is the HTTP server.
type Server struct {
	http     *http.Server
	listener net.Listener
	addr     netip.AddrPort
	serving  sync.WaitGroup
	log      *slog.Logger
}

// Listen takes the address; Serve begins to answer. An error wraps that of the
// system call.
func Listen(at netip.AddrPort, e Endpoints) (*Server, error) {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("cannot listen for HTTP on %s: %w", at, cause(err))
	}
	return &Server{
		http: &http.Server{
			Handler:           e.handler(),
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(e.Log.Handler(), slog.LevelDebug),
		},
		listener: newLimited(l, maxConnections),
		addr:     l.Addr().(*net.TCPAddr).AddrPort(),
		log:      e.Log,
	}, nil
}

// cause is the system call's error without the address, which the message has.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// Addr is the address with the port that was taken where 0 was asked.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Serve answers until Shutdown, beside the caller.
func (s *Server) Serve() {
	s.serving.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP server ended", "error", err)
		}
	})
}

// Shutdown lets running requests end, until ctx does.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	_ = s.listener.Close() // if Serve was never called
	s.serving.Wait()
	return err
}

func (e *Endpoints) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.Metrics, promhttp.HandlerOpts{
		ErrorLog:            scrapeErrors{e.Log},
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		OfferedCompressions: []promhttp.Compression{promhttp.Identity, promhttp.Gzip},
	}))
	mux.HandleFunc("GET /healthz", e.healthz)
	mux.HandleFunc("GET /readyz", e.readyz)
	mux.HandleFunc("GET /{$}", e.index)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// healthz is 200 while the process is worth keeping.
func (e *Endpoints) healthz(w http.ResponseWriter, r *http.Request) {
	var reasons []string
	if err := e.Health(); err != nil {
		reasons = []string{err.Error()}
	}
	verdict(w, r, reasons)
}

// readyz is 200 if all is as it should be, else 503 with a reason a line.
func (e *Endpoints) readyz(w http.ResponseWriter, r *http.Request) {
	verdict(w, r, e.Ready())
}

func verdict(w http.ResponseWriter, r *http.Request, reasons []string) {
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if reasons == nil {
			reasons = []string{}
		}
		_ = json.NewEncoder(w).Encode(struct {
			OK      bool     `json:"ok"`
			Reasons []string `json:"reasons"`
		}{status == http.StatusOK, reasons})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if len(reasons) == 0 {
		reasons = []string{"ok"}
	}
	for _, line := range reasons {
		_, _ = io.WriteString(w, strings.ReplaceAll(line, "\n", " ")+"\n")
	}
}

func (e *Endpoints) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, `geodns %s

/metrics  for Prometheus
/healthz  200 while the process is well, else 503
/readyz   200 if everything is served as configured, else 503 with the reasons
`, e.Version)
}

// scrapeErrors logs what promhttp has to say.
type scrapeErrors struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (s scrapeErrors) Println(v ...any) {
	s.log.Warn("a scrape was not complete", "error", strings.ReplaceAll(fmt.Sprint(v...), "\n", " "))
}

// limited is a listener of which at most so many connections are open at once;
// more wait in the kernel.
type limited struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

func newLimited(l net.Listener, n int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits for a place, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close ends Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Close gives the place back.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
