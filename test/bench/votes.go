package main

import (
	"context"
	"fmt"
	"time"

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
	ways := make(map[string]way)
	for _, mode := range []string{strong, eventual} {
		m, err := memoryCluster(ctx, binaries, mode, 3, 0)
		if err != nil {
			return nil, err
		}
		defer m.stop()
		ways[mode] = way{m.conns[proxied], "default", m.pids[proxied], m.c}
		ways[direct] = way{conn: m.conns[direct], storage: "gitaly-1"}
	}
	if err := createIn(ctx, ways); err != nil {
		return nil, err
	}
	var several []rounds
	for _, clients := range unaryClients {
		several = append(several, cheap("write_ref", ways, clients, writeRef))
	}
	return measure(ctx, s, several...)
}

func votesOnGit(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	git, err := prepareGit(ctx, binaries, repositoriesFor(1))
	if err != nil {
		return nil, err
	}
	defer git.end()
	ways := make(map[string]way)
	for _, mode := range []string{strong, eventual} {
		c, err := git.cluster(ctx, mode, 1)
		if err != nil {
			return nil, err
		}
		defer stopCluster(ctx, c)
		instance, single := c.Instances[0], c.StoragesOf(alone)[0]
		ways[mode] = way{instance.Conn(), "default", instance.PID(), c}
		ways[direct] = way{conn: single.Conn(), storage: single.Name}
	}
	// A commit takes so long that a slice has few.
	s.runs, s.slice = s.few(), max(s.slice, time.Second)
	paths := git.seeds.Paths()
	return measure(ctx, s, rounds{"commit_git", ways, 1, len(paths), func(ctx context.Context, to way, _ string, n int) error {
		client := workload.Client{Conn: to.conn, VirtualStorage: to.storage}
		_, err := client.Commit(ctx, paths[n%len(paths)], "bench", fmt.Sprint("change-", time.Now().UnixNano()))
		return err
	}})
}
