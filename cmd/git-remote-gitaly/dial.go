package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// withTarget calls use with a connection to what the URL leads to, and puts
// its error into words for people.
func (p *program) withTarget(ctx context.Context, url string, use func(context.Context, *grpc.ClientConn, *target) error) error {
	t, err := parseTarget(url)
	if err != nil {
		return err
	}
	token, err := p.token()
	if err != nil {
		return err
	}
	if raw := p.getenv("GITALY_DEADLINE"); raw != "" {
		deadline, err := time.ParseDuration(raw)
		if err != nil {
			return fmt.Errorf("GITALY_DEADLINE: %w", err)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	conn, err := t.dial(token)
	if err != nil {
		return err
	}
	return errors.Join(t.explain(use(ctx, conn, t)), conn.Close())
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

// dial returns a connection, which is made when it is first used.
func (t *target) dial(token string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if t.tls {
		creds = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}) // the system's roots
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithUserAgent("git-remote-gitaly"), grpc.WithNoProxy()}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(gitalyauth.RPCCredentialsV2(token)))
	}
	conn, err := grpc.NewClient("dns:///"+t.host, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", t.host, err)
	}
	return conn, nil
}

// create makes the repository.
func (p *program) create(ctx context.Context, conn *grpc.ClientConn, t *target) error {
	_, err := gitalypb.NewRepositoryServiceClient(conn).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: t.repo})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stderr, "created %s in %s\n", t.repo.GetRelativePath(), t.repo.GetStorageName())
	return err
}

// explain says what a status means to somebody who typed a URL.
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
		return fmt.Errorf("cannot reach %s: %s", t.host, s.Message())
	case codes.NotFound:
		return fmt.Errorf("repository %q not found in %q: %s", t.repo.GetRelativePath(), t.repo.GetStorageName(), s.Message())
	case codes.AlreadyExists:
		return fmt.Errorf("repository %q exists already in %q", t.repo.GetRelativePath(), t.repo.GetStorageName())
	case codes.DeadlineExceeded:
		return fmt.Errorf("not done within GITALY_DEADLINE: %s", s.Message())
	}
	return fmt.Errorf("%s answers %s: %s", t.host, s.Code(), s.Message())
}
