package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/cluster"
	"praefect/test/gitaly/memory"
)

var unaryClients = []int{1, 16, 64}

// repositories is how many repositories the calls go round.
const repositories = 64

const memoryToken = "bench-memory"

// memoryCluster is one instance in front of storages in this process: what is
// left to measure is the proxy. The returned connections lead to the first
// storage directly and through the instance.
func memoryCluster(ctx context.Context, binaries cluster.Binaries, storages int, config memory.Config) (c *cluster.Cluster, conns map[string]*grpc.ClientConn, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	undo := []func(){running.Wait, cancel}
	stop = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	var text strings.Builder
	text.WriteString("[logging]\nlevel = \"warn\"\n[[virtual_storage]]\nname = \"default\"\n")
	var first string
	for n := range storages {
		config.Storages = []string{fmt.Sprint("gitaly-", n+1)}
		config.Token = memoryToken
		server, err := memory.New(config)
		if err != nil {
			return nil, nil, nil, err
		}
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		if n == 0 {
			first = lis.Addr().String()
		}
		running.Go(func() {
			if err := server.Run(ctx, lis); err != nil {
				fmt.Fprintln(os.Stderr, "bench: storage:", err)
			}
		})
		fmt.Fprintf(&text, "[[virtual_storage.node]]\nstorage = %q\naddress = \"tcp://%s\"\ntoken = %q\n", config.Storages[0], lis.Addr(), memoryToken)
	}
	if c, err = cluster.Start(ctx, cluster.Options{Binaries: binaries, Settings: text.String()}); err != nil {
		return nil, nil, nil, err
	}
	undo = append(undo, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "bench: stop:", err)
		}
	})
	straight, err := cluster.Dial(first, memoryToken)
	if err != nil {
		return nil, nil, nil, err
	}
	undo = append(undo, func() { straight.Close() })
	return c, map[string]*grpc.ClientConn{direct: straight, proxied: c.Instances[0].Conn()}, stop, nil
}

// unary measures a cheap read and a cheap write, one after the other on each
// client, direct and proxied in turns.
func unary(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	c, conns, stop, err := memoryCluster(ctx, binaries, 3, memory.Config{})
	if err != nil {
		return nil, err
	}
	defer stop()
	names := map[string]string{direct: "gitaly-1", proxied: "default"}
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
			for range s.runs {
				for _, path := range []string{direct, proxied} {
					before, err := cpuSeconds(c.Instances[0].PID())
					if err != nil {
						return nil, err
					}
					load := load{clients: clients, slice: s.slice, call: func(n int) error {
						return kind.call(ctx, conns[path], benchRepository(path, names[path], n%repositories), n)
					}}
					latencies, err := load.run()
					if err != nil {
						return nil, fmt.Errorf("%s, %s, %d clients: %w", kind.name, path, clients, err)
					}
					after, err := cpuSeconds(c.Instances[0].PID())
					if err != nil {
						return nil, err
					}
					p50[path] = append(p50[path], float64(latencies[len(latencies)/2])/float64(time.Millisecond))
					rate[path] = append(rate[path], float64(len(latencies))/s.slice.Seconds())
					if path == proxied {
						cpu = append(cpu, 1000*(after-before)/float64(len(latencies)))
					}
				}
			}
			for _, path := range []string{direct, proxied} {
				all = append(all, of(kind.name+"_p50", path, clients, "ms", p50[path]), of(kind.name+"_rate", path, clients, "calls/s", rate[path]))
			}
			all = append(all, of(kind.name+"_cpu_per_1000_calls", proxied, clients, "s", cpu))
		}
	}
	return all, nil
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
