package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/cluster"
)

const (
	// repositories is how many repositories the uploads go round.
	repositories = 64
	// replicas is how many storages get an upload.
	replicas = 3
	// uploadSize is the size of one upload, or of the uploads of the other measurements if those are smaller.
	uploadSize = 10 << 20
)

var uploadClients = []int{1, 16}

// upload measures a push to three storages in memory which vote on it: direct, where each client sends the same
// bytes to the three storages at once, and through the instance, which takes them once.
func upload(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, strong, replicas, 0)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	var conns []*grpc.ClientConn
	for _, addr := range m.addrs {
		conn, err := cluster.Dial(addr, memoryToken)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	size := min(s.bulkSize, uploadSize)
	through := m.conns[proxied]
	send := map[string]func(n int) error{
		proxied: func(n int) error { return sendPack(ctx, through, benchRepository(proxied, "default", n), size) },
		direct: func(n int) error {
			return each(conns, func(i int, conn *grpc.ClientConn) error {
				return sendPack(ctx, conn, benchRepository(direct, fmt.Sprint("gitaly-", i+1), n), size)
			})
		},
	}
	for n := range repositories {
		err := create(ctx, through, benchRepository(proxied, "default", n))
		for i, conn := range conns {
			err = errors.Join(err, create(ctx, conn, benchRepository(direct, fmt.Sprint("gitaly-", i+1), n)))
		}
		if err != nil {
			return nil, err
		}
	}
	var all figures
	for _, clients := range uploadClients {
		speed, cpu := map[string][]float64{}, []float64(nil)
		for range s.runs {
			for _, path := range []string{direct, proxied} {
				// An upload takes so long that a slice has few.
				l := load{clients: clients, slice: max(s.slice, time.Second), call: func(n int) error { return send[path](n % repositories) }}
				before, err := cpuSeconds(m.pids[proxied])
				if err != nil {
					return nil, err
				}
				start := time.Now()
				latencies, err := l.run()
				if err != nil {
					return nil, fmt.Errorf("%s, %d clients: %w", path, clients, err)
				}
				sent := int64(len(latencies)) * size
				speed[path] = append(speed[path], megabytes(sent, time.Since(start)))
				after, err := cpuSeconds(m.pids[proxied])
				if err != nil {
					return nil, err
				}
				if path == proxied {
					cpu = append(cpu, (after-before)/(replicas*float64(sent)/1e9))
				}
			}
		}
		all = append(all, ofDirect("upload_to_three", proxied, clients, speed)) // before the speeds are sorted
		all = append(all, of("upload_to_three", direct, clients, "MB/s", speed[direct]), of("upload_to_three", proxied, clients, "MB/s", speed[proxied]),
			of("upload_cpu_per_gb_and_replica", proxied, clients, "s", cpu))
	}
	return all, nil
}

func create(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository) error {
	_, err := gitalypb.NewRepositoryServiceClient(conn).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: repository})
	return err
}

// each calls do for all connections at once.
func each(conns []*grpc.ClientConn, do func(i int, conn *grpc.ClientConn) error) error {
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() { errs[i] = do(i, conn) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
