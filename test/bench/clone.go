package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/proxy/channel"
	"praefect/test/cluster"
)

// clone measures a large fetch, direct and proxied in turns: over a sidechannel of
// a storage in memory, where nothing but the path of the bytes is left, and by git
// clone from a storage with real git.
func clone(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	inMemory, err := cloneMemory(ctx, binaries, s)
	if err != nil {
		return nil, fmt.Errorf("in memory: %w", err)
	}
	onGit, err := cloneGit(ctx, binaries, s)
	if err != nil {
		return nil, fmt.Errorf("on git: %w", err)
	}
	return append(inMemory, onGit...), nil
}

func cloneMemory(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, strong, 1, s.bulkSize)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	repository := benchRepository("clone", "default", 0)
	if _, err := gitalypb.NewRepositoryServiceClient(m.conns[proxied]).CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: repository}); err != nil {
		return nil, err
	}
	fetchers := make(map[string]*fetcher)
	for path, to := range map[string]fetcher{
		direct:  {addr: m.first, token: memoryToken, storage: "gitaly-1"},
		proxied: {addr: m.c.Instances[0].Addr, token: m.c.Token, storage: "default"},
		copying: {addr: m.gateways[copying].addr, token: memoryToken, storage: "gitaly-1"},
	} {
		if err := to.dial(); err != nil {
			return nil, err
		}
		defer to.conn.Close()
		fetchers[path] = &to
	}
	return transfers{
		name: "clone_sidechannel", paths: []string{direct, proxied, copying}, c: m.c, size: s.bulkSize, runs: s.runs,
		one: func(path string) error { return fetchers[path].fetch(ctx, repository.GetRelativePath(), s.bulkSize) },
	}.run()
}

func cloneGit(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	dir, err := os.MkdirTemp("", "praefect-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c, err := cluster.Start(ctx, cluster.Options{
		Binaries: binaries, Settings: fmt.Sprintf(tuning, strong),
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered("default", 1)},
	})
	if err != nil {
		return nil, err
	}
	defer stopCluster(ctx, c)
	bundle, _, err := largeBundle(ctx, c, dir, s.bulkSize)
	if err != nil {
		return nil, err
	}
	repository := benchRepository("clone", "default", 0)
	if err := sendBundle(ctx, c.Instances[0].Conn(), repository, bundle); err != nil {
		return nil, err
	}
	storage, path := c.Storages[0], repository.GetRelativePath()
	urls := map[string]string{direct: storage.URL(path), proxied: c.URL("default", path)}
	tokens := map[string]string{direct: storage.TokenFile, proxied: c.TokenFile}
	return transfers{
		name: "clone_git", paths: []string{direct, proxied}, c: c, size: s.bulkSize, runs: s.few(),
		one: func(path string) error {
			into := filepath.Join(dir, "clone")
			if _, err := binaries.Git(ctx, tokens[path], dir, "clone", "--quiet", "--bare", urls[path], into); err != nil {
				return err
			}
			return os.RemoveAll(into)
		},
	}.run()
}

// transfers are some of one size, on some paths in turns.
type transfers struct {
	name  string
	paths []string // direct first
	c     *cluster.Cluster
	size  int64
	runs  int
	one   func(path string) error
}

func (t transfers) run() (figures, error) {
	speed, cpu := map[string][]float64{}, []float64(nil)
	for range t.runs {
		for _, path := range t.paths {
			before, err := cpuSeconds(t.c.Instances[0].PID())
			if err != nil {
				return nil, err
			}
			start := time.Now()
			if err := t.one(path); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", t.name, path, err)
			}
			speed[path] = append(speed[path], megabytes(t.size, time.Since(start)))
			after, err := cpuSeconds(t.c.Instances[0].PID())
			if err != nil {
				return nil, err
			}
			if path == proxied {
				cpu = append(cpu, (after-before)/(float64(t.size)/1e9))
			}
		}
	}
	all := figures{of(t.name+"_cpu_per_gb", proxied, 1, "s", cpu)}
	for _, path := range t.paths[1:] {
		all = append(all, ofDirect(t.name, path, 1, speed)) // before the speeds are sorted
	}
	for _, path := range t.paths {
		all = append(all, of(t.name, path, 1, "MB/s", speed[path]))
	}
	return all, nil
}

// fetcher is a client that takes a fetch over a sidechannel.
type fetcher struct {
	addr, token, storage string
	waiting              *channel.Registry
	conn                 *grpc.ClientConn
}

func (f *fetcher) dial() (err error) {
	f.waiting = new(channel.Registry)
	f.conn, err = cluster.Dial(f.addr, f.token,
		grpc.WithTransportCredentials(channel.NewClientCredentials(nil, channel.Client{Sidechannels: f.waiting})))
	return err
}

// fetch takes a pack of at least that size.
func (f *fetcher) fetch(ctx context.Context, relativePath string, least int64) error {
	var got int64
	ctx, waiter := f.waiting.Expect(ctx, func(_ context.Context, side *channel.ClientEnd) (err error) {
		if err := side.CloseWrite(); err != nil {
			return err
		}
		got, err = io.Copy(io.Discard, side)
		return err
	})
	_, err := gitalypb.NewSSHServiceClient(f.conn).SSHUploadPackWithSidechannel(ctx, &gitalypb.SSHUploadPackWithSidechannelRequest{
		Repository: &gitalypb.Repository{StorageName: f.storage, RelativePath: relativePath},
	})
	if err := errors.Join(err, waiter.Close()); err != nil {
		return err
	}
	if got < least {
		return fmt.Errorf("%d bytes came of %d", got, least)
	}
	return nil
}
