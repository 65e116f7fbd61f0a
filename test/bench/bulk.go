package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/cluster"
)

// chunk is how much one message of an upload carries.
const chunk = 128 << 10

// bulk measures one large transfer at a time, direct and proxied in turns: on
// a storage with real git, and on one in memory, where nothing but the path of
// the bytes is left.
func bulk(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	dir, err := os.MkdirTemp("", "praefect-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	onGit, err := bulkGit(ctx, binaries, s, dir)
	if err != nil {
		return nil, fmt.Errorf("on git: %w", err)
	}
	inMemory, err := bulkMemory(ctx, binaries, s)
	if err != nil {
		return nil, fmt.Errorf("in memory: %w", err)
	}
	return append(onGit, inMemory...), nil
}

func bulkGit(ctx context.Context, binaries cluster.Binaries, s settings, dir string) (figures, error) {
	// One storage: replication of what was sent up would run into the next
	// measurement.
	c, err := cluster.Start(ctx, cluster.Options{
		Binaries:        binaries,
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered("default", 1)},
		Settings:        fmt.Sprintf(tuning, eventual),
	})
	if err != nil {
		return nil, err
	}
	defer stopCluster(ctx, c)
	bundle, blob, err := largeBundle(ctx, c, dir, s.bulkSize)
	if err != nil {
		return nil, err
	}
	paths := map[string]*grpc.ClientConn{direct: c.Storages[0].Conn(), proxied: c.Instances[0].Conn()}
	names := map[string]string{direct: "gitaly-1", proxied: "default"}
	up, down := map[string][]float64{}, map[string][]float64{}
	for n := range s.few() {
		for _, path := range []string{direct, proxied} {
			repository := benchRepository(path, names[path], n)
			start := time.Now()
			if err := sendBundle(ctx, paths[path], repository, bundle); err != nil {
				return nil, fmt.Errorf("send up, %s: %w", path, err)
			}
			up[path] = append(up[path], megabytes(s.bulkSize, time.Since(start)))

			start = time.Now()
			size, err := readBlob(ctx, paths[path], repository, blob)
			if err == nil && size != s.bulkSize {
				err = fmt.Errorf("%d bytes came of %d", size, s.bulkSize)
			}
			if err != nil {
				return nil, fmt.Errorf("send down, %s: %w", path, err)
			}
			down[path] = append(down[path], megabytes(s.bulkSize, time.Since(start)))

			if _, err := gitalypb.NewRepositoryServiceClient(paths[path]).RemoveRepository(ctx, &gitalypb.RemoveRepositoryRequest{Repository: repository}); err != nil {
				return nil, err
			}
		}
	}
	return figures{
		of("down_git", direct, 1, "MB/s", down[direct]), of("down_git", proxied, 1, "MB/s", down[proxied]),
		of("up_git", direct, 1, "MB/s", up[direct]), of("up_git", proxied, 1, "MB/s", up[proxied]),
	}, nil
}

