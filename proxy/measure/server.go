package measure

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Server counts the calls of clients. Make one with NewServer.
type Server struct{ *calls }

// NewServer makes a Server and registers its metrics. buckets are for the time of a call, in
// seconds.
func NewServer(r prometheus.Registerer, buckets []float64) *Server {
	return &Server{newCalls(r, "server", helps{
		started:  "Total number of RPCs started on the server.",
		handled:  "Total number of RPCs completed on the server, regardless of success or failure.",
		sent:     "Total number of gRPC stream messages sent by the server.",
		received: "Total number of RPC stream messages received on the server.",
		seconds:  "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
	}, buckets)}
}

// Unary is a grpc.UnaryServerInterceptor.
func (c *Server) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	s, start := c.Of(info.FullMethod, KindOf(false, false)), time.Now()
	s.Started()
	s.received.Inc()
	response, err := handle(ctx, req)
	if err == nil {
		s.sent.Inc()
	}
	s.Ended(start, status.Code(err))
	return response, err
}

// Stream counts a stream under a method, which the caller names: that of info may be of the
// client's choice. started says that it was counted as started before.
func (c *Server) Stream(method string, started bool, srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	s, start := c.Of(method, KindOf(info.IsClientStream, info.IsServerStream)), time.Now()
	if !started {
		s.Started()
	}
	err := handle(srv, &measuredServer{ServerStream: ss, series: s})
	s.Ended(start, status.Code(err))
	return err
}

// measuredServer is a stream whose messages are counted.
type measuredServer struct {
	grpc.ServerStream
	series *Series
}

// SendMsg implements grpc.ServerStream.
func (m *measuredServer) SendMsg(message any) error {
	err := m.ServerStream.SendMsg(message)
	if err == nil {
		m.series.sent.Inc()
	}
	return err
}

// RecvMsg implements grpc.ServerStream.
func (m *measuredServer) RecvMsg(message any) error {
	err := m.ServerStream.RecvMsg(message)
	if err == nil {
		m.series.received.Inc()
	}
	return err
}
