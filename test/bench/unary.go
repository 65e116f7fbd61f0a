package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/cluster"
)

var unaryClients = []int{1, 16, 64}

// alone is the path through the instance to a virtual storage of one storage:
// reads are not spread there, and no write has to be repaired elsewhere.
const alone = "alone"

// repositoriesFor is how many repositories some clients go round: so many that no
// two write to the same one, where they would wait for each other, and so few that
// the intent of one lingers until its next write.
func repositoriesFor(clients int) int { return 4 * clients }

// unary measures a cheap read and a cheap write. Writes are not voted on here: the cost of that
// is the subject of votes.
func unary(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, eventual, 3, 0)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	ways := m.ways(alone)
	ways[alone], ways[proxied] = ways[proxied], way{m.conns[proxied], "default", m.pids[proxied], m.c}
	if err := createIn(ctx, ways); err != nil {
		return nil, err
	}
	var several []rounds
	for _, clients := range unaryClients {
		several = append(several, cheap("accessor", ways, clients, refExists), cheap("mutator", ways, clients, writeRef))
	}
	return measure(ctx, s, several...)
}

// createIn makes the repositories of each way.
func createIn(ctx context.Context, ways map[string]way) error {
	for path, to := range ways {
		for n := range repositoriesFor(slices.Max(unaryClients)) {
			if err := create(ctx, to.conn, to.repository(path, n)); err != nil {
				return fmt.Errorf("create a repository, %s: %w", path, err)
			}
		}
	}
	return nil
}

// cheap are rounds of a call that costs a storage in memory nothing.
func cheap(name string, ways map[string]way, clients int, call func(context.Context, *grpc.ClientConn, *gitalypb.Repository, int) error) rounds {
	span := repositoriesFor(clients)
	return rounds{name, ways, clients, span, func(ctx context.Context, to way, path string, n int) error {
		return call(ctx, to.conn, to.repository(path, n%span), n)
	}}
}

// median is in milliseconds.
func median(sorted []time.Duration) float64 {
	return float64(sorted[len(sorted)/2]) / float64(time.Millisecond)
}

// benchRepository is the n-th repository of a path.
func benchRepository(path, storage string, n int) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: storage, RelativePath: fmt.Sprintf("bench/%s/%d.git", path, n)}
}

func refExists(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository, _ int) error {
	_, err := gitalypb.NewRefServiceClient(conn).RefExists(ctx, &gitalypb.RefExistsRequest{Repository: repository, Ref: []byte("refs/heads/main")})
	return err
}

func writeRef(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository, n int) error {
	_, err := gitalypb.NewRepositoryServiceClient(conn).WriteRef(ctx, &gitalypb.WriteRefRequest{
		Repository: repository, Ref: []byte("refs/heads/main"), Revision: fmt.Appendf(nil, "%040x", n+1),
	})
	return err
}
