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

// repositories is how many repositories the calls go round at most.
const repositories = 64

// unary measures a cheap read and a cheap write, one after the other on each
// client, direct and proxied in turns. Writes are not voted on here: the cost of that
// is the subject of votes.
func unary(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, eventual, 3, 0)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	c, conns := m.c, m.conns
	names := map[string]string{direct: "gitaly-1", proxied: "default", bare: "gitaly-1", copying: "gitaly-1", alone: "alone"}
	for path, conn := range conns {
		for n := range repositories {
			_, err := gitalypb.NewRepositoryServiceClient(conn).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: benchRepository(path, names[path], n)})
			if err != nil {
				return nil, fmt.Errorf("create a repository, %s: %w", path, err)
			}
		}
	}
	var all figures
	for _, kind := range []struct {
		name string
		call func(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository, n int) error
	}{{"accessor", refExists}, {"mutator", writeRef}} {
		for _, clients := range unaryClients {
			p50, rate, cpu := map[string][]float64{}, map[string][]float64{}, []float64(nil)
			var first []float64
			for _, path := range turns(s.runs) {
				// The first write to a repository that is in sync waits for a commit of the
				// log, the next ones do not: the share of each in a slice would decide its median.
				span := repositories
				load := load{clients: clients, slice: s.slice, call: func(n int) error {
					return kind.call(ctx, conns[path], benchRepository(path, names[path], n%span), n)
				}}
				latencies, err := load.lap(repositories)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, %d clients: %w", kind.name, path, clients, err)
				}
				if path == proxied {
					first = append(first, median(latencies))
				}
				span = min(repositories, repositoriesFor(clients))
				before, err := cpuSeconds(c.Instances[0].PID())
				if err != nil {
					return nil, err
				}
				latencies, err = load.run()
				if err != nil {
					return nil, fmt.Errorf("%s, %s, %d clients: %w", kind.name, path, clients, err)
				}
				after, err := cpuSeconds(c.Instances[0].PID())
				if err != nil {
					return nil, err
				}
				p50[path] = append(p50[path], median(latencies))
				rate[path] = append(rate[path], float64(len(latencies))/s.slice.Seconds())
				if path == proxied {
					cpu = append(cpu, 1000*(after-before)/float64(len(latencies)))
				}
			}
			for _, path := range []string{direct, proxied} {
				all = append(all, of(kind.name+"_p50", path, clients, "ms", p50[path]), of(kind.name+"_rate", path, clients, "calls/s", rate[path]))
			}
			for _, path := range []string{alone, bare, copying} {
				all = append(all, of(kind.name+"_"+path+"_p50", proxied, clients, "ms", p50[path]))
			}
			all = append(all, of(kind.name+"_cpu_per_1000_calls", proxied, clients, "s", cpu))
			if kind.name == "mutator" {
				all = append(all, of("mutator_first_p50", proxied, clients, "ms", first))
			}
		}
	}
	return all, nil
}

// median is in milliseconds.
func median(sorted []time.Duration) float64 {
	return float64(sorted[len(sorted)/2]) / float64(time.Millisecond)
}

// turns is the order in which the paths are measured: the paths that are compared most
// take turns, and the slice after a proxied one has its repairs to bear.
func turns(runs int) []string {
	return slices.Concat(
		slices.Repeat([]string{direct, proxied, bare}, runs),
		slices.Repeat([]string{alone, copying}, runs))
}

// benchRepository is the n-th repository of a path: the paths share none, so
// that a direct write changes nothing behind the proxy's back.
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
