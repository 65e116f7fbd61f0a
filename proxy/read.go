package proxy

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/router"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
)

// accessorPolicyHeader lets a client ask for the primary.
const accessorPolicyHeader = "gitaly-route-repository-accessor-policy"

// read forwards an accessor to a storage that is in sync. One that fails before
// the client saw anything of the answer is made up for by another.
func (s *Server) read(r *request) error {
	read := readOf(r)
	vs := read.Key.VirtualStorage
	var failure, answer error
	var asked, answered bool
	withoutLease := func() bool {
		if !asked {
			answered, answer = s.readWithoutLease(r)
			asked = true
		}
		return !answered
	}
	for {
		name, err := s.placeRead(&read, withoutLease)
		switch {
		case answered:
			return answer
		case err != nil && failure != nil:
			return failure // the answers of the storages tell more
		case err != nil:
			return err
		}
		conn, err := s.storages.Conn(vs, name)
		if err != nil {
			failure = err
			continue
		}
		if r.asked && !conn.Backchannel() {
			failure = errNoSidechannels
			continue
		}
		r.call.storage = name
		s.metrics.reads.WithLabelValues(vs, name).Inc()
		// A call that waits for a storage that has fallen silent goes to another one.
		ctx, done := conn.WhileAudible(r.ctx, r.responded.Load)
		outcome := s.forward(ctx, r, conn, nil)
		done()
		if !repeatable(r, outcome) {
			return outcome.Err
		}
		failure = outcome.Err
		s.metrics.retriedReads.WithLabelValues(vs, name).Inc()
	}
}

// readOf is a read as it is routed.
func readOf(r *request) router.Read {
	return router.Read{Key: r.keys[0], PrimaryOnly: r.method.ForcePrimary || wantsPrimary(r)}
}

// errNotLeased says that no storage was named for a read, because this instance has no lease.
var errNotLeased = errors.New("this instance has no lease")

// placeRead names the storage that a read goes to next, and adds it to the storages that were tried.
// Every read of a repository asks here, whether gRPC's server has it or a front. Without a lease the
// view is used only if withoutLease permits that.
func (s *Server) placeRead(read *router.Read, withoutLease func() bool) (string, error) {
	view, leased := s.ledger.Reading()
	if !leased && !withoutLease() { // ▲ driver-read-without-lease: others may know of writes that the view does not
		return "", errNotLeased
	}
	name, err := s.routeRead(view, *read)
	if err != nil {
		return "", err
	}
	read.Tried = append(read.Tried, name)
	return name, nil
}

// routeRead names the storage that serves a read.
func (s *Server) routeRead(view *state.State, read router.Read) (string, error) {
	if s.cfg.RefuseConflicts {
		if err := router.RefuseConflict(view, read.Key); err != nil {
			return "", err
		}
	}
	return router.RouteRead(view, read, s.reachabilityOf(read.Key.VirtualStorage), s.intn)
}

// repeatable tells whether another storage may answer instead: this one was lost,
// and neither side of the client's has been used up.
func repeatable(r *request, o stream.Outcome) bool {
	lost := o.Err != nil && status.Code(o.Err) == codes.Unavailable && o.ClientErr == nil
	return lost && r.untouched(o) && (!o.Ended || !o.Sent)
}

// untouched tells whether neither side of the client's stream has been used up, so
// that the call may be made again.
func (r *request) untouched(o stream.Outcome) bool {
	return !o.Responded && !r.spent && (!r.method.ClientStreams || !o.Sent)
}

func wantsPrimary(r *request) bool {
	policy := metadata.ValueFromIncomingContext(r.ctx, accessorPolicyHeader)
	return len(policy) > 0 && policy[0] == "primary-only"
}

// readStorage forwards an accessor that names a storage to any that serves.
func (s *Server) readStorage(r *request) error {
	_, conn, err := s.routeStorage(r)
	if conn == nil {
		return err
	}
	ctx, done := conn.WhileAudible(r.ctx, r.responded.Load)
	defer done()
	return s.forward(ctx, r, conn, nil).Err
}

// routeStorage names a storage that serves, by the view that it also returns. If
// it returns none, err is how the call ended: a peer answered, or it is refused.
func (s *Server) routeStorage(r *request) (*state.State, *storage.Conn, error) {
	vs := r.named.Storage
	view, leased := s.ledger.Reading()
	if view.VirtualStorage(vs) == nil {
		return nil, nil, invalid(errors.New("virtual storage does not exist"))
	}
	if !leased {
		if answered, err := s.readWithoutLease(r); answered {
			return nil, nil, err
		}
	}
	name, err := router.RouteStorage(view, vs, s.reachabilityOf(vs), s.intn)
	if err != nil {
		return nil, nil, err
	}
	conn, err := s.storages.Conn(vs, name)
	if err != nil {
		return nil, nil, err
	}
	r.call.storage = name
	return view, conn, nil
}
