package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"praefect/proxy/secure"
)

// maxHeader bounds the headers and the status of a call, of which the longest are the ones that
// a hook has printed. A longer one ends the call with Internal.
const maxHeader = 128 << 10

// errSpent is the error for a ClientConn that wants a second network
// connection. It never gets one: a call that was routed over the first must not
// travel over another, behind which there may be another disk.
var errSpent = errors.New("the connection is gone and is never made anew")

// NewClient returns an ordinary gRPC client, one that connects again by itself,
// for tools that speak to a storage or to an instance: address forms, token
// and message sizes are the settings of this package. It does no I/O.
func NewClient(addr, token string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	cfg, err := Config{DialOptions: opts}.withDefaults()
	if err != nil {
		return nil, err
	}
	dial := a.dialer()
	return newClientConn(a, Credentials(token), cfg, a.transport(cfg), func(ctx context.Context, _ string) (net.Conn, error) {
		return dial(ctx, a.network, a.endpoint)
	})
}

// newClientConn makes a ClientConn that gets its network connections from dial
// and does nothing by itself: no retries, no service config, no idling.
func newClientConn(a address, token credentials.PerRPCCredentials, cfg Config, transport credentials.TransportCredentials, dial func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	opts := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(token),
		grpc.WithContextDialer(dial),
		grpc.WithAuthority(a.authority()),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithMaxHeaderListSize(maxHeader),
		grpc.WithInitialWindowSize(cfg.StreamWindow),
		grpc.WithInitialConnWindowSize(cfg.ConnectionWindow),
		grpc.WithReadBufferSize(cfg.ReadBuffer),
		grpc.WithWriteBufferSize(cfg.WriteBuffer),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.KeepaliveTime, PermitWithoutStream: true}),
	}, cfg.DialOptions...)
	return grpc.NewClient("passthrough:///"+a.authority(), opts...)
}

// transport is how a network connection to a is made safe, if it is.
func (a address) transport(cfg Config) credentials.TransportCredentials {
	if !a.tls {
		return insecure.NewCredentials()
	}
	base := cfg.TLS.Clone()
	if base == nil {
		base = &tls.Config{}
	}
	return secure.New(base)
}

// identity is the answer of a storage about itself on a new connection.
type identity struct {
	filesystemID  string
	serverVersion string
	gitVersion    string
}

// verify asks a storage on a new connection whether it is well and which disk
// it serves the named storage from. Nothing else is sent before.
func verify(ctx context.Context, cc *grpc.ClientConn, storageName string) (identity, error) {
	if err := checkHealth(ctx, cc); err != nil {
		return identity{}, err
	}
	info, err := gitalypb.NewServerServiceClient(cc).ServerInfo(ctx, &gitalypb.ServerInfoRequest{})
	if err != nil {
		return identity{}, fmt.Errorf("ServerInfo: %w", err)
	}
	return identityIn(info, storageName)
}

// identityIn finds a storage in the answer of a server.
func identityIn(info *gitalypb.ServerInfoResponse, storageName string) (identity, error) {
	for _, s := range info.GetStorageStatuses() {
		if s.GetStorageName() != storageName {
			continue
		}
		if s.GetFilesystemId() == "" {
			// Without an id another disk would not be noticed.
			return identity{}, fmt.Errorf("storage %q has no file system id", storageName)
		}
		return identity{
			filesystemID:  s.GetFilesystemId(),
			serverVersion: info.GetServerVersion(),
			gitVersion:    info.GetGitVersion(),
		}, nil
	}
	return identity{}, fmt.Errorf("the server has no storage %q", storageName)
}

func checkHealth(ctx context.Context, cc *grpc.ClientConn) error {
	health, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	if s := health.GetStatus(); s != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("health check: %s", s)
	}
	return nil
}
