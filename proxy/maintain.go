package proxy

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"praefect/proxy/ledger"
	"praefect/proxy/router"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
)

// maintain sends a maintenance call to every reachable serving storage, best effort:
// the first in-sync one's answer is the client's, and the first error of an in-sync storage, in
// route order, is reported when all have ended. A call that prunes does not go where the replica is
// behind. It changes no content, so it needs no intent; but it needs a lease, because an older view
// may not know of a repair that it would disturb.
func (s *Server) maintain(r *request) error {
	vs := r.keys[0].VirtualStorage
	view, leased := s.ledger.Reading()
	if !leased {
		return ledger.ErrNoLease
	}
	inSync, behind, err := router.RouteMaintenance(view, r.keys[0], s.reachabilityOf(vs))
	if err != nil {
		return err
	}
	conns := s.maintained(vs, inSync)
	if len(conns) == 0 {
		return &router.Refusal{Kind: router.NoInSync, VirtualStorage: vs}
	}
	r.call.storage = conns[0].Target().Storage

	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, conn := range conns[1:] {
		wg.Go(func() { errs[i+1] = s.maintainBeside(ctx, r, conn) })
	}
	if !r.method.Prunes {
		for _, conn := range s.maintained(vs, behind) {
			// A fault of that replica is no fault of the call.
			wg.Go(func() { _ = s.maintainBeside(ctx, r, conn) })
		}
	}
	outcome := s.forward(ctx, r, conns[0], func(o stream.Outcome) error {
		errs[0] = o.Err
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	})
	// Where the client's branch ended without a status, the others end with it.
	cancel()
	wg.Wait()
	return outcome.Err
}

// maintained are the connections to storages that take part in maintenance.
func (s *Server) maintained(vs string, names []string) []*storage.Conn {
	conns := make([]*storage.Conn, 0, len(names))
	for _, name := range names {
		conn, err := s.storages.Conn(vs, name)
		if err != nil {
			s.log.Warn("storage left out of maintenance", "virtual_storage", vs, "storage", name, "err", err)
			continue
		}
		conns = append(conns, conn)
	}
	return conns
}

// maintainBeside runs a call on a storage whose answer is not the client's.
// Maintenance calls are unary: one message each way.
func (s *Server) maintainBeside(ctx context.Context, r *request, conn *storage.Conn) error {
	first := r.firstFor(conn.Target().Storage)
	defer first.Free()
	answer := new(stream.Frame)
	defer answer.Free()
	if err := conn.Invoke(r.outgoing(ctx), r.method.FullName, first, answer, grpc.ForceCodecV2(stream.Codec{})); err != nil {
		s.log.Warn("maintenance failed", "virtual_storage", r.keys[0].VirtualStorage, "relative_path", r.keys[0].RelativePath,
			"storage", conn.Target().Storage, "method", r.method.FullName, "err", err)
		return err
	}
	return nil
}
