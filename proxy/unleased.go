package proxy

import (
	"context"
	"errors"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"praefect/proxy/channel"
	"praefect/proxy/ledger"
	"praefect/proxy/stream"
)

const (
	// passedOnHeader marks a call that another instance has passed on: it goes
	// no further.
	passedOnHeader = "praefect-passed-on"
	// oldViewTrailer marks an answer by the last view of an instance that had no
	// lease: acknowledged writes may be missing in it.
	oldViewTrailer = "praefect-without-lease"
	// refusedTrailer marks the refusal of an instance that had no lease.
	refusedTrailer = "praefect-refused-without-lease"
	// leaseService is the service whose health is that of the lease.
	leaseService = "praefect.lease"
)

// The outcomes of reads without a lease.
const (
	readPassedOn = "passed_on"
	readServed   = "served"
	readRefused  = "refused"
)

// readWithoutLease has a read answered while this instance has no lease: by a
// peer that has one, or by a refusal. If it did neither, the caller serves the
// read by the last view; the answer is marked.
func (s *Server) readWithoutLease(r *request) (answered bool, err error) {
	// A peer that passed it on can choose better than this instance.
	last := len(metadata.ValueFromIncomingContext(r.ctx, passedOnHeader)) > 0
	if !last {
		if conn := s.peers.leased(r.ctx); conn != nil {
			outcome := s.passOn(r, conn)
			if outcome.Err != errPeerRefused && !repeatable(r, outcome) {
				s.metrics.unleased.WithLabelValues(readPassedOn).Inc()
				return true, outcome.Err
			}
			s.peers.forget(conn)
		}
	}
	if last || s.cfg.RefuseReads {
		r.stream.SetTrailer(metadata.Pairs(refusedTrailer, "true"))
		s.metrics.unleased.WithLabelValues(readRefused).Inc()
		return true, ledger.ErrNoLease
	}
	s.metrics.unleased.WithLabelValues(readServed).Inc()
	r.stream.SetTrailer(metadata.Pairs(oldViewTrailer, "true"))
	return false, nil
}

// passOn forwards a call to another instance as it came, with the client's own
// credentials.
func (s *Server) passOn(r *request, conn *peerConn) stream.Outcome {
	r.call.storage = conn.name
	md, _ := metadata.FromIncomingContext(r.ctx) // a copy of our own
	delete(md, channel.IDHeader)
	delete(md, adminHeader)
	md.Set(passedOnHeader, "true")
	md.Set(correlationHeader, r.call.correlationID)
	ctx, side, err := s.expect(metadata.NewOutgoingContext(r.ctx, md), r, &conn.sidechannels)
	if err != nil {
		return stream.Outcome{Err: err} // nothing was sent
	}
	data := r.first.Data()
	data.Ref()
	call := r.wire
	call.BeforeStatus = side.before(func(o stream.Outcome) error {
		if len(o.Trailer.Get(refusedTrailer)) > 0 && !o.Responded {
			return errPeerRefused
		}
		return nil
	})
	branch, err := stream.Open(ctx, conn.forCall(r), call, stream.NewFrame(data))
	if err != nil {
		_ = side.end()                  // for which nothing came,
		return stream.Outcome{Err: err} // because nothing was sent
	}
	return s.forwarder.Forward(r.stream, call, branch)
}

// errPeerRefused says that a peer had lost its lease, too, when a read came.
var errPeerRefused = errors.New("the peer has no lease")

// healthService answers for the lease, and for all else as the server does.
type healthService struct {
	*health.Server
	ledger *ledger.Ledger
}

// Check implements the health service.
func (h healthService) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if r.GetService() != leaseService {
		return h.Server.Check(ctx, r)
	}
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if _, leased := h.ledger.Reading(); leased {
		status = healthpb.HealthCheckResponse_SERVING
	}
	return &healthpb.HealthCheckResponse{Status: status}, nil
}
