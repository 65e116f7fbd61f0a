package main

import (
	"context"

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
	if err := m.addStreamed(ctx, binaries, s); err != nil {
		return nil, err
	}
	reads := m.ways(alone)
	writes := map[string]way{proxied: m.ways("default")[proxied]}
	for _, ways := range []map[string]way{reads, writes} {
		if err := createIn(ctx, ways); err != nil {
			return nil, err
		}
	}
	writes[direct] = reads[direct]
	var several []rounds
	for _, clients := range unaryClients {
		several = append(several, cheap("read", reads, clients, refExists), cheap("voted_write", writes, clients, writeRef))
	}
	return measure(ctx, s, several...)
}
