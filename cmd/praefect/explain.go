package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"praefect/fsm/state"
	"praefect/proxy"
	"praefect/proxy/admin"
	"praefect/proxy/info"
)

// explaining answers questions of operators about one repository. The server is made after their
// service; before that nothing is routed.
type explaining struct {
	server   atomic.Pointer[proxy.Server]
	storages info.Storages
	view     func() *state.State
}

// routes tells where the instance sends the requests of a repository.
func (e *explaining) routes(key state.Key) admin.Routes {
	server := e.server.Load()
	if server == nil {
		const starting = "the instance is starting"
		return admin.Routes{Reads: admin.ReadRoute{Refused: starting}, Writes: admin.WriteRoute{Refused: starting}}
	}
	found := server.Explain(key)
	r := admin.RoutesOf(found.Explanation)
	r.Leased, r.Writes.Eventual, r.Writes.Paused = found.Leased, found.Eventual, found.Paused
	return r
}

// failing are the storages that fail the writes of which they are the primary.
func (e *explaining) failing() []proxy.FailingPrimary {
	server := e.server.Load()
	if server == nil {
		return nil
	}
	return server.FailingPrimaries()
}

// exists asks the in-sync storages of a repository whether they have it.
func (e *explaining) exists(ctx context.Context, key state.Key) (storage string, has bool, err error) {
	view := e.view()
	vs := view.VirtualStorage(key.VirtualStorage)
	if vs == nil {
		return "", false, fmt.Errorf("no virtual storage %q", key.VirtualStorage)
	}
	return info.Exists(ctx, e.storages, vs, view.Entry(key), key.RelativePath)
}
