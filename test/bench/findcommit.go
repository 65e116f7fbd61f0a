package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"praefect/test/cluster"
	"praefect/test/gitaly"
	"praefect/test/workload"
)

// keptCatFiles is how many processes of git a storage keeps for reads of commits, as many as a real
// Gitaly by default.
const keptCatFiles = 100

// serveGit is this program as a storage on real git, of the repositories in a directory.
func serveGit(dir string) error {
	server, err := gitaly.New(gitaly.Config{Storages: map[string]string{"gitaly-1": dir}, Token: memoryToken, CatFiles: keptCatFiles})
	if err != nil {
		return err
	}
	return serveUntilEOF(server.Run)
}

// findCommits measures FindCommit of a storage whose git runs already, as that of a real Gitaly does.
func findCommits(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	dir, err := os.MkdirTemp("", "praefect-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	seeds, err := workload.NewSeeds(ctx, dir, repositoriesFor(slices.Max(nodeClients)))
	if err != nil {
		return nil, err
	}
	disk := filepath.Join(dir, "disk")
	if err := seeds.Disk(ctx, "", disk); err != nil {
		return nil, err
	}
	m, err := inFront(ctx, binaries, eventual, 1, func(string) []string { return []string{"-serve-git", disk} })
	if err != nil {
		return nil, err
	}
	defer m.stop()
	if err := m.addStreamed(ctx, binaries, s); err != nil {
		return nil, err
	}
	var several []rounds
	for _, clients := range nodeClients {
		several = append(several, commitsFound("find_commit", m.ways(alone), clients, seeds))
	}
	return measure(ctx, s, several...)
}

// commitsFound are rounds of FindCommit.
func commitsFound(name string, ways map[string]way, clients int, seeds *workload.Seeds) rounds {
	paths, value := seeds.Paths(), seeds.Values()[0]
	return rounds{name, ways, clients, len(paths), func(ctx context.Context, to way, _ string, n int) error {
		_, err := workload.Client{Conn: to.conn, VirtualStorage: to.storage}.Find(ctx, paths[n%len(paths)], value)
		return err
	}}
}
