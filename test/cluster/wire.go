package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// Dial makes a connection to a storage or an instance, with its token. It does
// not wait for the server; the caller closes it.
func Dial(addr, token string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(gitalyauth.RPCCredentialsV2(token)),
		// Servers come and go here, and frequent attempts do no harm.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", addr, err)
	}
	return conn, nil
}

// redial replaces a connection, which may be nil.
func redial(old *grpc.ClientConn, addr, token string) (*grpc.ClientConn, error) {
	conn, err := Dial(addr, token)
	if old != nil {
		err = errors.Join(err, old.Close())
	}
	return conn, err
}

// gitalyURL is the address of a repository for git-remote-gitaly.
func gitalyURL(addr, storage, relativePath string) string {
	return "gitaly://" + addr + "/" + storage + "/" + strings.TrimPrefix(relativePath, "/")
}

// newToken makes a secret and writes it where only we can read it.
func newToken(path string) (string, error) {
	token := rand.Text()
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		return "", fmt.Errorf("write a token: %w", err)
	}
	return token, nil
}
