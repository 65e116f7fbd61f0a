package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	// One storage: replication of the data sent up would run into the next measurement.
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
	conns, _, stop, err := past(c.Storages[0].Addr, c.Storages[0].Token)
	defer stop()
	if err != nil {
		return nil, err
	}
	conns[direct], conns[proxied] = c.Storages[0].Conn(), c.Instances[0].Conn()
	up, down := map[string][]float64{}, map[string][]float64{}
	for n := range s.runs {
		for _, path := range bulkPaths {
			repository := benchRepository(path, storageOn(path), n)
			start := time.Now()
			if err := sendBundle(ctx, conns[path], repository, bundle); err != nil {
				return nil, fmt.Errorf("send up, %s: %w", path, err)
			}
			up[path] = append(up[path], megabytes(s.bulkSize, time.Since(start)))

			start = time.Now()
			size, err := readBlob(ctx, conns[path], repository, blob)
			if err == nil && size != s.bulkSize {
				err = fmt.Errorf("%d bytes came of %d", size, s.bulkSize)
			}
			if err != nil {
				return nil, fmt.Errorf("send down, %s: %w", path, err)
			}
			down[path] = append(down[path], megabytes(s.bulkSize, time.Since(start)))

			if _, err := gitalypb.NewRepositoryServiceClient(conns[path]).RemoveRepository(ctx, &gitalypb.RemoveRepositoryRequest{Repository: repository}); err != nil {
				return nil, err
			}
		}
	}
	return append(speeds("down_git", down), speeds("up_git", up)...), nil
}

// bulkPaths are the ways of one large transfer.
var bulkPaths = []string{direct, proxied, bare, copying}

// storageOn is the name under which a path knows the first storage.
func storageOn(path string) string {
	if path == proxied || path == streamed {
		return "default"
	}
	return "gitaly-1"
}

// speeds are the figures of one transfer on all its paths.
func speeds(name string, measured map[string][]float64) figures {
	return figures{
		of(name, direct, 1, "MB/s", measured[direct]), of(name, proxied, 1, "MB/s", measured[proxied]),
		of(name+"_"+bare, proxied, 1, "MB/s", measured[bare]), of(name+"_"+copying, proxied, 1, "MB/s", measured[copying]),
	}
}

func bulkMemory(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, eventual, 1, s.bulkSize)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	paths := bulkPaths
	if err := m.addStreamed(ctx, binaries, s); err != nil {
		return nil, err
	}
	if s.streams {
		paths = append(slices.Clone(paths), streamed)
	}
	conns := m.conns
	up, down, cpu := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for _, path := range paths {
		_, err := gitalypb.NewRepositoryServiceClient(conns[path]).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: benchRepository(path, storageOn(path), 0)})
		if err != nil {
			return nil, err
		}
	}
	for range s.runs {
		for _, path := range paths {
			repository := benchRepository(path, storageOn(path), 0)
			var before float64
			if path != direct {
				if before, err = cpuSeconds(m.pids[path]); err != nil {
					return nil, err
				}
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
			if path != direct {
				after, err := cpuSeconds(m.pids[path])
				if err != nil {
					return nil, err
				}
				cpu[path] = append(cpu[path], (after-before)/(2*float64(s.bulkSize)/1e9))
			}
		}
	}
	all := append(speeds("down_memory", down), speeds("up_memory", up)...)
	if s.streams {
		all = append(all, of("down_memory_streams", proxied, 1, "MB/s", down[streamed]), of("cpu_per_gb_streams", proxied, 1, "s", cpu[streamed]))
	}
	return append(all, of("cpu_per_gb", proxied, 1, "s", cpu[proxied]),
		of("cpu_per_gb_"+bare, proxied, 1, "s", cpu[bare]), of("cpu_per_gb_"+copying, proxied, 1, "s", cpu[copying])), nil
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
