package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// votes measures a write that three storages vote on against one that the primary
// alone acknowledges, and against one that goes past the proxy, in turns: with
// storages in memory, and on real git.
func votes(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	cheap, err := votesInMemory(ctx, binaries, s)
	if err != nil {
		return nil, fmt.Errorf("in memory: %w", err)
	}
	real, err := votesOnGit(ctx, binaries, s)
	if err != nil {
		return nil, fmt.Errorf("on git: %w", err)
	}
	return append(cheap, real...), nil
}

func votesInMemory(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	sides := make(map[string]side)
	for _, mode := range []string{strong, eventual} {
		m, err := memoryCluster(ctx, binaries, mode, 3, 0)
		if err != nil {
			return nil, err
		}
		defer m.stop()
		sides[mode] = side{m.c, m.conns[proxied], "default"}
		sides[direct] = side{nil, m.conns[direct], "gitaly-1"}
	}
	for path, to := range sides {
		for n := range repositoriesFor(slices.Max(unaryClients)) {
			request := &gitalypb.CreateRepositoryRequest{Repository: benchRepository(path, to.storage, n)}
			if _, err := gitalypb.NewRepositoryServiceClient(to.conn).CreateRepository(ctx, request); err != nil {
				return nil, fmt.Errorf("create a repository, %s: %w", path, err)
			}
		}
	}
	var all figures
	for _, clients := range unaryClients {
		measured, err := contest{
			name: "mutator", sides: sides, runs: s.runs,
			load: load{clients: clients, slice: s.slice},
			call: func(path string, n int) error {
				to := sides[path]
				return writeRef(ctx, to.conn, benchRepository(path, to.storage, n%repositoriesFor(clients)), n)
			},
		}.run(ctx)
		if err != nil {
			return nil, err
		}
		for _, one := range measured {
			if one.Path != direct { // unary has that one
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// repositoriesFor is how many repositories some clients go round: so many that no
// two write to the same one, where they would wait for each other, and so few that
// the mark of one lingers until its next write.
func repositoriesFor(clients int) int { return 4 * clients }

func votesOnGit(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	git, err := prepareGit(ctx, binaries, 32)
	if err != nil {
		return nil, err
	}
	defer git.end()
	sides := make(map[string]side)
	for _, mode := range []string{strong, eventual} {
		c, err := git.cluster(ctx, mode, 1)
		if err != nil {
			return nil, err
		}
		defer stopCluster(ctx, c)
		sides[mode] = side{c, c.Instances[0].Conn(), "default"}
		sides[direct] = side{nil, c.StoragesOf(alone)[0].Conn(), c.StoragesOf(alone)[0].Name}
	}
	paths := git.seeds.Paths()
	return contest{
		name: "commit_git", sides: sides, runs: s.few(),
		// A commit takes so long that a slice has few.
		load: load{clients: 1, slice: max(s.slice, time.Second)},
		call: func(path string, n int) error {
			to := sides[path]
			client := workload.Client{Conn: to.conn, VirtualStorage: to.storage}
			_, err := client.Commit(ctx, paths[n%len(paths)], "bench", fmt.Sprint("change-", time.Now().UnixNano()))
			return err
		},
	}.run(ctx)
}
