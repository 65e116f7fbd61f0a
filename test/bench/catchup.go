package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/workload"
)

const (
	// missed is how many repositories of a storage miss a write each when it serves again.
	missed = 500
	// catchUpClients write at a time, catchUpLimit bounds one run, catchUpPoll is the time
	// between two looks at it.
	catchUpClients = 8
	catchUpLimit   = 5 * time.Minute
	catchUpPoll    = 10 * time.Millisecond
)

// catchUp measures how fast a storage gets the writes that it missed while it was drained: one
// write to each of many repositories. The rate counts from the moment at which it serves, and so
// does the first repair. The storages are in memory.
func catchUp(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, strong, 3, 0)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	conn := m.conns[proxied]
	if err := together(ctx, missed, func(ctx context.Context, n int) error {
		request := &gitalypb.CreateRepositoryRequest{Repository: benchRepository(proxied, "default", n)}
		_, err := gitalypb.NewRepositoryServiceClient(conn).CreateRepository(ctx, request)
		return err
	}); err != nil {
		return nil, fmt.Errorf("create repositories: %w", err)
	}
	return catching{name: "catchup", c: m.c, write: func(ctx context.Context, conn *grpc.ClientConn, n int) error {
		return writeRef(ctx, conn, benchRepository(proxied, "default", n), n)
	}}.measure(ctx, s.few())
}

// catchUpOnGit is catchUp with storages on real git.
func catchUpOnGit(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	git, err := prepareGit(ctx, binaries, missed)
	if err != nil {
		return nil, err
	}
	defer git.end()
	c, err := git.cluster(ctx, strong, 1)
	if err != nil {
		return nil, err
	}
	defer stopCluster(ctx, c)
	paths := git.seeds.Paths()
	return catching{name: "catchup_git", c: c, write: func(ctx context.Context, conn *grpc.ClientConn, n int) error {
		client := workload.Client{Conn: conn, VirtualStorage: "default"}
		_, err := client.Commit(ctx, paths[n], "bench", fmt.Sprint("change-", time.Now().UnixNano()))
		return err
	}}.measure(ctx, min(s.few(), 2))
}

// together makes n calls, some at a time, and ends at the first that fails.
func together(ctx context.Context, n int, call func(context.Context, int) error) error {
	group, calling := errgroup.WithContext(ctx)
	group.SetLimit(catchUpClients)
	for i := range n {
		group.Go(func() error { return call(calling, i) })
	}
	return group.Wait()
}

// catching is a cluster of which a storage falls behind, and catches up.
type catching struct {
	name  string
	c     *cluster.Cluster
	write func(ctx context.Context, conn *grpc.ClientConn, n int) error // to one of the repositories
}

// measure has it catch up some times.
func (k catching) measure(ctx context.Context, runs int) (figures, error) {
	var rate, first []float64
	for run := range runs {
		bounded, cancel := context.WithTimeout(ctx, catchUpLimit)
		r, f, err := k.once(bounded, run)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", run+1, err)
		}
		rate, first = append(rate, r), append(first, f)
	}
	return figures{
		of(k.name+"_rate", proxied, 1, "repairs/s", rate),
		of(k.name+"_first", proxied, 1, "ms", first),
	}, nil
}

func (k catching) once(ctx context.Context, run int) (rate, first float64, err error) {
	const storage = "gitaly-3"
	secret, err := os.ReadFile(k.c.AdminTokenFile)
	if err != nil {
		return 0, 0, err
	}
	operator := k.c.Instances[0].Admin().WithAdminToken(strings.TrimSpace(string(secret)))
	by := func(what string) admin.Change {
		return admin.Change{RequestID: fmt.Sprintf("bench-%s-%d-%d", what, run, time.Now().UnixNano()), By: "bench"}
	}
	if _, err := operator.Drain(ctx, admin.SwitchRequest{Change: by("drain"), VirtualStorage: "default", Storage: storage}, func(admin.Progress) {}); err != nil {
		return 0, 0, fmt.Errorf("drain: %w", err)
	}
	if err := together(ctx, missed, func(ctx context.Context, n int) error {
		return k.write(ctx, k.c.Instances[0].Conn(), n)
	}); err != nil {
		return 0, 0, fmt.Errorf("write: %w", err)
	}
	if s, err := k.look(ctx, storage); err != nil || s.Behind != missed {
		return 0, 0, errors.Join(fmt.Errorf("%d repositories are behind, want %d", s.Behind, missed), err)
	}
	if _, err := operator.Undrain(ctx, admin.UndrainRequest{Change: by("undrain"), VirtualStorage: "default", Storage: storage}); err != nil {
		return 0, 0, fmt.Errorf("undrain: %w", err)
	}
	var serves, repaired time.Time
	for {
		s, err := k.look(ctx, storage)
		now := time.Now()
		switch {
		case err != nil:
			return 0, 0, err
		case serves.IsZero() && s.State == state.Serving:
			serves = now
		}
		if repaired.IsZero() && s.Behind < missed {
			repaired = now
		}
		if !serves.IsZero() && s.Behind == 0 {
			return missed / now.Sub(serves).Seconds(), float64(repaired.Sub(serves).Milliseconds()), nil
		}
		select {
		case <-time.After(catchUpPoll):
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("%d repositories are behind on a storage that is %s: %w", s.Behind, s.State, ctx.Err())
		}
	}
}

// look asks how a storage is.
func (k catching) look(ctx context.Context, storage string) (admin.Storage, error) {
	answer, err := k.c.Instances[0].Admin().Status(ctx, admin.StatusRequest{VirtualStorage: "default"})
	if err != nil {
		return admin.Storage{}, fmt.Errorf("ask for the status: %w", err)
	}
	for _, vs := range answer.VirtualStorages {
		for _, s := range vs.Storages {
			if s.Name == storage {
				return s, nil
			}
		}
	}
	return admin.Storage{}, fmt.Errorf("the status does not name %q", storage)
}
