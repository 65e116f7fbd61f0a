package main

import (
	"context"
	"fmt"
	"slices"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
)

// standIn measures what the proxy costs where a storage costs nothing: a read of one storage in
// memory, and a write that three of them vote on.
func standIn(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, strong, 3, 0)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	if s.frames {
		if err := m.addFramed(ctx, binaries); err != nil {
			return nil, err
		}
	}
	reads := map[string]way{
		direct: {conn: m.conns[direct], storage: "gitaly-1"}, proxied: {m.conns[alone], "alone", m.pids[proxied]},
		bare: {m.conns[bare], "gitaly-1", m.pids[bare]}, copying: {m.conns[copying], "gitaly-1", m.pids[copying]},
	}
	if s.frames {
		reads[framed] = way{m.conns[framed], "alone", m.pids[framed]}
	}
	writes := map[string]way{direct: reads[direct], proxied: {m.conns[proxied], "default", m.pids[proxied]}}
	create := func(path string, to way) error {
		for n := range repositoriesFor(slices.Max(unaryClients)) {
			request := &gitalypb.CreateRepositoryRequest{Repository: benchRepository(path+to.storage, to.storage, n)}
			if _, err := gitalypb.NewRepositoryServiceClient(to.conn).CreateRepository(ctx, request); err != nil {
				return fmt.Errorf("create a repository, %s: %w", path, err)
			}
		}
		return nil
	}
	for path, to := range reads {
		if err := create(path, to); err != nil {
			return nil, err
		}
	}
	if err := create(proxied, writes[proxied]); err != nil {
		return nil, err
	}
	var all figures
	for _, clients := range unaryClients {
		read := rounds{name: "read", ways: reads, clients: clients, call: func(ctx context.Context, to way, path string, n int) error {
			return refExists(ctx, to.conn, benchRepository(path+to.storage, to.storage, n%repositories), n)
		}}
		write := rounds{name: "voted_write", ways: writes, clients: clients, call: func(ctx context.Context, to way, path string, n int) error {
			return writeRef(ctx, to.conn, benchRepository(path+to.storage, to.storage, n%repositoriesFor(clients)), n)
		}}
		for _, one := range []rounds{read, write} {
			measured, err := one.run(ctx, s)
			if err != nil {
				return nil, err
			}
			all = append(all, measured...)
		}
	}
	return all, nil
}
