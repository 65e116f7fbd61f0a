package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
	"praefect/proxy/secure"
)

// server is the end of a target. Connections are made when they are first used.
type server struct {
	*grpc.ClientConn
	// beside is for calls with sidechannels, which waiting waits for.
	beside  *grpc.ClientConn
	waiting channel.Registry
	// mute is set when the server turns out to speak no backchannel.
	mute atomic.Bool
}

// close closes the connections.
func (s *server) close() error { return errors.Join(s.ClientConn.Close(), s.beside.Close()) }

// withTarget calls use with the server of the URL, and puts its error into words for people.
func (p *program) withTarget(ctx context.Context, url string, use func(context.Context, *server, *target) error) error {
	t, err := parseTarget(url)
	if err != nil {
		return err
	}
	token, err := p.token()
	if err != nil {
		return err
	}
	if token != "" {
		if err := p.mayShow(ctx, t); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if raw := p.getenv("GITALY_DEADLINE"); raw != "" {
		deadline, err := time.ParseDuration(raw)
		if err != nil {
			return fmt.Errorf("GITALY_DEADLINE: %w", err)
		}
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	s, err := t.dial(token)
	if err != nil {
		return err
	}
	return errors.Join(t.explain(use(ctx, s, t)), s.close())
}

// token returns the secret that the environment holds, "" if it holds none.
func (p *program) token() (string, error) {
	if token := p.getenv("GITALY_TOKEN"); token != "" {
		return token, nil
	}
	file := p.getenv("GITALY_TOKEN_FILE")
	if file == "" {
		return "", nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("GITALY_TOKEN_FILE: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", fmt.Errorf("GITALY_TOKEN_FILE: %q is empty", file)
	}
	return token, nil
}

// dial prepares the connections.
func (t *target) dial(token string) (*server, error) {
	creds := insecure.NewCredentials()
	if t.tls {
		creds = secure.New(&tls.Config{MinVersion: tls.VersionTLS12}) // the system's roots
	}
	options := []grpc.DialOption{grpc.WithUserAgent("git-remote-gitaly"), grpc.WithNoProxy()}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(gitalyauth.RPCCredentialsV2(token)))
	}
	s := &server{}
	multiplexed := channel.NewClientCredentials(creds, channel.Client{Sidechannels: &s.waiting, NotSpoken: func() { s.mute.Store(true) }})
	for _, conn := range []struct {
		to    **grpc.ClientConn
		creds credentials.TransportCredentials
	}{{&s.ClientConn, creds}, {&s.beside, multiplexed}} {
		var err error
		if *conn.to, err = grpc.NewClient("dns:///"+t.host, append(options, grpc.WithTransportCredentials(conn.creds))...); err != nil {
			return nil, fmt.Errorf("dial %q: %w", t.host, err) // the address is the same for both
		}
	}
	return s, nil
}

// create makes the repository.
func (p *program) create(ctx context.Context, to *server, t *target) error {
	_, err := gitalypb.NewRepositoryServiceClient(to).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: t.repo})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stderr, "created %s in %s\n", t.repo.GetRelativePath(), t.repo.GetStorageName())
	return err
}

// answered tells whether the status of a request that cannot be served now comes from an instance, and not from gRPC about
// the connection to it.
func answered(s *status.Status) bool {
	return !strings.Contains(s.Message(), "connection error") && !strings.Contains(s.Message(), "resolver error")
}

// explain puts a status into words for the person that typed the URL.
func (t *target) explain(err error) error {
	s, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	switch s.Code() {
	case codes.Unauthenticated:
		return fmt.Errorf("%s asks for a token: set GITALY_TOKEN or GITALY_TOKEN_FILE", t.host)
	case codes.PermissionDenied:
		return fmt.Errorf("%s refuses the token: it is another one, or a clock is wrong by more than 30 s (%s)", t.host, s.Message())
	case codes.Unavailable:
		if answered(s) {
			return fmt.Errorf("%s cannot do it now: %s; try again, and if it lasts: `praefectctl status` tells the operator what is missing", t.host, s.Message())
		}
		return fmt.Errorf("cannot reach %s: %s; check the address, and whether an instance runs there", t.host, s.Message())
	case codes.NotFound:
		return fmt.Errorf("repository %q not found in %q: %s", t.repo.GetRelativePath(), t.repo.GetStorageName(), s.Message())
	case codes.AlreadyExists:
		return fmt.Errorf("repository %q exists already in %q", t.repo.GetRelativePath(), t.repo.GetStorageName())
	case codes.DeadlineExceeded:
		return fmt.Errorf("not done within GITALY_DEADLINE: %s", s.Message())
	}
	return fmt.Errorf("%s answers %s: %s", t.host, s.Code(), s.Message())
}
