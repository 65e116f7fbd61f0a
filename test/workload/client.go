package workload

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"praefect/test/cluster"
)

// Client speaks to the repositories of one virtual storage as GitLab does. The
// connection belongs to its maker.
type Client struct {
	Conn           *grpc.ClientConn
	VirtualStorage string
}

// Connect makes the connection of a client that a balancer has put to one instance,
// at home: the first time it connects there. After that it connects to wherever
// the balancer sends it. The caller closes the connection.
func Connect(home, balancer, token string) (*grpc.ClientConn, error) {
	var placed atomic.Bool
	return cluster.Dial(balancer, token, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		var dialer net.Dialer
		if placed.CompareAndSwap(false, true) {
			addr = home
		}
		return dialer.DialContext(ctx, "tcp", addr)
	}))
}

// Connected waits until the connection stands, wherever it leads.
func (c Client) Connected(ctx context.Context) error {
	_, err := healthpb.NewHealthClient(c.Conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// Repository is how the requests name a repository.
func (c Client) Repository(path string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: c.VirtualStorage, RelativePath: path}
}

// Create makes an empty repository.
func (c Client) Create(ctx context.Context, path string) error {
	request := &gitalypb.CreateRepositoryRequest{Repository: c.Repository(path)}
	if _, err := gitalypb.NewRepositoryServiceClient(c.Conn).CreateRepository(ctx, request); err != nil {
		return fmt.Errorf("create %q: %w", path, err)
	}
	return nil
}

// Remove removes a repository.
func (c Client) Remove(ctx context.Context, path string) error {
	request := &gitalypb.RemoveRepositoryRequest{Repository: c.Repository(path)}
	if _, err := gitalypb.NewRepositoryServiceClient(c.Conn).RemoveRepository(ctx, request); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// Find returns the commit that a revision leads to, "" if there is none.
func (c Client) Find(ctx context.Context, path, revision string, options ...grpc.CallOption) (id string, err error) {
	request := &gitalypb.FindCommitRequest{Repository: c.Repository(path), Revision: []byte(revision)}
	answer, err := gitalypb.NewCommitServiceClient(c.Conn).FindCommit(ctx, request, options...)
	if err != nil {
		return "", fmt.Errorf("find %s of %q: %w", revision, path, err)
	}
	return answer.GetCommit().GetId(), nil
}

// Point sets a reference to a commit if it leads to old; an old of "" is for
// of any kind of object, one of 40 zeros for a reference that is not there.
func (c Client) Point(ctx context.Context, path, ref, id, old string) error {
	request := &gitalypb.WriteRefRequest{
		Repository: c.Repository(path), Ref: []byte(ref), Revision: []byte(id), OldRevision: []byte(old),
	}
	if _, err := gitalypb.NewRepositoryServiceClient(c.Conn).WriteRef(ctx, request); err != nil {
		return fmt.Errorf("point %s of %q to %s: %w", ref, path, id, err)
	}
	return nil
}

// branch makes branches at a commit, in the form of Commit.
func (c Client) branch(id string) func(ctx context.Context, path, branch, subject string) (string, error) {
	return func(ctx context.Context, path, branch, _ string) (string, error) {
		return id, c.Point(ctx, path, "refs/heads/"+branch, id, "")
	}
}
