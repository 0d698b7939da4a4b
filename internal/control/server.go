package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The limits of the socket.
const (
	maxBody      = 64 << 10 // octets of a request
	maxHeader    = 16 << 10
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	// reloadTimeout is how long an answer to a reload may take.
	reloadTimeout = 30 * time.Minute
	idleTimeout   = 2 * time.Minute
)

// Handlers do what is asked for. They may be called at the same time.
type Handlers struct {
	// Status has short lists, unless all of everything is asked for.
	Status func(all bool) Status
	// Zones are those of the names, all if there are none; an error is for a
	// name that is not known.
	Zones func(names []string) ([]Zone, error)
	// Reload reads the configuration and what changed of the zones.
	Reload func(force bool) Reload
	// ReloadZone reads one zone's file, whether it changed or not; the error is
	// for a name that is not known.
	ReloadZone func(name string, force bool) (Reload, error)
	// Explain tells how a question is answered, as JSON can show it; the error
	// is for one that makes no sense.
	Explain func(Question) (any, error)
	// Drain and Undrain take a site or node out of the answers, and back; the
	// error is for a command that makes no sense.
	Drain   func(DrainOrder) (DrainResult, error)
	Undrain func(UndrainOrder) (DrainResult, error)
	// Failback makes another step of a failover the one that serves.
	Failback func(FailbackOrder) (FailbackResult, error)
	Drills   Drills
	Versions Versions
	// Peers tells how far the secondaries are, each with all zones that are not in
	// sync if all are asked for; nil: none are watched.
	Peers func(all bool) Peers
	Log   *slog.Logger
}

// Server answers on a control socket.
type Server struct {
	socket  *socket
	http    *http.Server
	serving sync.WaitGroup
	log     *slog.Logger
}

// Listen opens the socket at path, and its directory if that is missing. Serve
// begins to answer.
func Listen(path string, h Handlers) (*Server, error) {
	s, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the control socket %s: %w", path, plain(err))
	}
	return &Server{
		socket: s,
		log:    h.Log,
		http: &http.Server{
			Handler:           h.mux(),
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				who, _ := peerOf(c)
				return context.WithValue(ctx, peerKey{}, who)
			},
		},
	}, nil
}

// peerKey is where a request's context has the peer.
type peerKey struct{}

// Serve answers until Shutdown, beside the caller.
func (s *Server) Serve() {
	s.serving.Go(func() {
		if err := s.http.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the control socket ended", "error", err)
		}
	})
}

// Shutdown lets running requests end, until ctx does, and removes the socket.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	_ = s.socket.Close() // if Serve was never called
	s.serving.Wait()
	return err
}

// mux is the protocol, version 1.
func (h *Handlers) mux() http.Handler {
	mux := http.NewServeMux()
	routes := map[string]map[string]http.HandlerFunc{
		"/v1/status":              {http.MethodGet: h.status},
		"/v1/peers":               {http.MethodGet: h.peers},
		"/v1/zones":               {http.MethodGet: h.zones},
		"/v1/zones/{name}":        {http.MethodGet: h.zone},
		"/v1/explain":             {http.MethodGet: h.explain},
		"/v1/reload":              {http.MethodPost: h.reload},
		"/v1/drain":               {http.MethodPost: h.drain},
		"/v1/undrain":             {http.MethodPost: h.undrain},
		"/v1/failback":            {http.MethodPost: h.failback},
		pathDrill:                 {http.MethodPost: h.drillRun},
		pathDrillPlan:             {http.MethodPost: h.drillPlan},
		pathDrillStop:             {http.MethodPost: h.drillStop},
		"/v1/zones/{name}/reload": {http.MethodPost: h.reloadZone},
	}
	maps.Copy(routes, h.Versions.routes(h))
	for path, methods := range routes {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			handle, ok := methods[r.Method]
			if !ok {
				for m := range methods {
					w.Header().Add("Allow", m)
				}
				fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s cannot be asked for with %s", r.URL.Path, r.Method))
				return
			}
			limit := int64(maxBody)
			if path == pathDrillPlan {
				limit = maxPlanBody
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
			handle(w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, r.URL.Path+" is not known to this version of geodns")
	})
	return mux
}

