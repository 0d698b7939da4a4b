package probe

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"geodns/internal/steer/record"
)

// grpcWindow is how much may wait to be read, in octets: the least that the
// library takes.
const grpcWindow = 64 << 10

// grpc asks the health service (grpc.health.v1) of a gRPC server.
func (r *attempt) grpc() (string, error) {
	opts := []grpc.DialOption{
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return r.dial(budgetLogin) }),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent(userAgent),
		grpc.WithInitialWindowSize(grpcWindow),
		grpc.WithInitialConnWindowSize(grpcWindow),
		grpc.WithReadBufferSize(4096),
		grpc.WithWriteBufferSize(4096),
		grpc.WithMaxHeaderListSize(maxHeader),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4096)),
		grpc.WithAuthority(r.authority()),
		grpc.WithTransportCredentials(r.grpcCredentials()),
	}
	cc, err := grpc.NewClient("passthrough:///"+r.addrPort().String(), opts...)
	if err != nil {
		return "", local("%v", err)
	}
	defer cc.Close()
	resp, err := grpc_health_v1.NewHealthClient(cc).Check(r.ctx, &grpc_health_v1.HealthCheckRequest{Service: r.c.Service})
	if err != nil {
		return "", r.grpcFailed(err)
	}
	if s := resp.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return "", fmt.Errorf("the health service says %s", s)
	}
	r.settle()
	return "the health service says SERVING", nil
}

// grpcCredentials does TLS in the library, which must know of it to name the
// scheme in requests.
func (r *attempt) grpcCredentials() credentials.TransportCredentials {
	if r.c.TLS == record.TLSNone {
		return insecure.NewCredentials()
	}
	return anyAuthority{credentials.NewTLS(r.tlsConfig())}
}

// anyAuthority is TLS without a name of its own: the library refuses an
// authority that differs from the name for TLS, be it by the port alone.
type anyAuthority struct {
	credentials.TransportCredentials
}

func (c anyAuthority) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: c.TransportCredentials.Info().SecurityProtocol}
}

func (c anyAuthority) Clone() credentials.TransportCredentials {
	return anyAuthority{c.TransportCredentials.Clone()}
}

func (r *attempt) grpcFailed(err error) error {
	const doing = "asking the health service"
	s := status.Convert(err)
	switch s.Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		return r.library(doing, context.DeadlineExceeded)
	case codes.Unimplemented:
		return fmt.Errorf("the server has no health service (grpc.health.v1): %s", s.Message())
	case codes.NotFound:
		return fmt.Errorf("the health service does not know service=%q", r.c.Service)
	}
	if c := r.connection(); c != nil && c.broken() != nil {
		return r.library(doing, c.broken())
	}
	return r.library(doing, fmt.Errorf("%s: %s", s.Code(), s.Message()))
}
