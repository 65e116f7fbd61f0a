package main

import (
	"context"

	"praefect/test/workload"
)

// commitsFound are rounds of FindCommit.
func commitsFound(name string, ways map[string]way, clients int, seeds *workload.Seeds) rounds {
	paths, value := seeds.Paths(), seeds.Values()[0]
	return rounds{name, ways, clients, len(paths), func(ctx context.Context, to way, _ string, n int) error {
		_, err := workload.Client{Conn: to.conn, VirtualStorage: to.storage}.Find(ctx, paths[n%len(paths)], value)
		return err
	}}
}