func (h *Handlers) status(w http.ResponseWriter, r *http.Request) {
	answer(w, h.Status(r.URL.Query().Get("all") == "true"))
}

func (h *Handlers) zones(w http.ResponseWriter, _ *http.Request) {
	zones, err := h.Zones(nil)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, zones)
}

func (h *Handlers) zone(w http.ResponseWriter, r *http.Request) {
	zones, err := h.Zones([]string{r.PathValue("name")})
	if err != nil || len(zones) == 0 {
		fail(w, http.StatusNotFound, fmt.Sprint(err))
		return
	}
	answer(w, zones[0])
}

func (h *Handlers) explain(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	report, err := h.Explain(Question{
		Name: v.Get("name"), Type: v.Get("type"), Client: v.Get("client"), ECS: v.Get("ecs"), Draw: v.Get("draw"),
	})
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, report)
}

func (h *Handlers) reload(w http.ResponseWriter, r *http.Request) {
	var o options
	if h.command(w, r, &o, wantOptions) {
		h.told(r, "reload", "force", o.Force)
		answer(w, h.Reload(o.Force))
	}
}

func (h *Handlers) drain(w http.ResponseWriter, r *http.Request) {
	var o DrainOrder
	if !h.command(w, r, &o, wantDrain) {
		return
	}
	h.told(r, "drain", "name", o.Name, "zone", o.Zone, "force", o.Force, "dry-run", o.DryRun)
	respond(w, o, h.Drain)
}

func (h *Handlers) undrain(w http.ResponseWriter, r *http.Request) {
	var o UndrainOrder
	if !h.command(w, r, &o, wantDrain) {
		return
	}
	h.told(r, "undrain", "name", o.Name, "zone", o.Zone, "dry-run", o.DryRun)
	respond(w, o, h.Undrain)
}

// respond answers with what a command made of its order.
func respond[Order, Result any](w http.ResponseWriter, o Order, do func(Order) (Result, error)) {
	res, err := do(o)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, res)
}

func (h *Handlers) reloadZone(w http.ResponseWriter, r *http.Request) {
	var o options
	if !h.command(w, r, &o, wantOptions) {
		return
	}
	h.told(r, "zone reload", "force", o.Force, "zone", r.PathValue("name"))
	res, err := h.ReloadZone(r.PathValue("name"), o.Force)
	if err != nil {
		fail(w, http.StatusNotFound, err.Error())
		return
	}
	answer(w, res)
}

// What the bodies of commands look like, for who sends another one.
const (
	wantOptions = `{"force": false}, or empty`
	wantDrain   = `{"name": "lon", "zone": "example.org."}`
)

// command reads the body of a request that changes something into o, and gives
// the answer time.
func (h *Handlers) command(w http.ResponseWriter, r *http.Request, o any, like string) (ok bool) {
	// Browsers cannot reach a Unix socket, but a proxy in front of it could
	// let them: they cannot send this type across origins without asking.
	if t := r.Header.Get("Content-Type"); t != "" && !strings.HasPrefix(t, "application/json") {
		fail(w, http.StatusUnsupportedMediaType, "the body must be application/json")
		return false
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(o); err != nil && !errors.Is(err, io.EOF) {
		fail(w, http.StatusBadRequest, fmt.Sprintf("the body must be like %s: %v", like, err))
		return false
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(reloadTimeout))
	return true
}

// told notes a command, and who sent it.
func (h *Handlers) told(r *http.Request, what string, attrs ...any) {
	who, _ := r.Context().Value(peerKey{}).(peer)
	h.Log.Info("control command", append(append([]any{"command", what}, attrs...), "uid", who.UID, "pid", who.PID)...)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{message})
}
