package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// blobSize is the size of the blob that clients of nodes read.
const blobSize = 2 << 20

// nodeSlice is how long a slice lasts at least: a call of a node takes milliseconds.
const nodeSlice = time.Second

// nodeClients is how many clients nodes have.
var nodeClients = []int{1, 16}

// nodes measures what clients ask for most on nodes that work: of the Gitaly that GITALY_BIN names,
// else of test-gitaly on real git.
func nodes(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	gitaly, err := cluster.FindGitaly(ctx, os.Getenv("GITALY_BIN"), os.Getenv("GITALY_GIT"))
	if err != nil {
		return nil, err
	}
	git, err := prepareGit(ctx, binaries, repositoriesFor(slices.Max(nodeClients)))
	if err != nil {
		return nil, err
	}
	defer git.end()
	git.gitaly, s.slice = gitaly, max(s.slice, nodeSlice)
	c, err := git.cluster(ctx, strong, 1)
	if err != nil {
		return nil, err
	}
	defer stopCluster(ctx, c)
	bundle, blob, err := largeBundle(ctx, c, git.dir, blobSize)
	if err != nil {
		return nil, err
	}
	instance, node := c.Instances[0], c.StoragesOf(alone)[0]
	large := benchRepository("nodes", alone, 0)
	if err := sendBundle(ctx, instance.Conn(), large, bundle); err != nil {
		return nil, fmt.Errorf("create the repository with the blob: %w", err)
	}
	less, helpers, stop, err := past(node.Addr, node.Token)
	defer stop()
	if err != nil {
		return nil, err
	}
	reads := map[string]way{direct: {conn: node.Conn(), storage: node.Name}, proxied: {conn: instance.Conn(), storage: alone, pid: instance.PID()}}
	for path, conn := range less {
		reads[path] = way{conn: conn, storage: node.Name, pid: helpers[path].pid}
	}
	writes := map[string]way{direct: reads[direct], proxied: {conn: instance.Conn(), storage: "default", pid: instance.PID()}}
	paths, value := git.seeds.Paths(), git.seeds.Values()[0]

	var made atomic.Int64 // references that do not exist yet
	var several []rounds
	for _, clients := range nodeClients {
		span := repositoriesFor(clients)
		several = append(several, commitsFound("node_find_commit", reads, clients, git.seeds),
			rounds{"node_ref_exists", reads, clients, len(paths), func(ctx context.Context, to way, _ string, n int) error {
				return refExists(ctx, to.conn, &gitalypb.Repository{StorageName: to.storage, RelativePath: paths[n%len(paths)]}, n)
			}},
			rounds{"node_blob", reads, clients, 1, func(ctx context.Context, to way, _ string, _ int) error {
				size, err := readBlob(ctx, to.conn, &gitalypb.Repository{StorageName: to.storage, RelativePath: large.GetRelativePath()}, blob)
				if err == nil && size != blobSize {
					err = fmt.Errorf("%d bytes came of %d", size, blobSize)
				}
				return err
			}},
			rounds{"node_voted_write", writes, clients, span, func(ctx context.Context, to way, _ string, n int) error {
				ref := fmt.Sprintf("refs/heads/bench-%d-%d", clients, made.Add(1))
				return workload.Client{Conn: to.conn, VirtualStorage: to.storage}.Point(ctx, paths[n%span], ref, value, "")
			}})
	}
	return measure(ctx, s, several...)
}