func bulkMemory(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, eventual, 1, s.bulkSize)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	c, conns := m.c, m.conns
	names := map[string]string{direct: "gitaly-1", proxied: "default"}
	up, down, cpu := map[string][]float64{}, map[string][]float64{}, []float64(nil)
	for _, path := range []string{direct, proxied} {
		_, err := gitalypb.NewRepositoryServiceClient(conns[path]).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: benchRepository(path, names[path], 0)})
		if err != nil {
			return nil, err
		}
	}
	for range s.runs {
		for _, path := range []string{direct, proxied} {
			repository := benchRepository(path, names[path], 0)
			before, err := cpuSeconds(c.Instances[0].PID())
			if err != nil {
				return nil, err
			}
			start := time.Now()
			if _, err := readBlob(ctx, conns[path], repository, strings.Repeat("1", 40)); err != nil {
				return nil, fmt.Errorf("send down, %s: %w", path, err)
			}
			down[path] = append(down[path], megabytes(s.bulkSize, time.Since(start)))
			start = time.Now()
			if err := sendPack(ctx, conns[path], repository, s.bulkSize); err != nil {
				return nil, fmt.Errorf("send up, %s: %w", path, err)
			}
			up[path] = append(up[path], megabytes(s.bulkSize, time.Since(start)))
			after, err := cpuSeconds(c.Instances[0].PID())
			if err != nil {
				return nil, err
			}
			if path == proxied {
				cpu = append(cpu, (after-before)/(2*float64(s.bulkSize)/1e9))
			}
		}
	}
	return figures{
		of("down_memory", direct, 1, "MB/s", down[direct]), of("down_memory", proxied, 1, "MB/s", down[proxied]),
		of("up_memory", direct, 1, "MB/s", up[direct]), of("up_memory", proxied, 1, "MB/s", up[proxied]),
		of("cpu_per_gb", proxied, 1, "s", cpu),
	}, nil
}

func megabytes(size int64, d time.Duration) float64 { return float64(size) / 1e6 / d.Seconds() }

// largeBundle makes a bundle of one commit with one blob that does not
// compress, and returns its file and the blob's id.
func largeBundle(ctx context.Context, c *cluster.Cluster, dir string, size int64) (bundle, blob string, err error) {
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		return "", "", err
	}
	file, err := os.Create(filepath.Join(work, "large"))
	if err != nil {
		return "", "", err
	}
	if _, err := io.CopyN(file, rand.Reader, size); err != nil {
		return "", "", err
	}
	if err := file.Close(); err != nil {
		return "", "", err
	}
	bundle = filepath.Join(dir, "large.bundle")
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"-c", "core.compression=0", "add", "large"},
		{"commit", "--quiet", "-m", "large"},
		{"-c", "core.compression=0", "bundle", "create", "--quiet", bundle, "HEAD", "main"},
	} {
		if _, err := c.Git(ctx, work, args...); err != nil {
			return "", "", err
		}
	}
	blob, err = c.Git(ctx, work, "rev-parse", "HEAD:large")
	return bundle, blob, err
}

func sendBundle(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository, bundle string) error {
	file, err := os.Open(bundle)
	if err != nil {
		return err
	}
	defer file.Close()
	stream, err := gitalypb.NewRepositoryServiceClient(conn).CreateRepositoryFromBundle(ctx)
	if err != nil {
		return err
	}
	buf := make([]byte, chunk)
	request := &gitalypb.CreateRepositoryFromBundleRequest{Repository: repository}
	for {
		n, err := io.ReadFull(file, buf)
		if n > 0 {
			request.Data = buf[:n]
			if stream.Send(request) != nil {
				break // the answer says why
			}
			request = &gitalypb.CreateRepositoryFromBundleRequest{}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

func readBlob(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository, blob string) (size int64, err error) {
	stream, err := gitalypb.NewBlobServiceClient(conn).GetBlob(ctx, &gitalypb.GetBlobRequest{Repository: repository, Oid: blob, Limit: -1})
	if err != nil {
		return 0, err
	}
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
		size += int64(len(part.GetData()))
	}
}

// sendPack sends bytes as a push does; the storage in memory counts them.
func sendPack(ctx context.Context, conn *grpc.ClientConn, repository *gitalypb.Repository, size int64) error {
	stream, err := gitalypb.NewSmartHTTPServiceClient(conn).PostReceivePack(ctx)
	if err != nil {
		return err
	}
	request := &gitalypb.PostReceivePackRequest{Repository: repository, GlId: "key-1", GlRepository: "project-1"}
	if err := stream.Send(request); err != nil {
		return err
	}
	data := make([]byte, chunk)
	for sent := int64(0); sent < size; sent += chunk {
		if stream.Send(&gitalypb.PostReceivePackRequest{Data: data}) != nil {
			break // the answer says why
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
