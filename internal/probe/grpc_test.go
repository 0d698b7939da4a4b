package probe

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// serveGRPC runs a gRPC server, with a health service if there is one.
func serveGRPC(t *testing.T, at netip.Addr, h *health.Server, conf *tls.Config) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	var opts []grpc.ServerOption
	if conf != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(conf)))
	}
	s := grpc.NewServer(opts...)
	if h != nil {
		grpc_health_v1.RegisterHealthServer(s, h)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestGRPC(t *testing.T) {
	a := newAuthority(t)
	for _, at := range loopbacks(t) {
		h := health.NewServer()
		h.SetServingStatus("app.Api", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		ap := serveGRPC(t, at, h, nil)
		wantOK(t, ask(t, target(t, ap, "type=grpc"), plenty), "SERVING")
		wantFail(t, ask(t, target(t, ap, "type=grpc; service=app.Api"), plenty), "the health service says NOT_SERVING")
		wantFail(t, ask(t, target(t, ap, "type=grpc; service=none"), plenty), `does not know service="none"`)
		h.Shutdown()
		wantFail(t, ask(t, target(t, ap, "type=grpc"), plenty), "NOT_SERVING")
		wantFail(t, ask(t, target(t, ap, "type=grpc; tls=yes"), plenty), "")

		secure := serveGRPC(t, at, health.NewServer(), a.config(t, 5*24*time.Hour+time.Hour))
		for _, tt := range []struct {
			check string
			ok    bool
			says  string
		}{
			{"", true, "SERVING"},
			{"; host=www; verify=yes; cert-days=5", true, "SERVING"},
			{"; host=www; cert-days=6", false, "less than cert-days=6"},
			{"; host=ftp; verify=yes", false, "ftp.example"},
		} {
			to := target(t, secure, "type=grpc; tls=yes"+tt.check)
			to.Roots = a.roots
			res := ask(t, to, plenty)
			if tt.ok {
				wantOK(t, res, tt.says)
			} else {
				wantFail(t, res, tt.says)
			}
			if res.CertDays != 5 && tt.says != "ftp.example" {
				t.Errorf("%s: %+v", tt.check, res)
			}
		}
		none := serveGRPC(t, at, nil, nil)
		wantFail(t, ask(t, target(t, none, "type=grpc"), plenty), "no health service")
		web := serveHTTP(t, at, site(nil), nil)
		wantFail(t, ask(t, target(t, web, "type=grpc"), plenty), "")
	}
}
