package proxy

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"praefect/proxy/channel"
	"praefect/proxy/stream"
)

// echo is storages that serve every method there is, and note what arrives. They
// speak the backchannel, and never vote.
type echo struct {
	// fail is the status of a call; nil for success.
	fail func(method string) error
	// answers is what a storage answers; nil for echoed.
	answers func(storage string) []byte

	mu       sync.Mutex
	arrivals []arrival // guarded by mu
}

// arrival is a call that a storage got.
type arrival struct {
	storage, method string
	header          metadata.MD
	messages        [][]byte
}

// echoed is what every answer holds: a field that no message has.
var echoed = []byte{0xfa, 0x3f, 0x02, 'o', 'k'}

// answerTo is echoed, with the word that every repository exists where that is asked.
func answerTo(method string) []byte {
	if method == gitalypb.RepositoryService_RepositoryExists_FullMethodName {
		return append([]byte{0x08, 1}, echoed...)
	}
	return echoed
}

// take returns what has arrived, and forgets it.
func (e *echo) take() []arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.arrivals
	e.arrivals = nil
	return taken
}

// backend is one of the storages.
func (e *echo) backend(t *testing.T, name string) *backend {
	t.Helper()
	return &backend{serve: func(ctx context.Context, lis net.Listener) error {
		server := grpc.NewServer(
			grpc.Creds(channel.NewServerCredentials(insecure.NewCredentials(), channel.Config{})),
			grpc.ForceServerCodecV2(stream.Codec{}),
			grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error { return e.answer(name, ss) }),
		)
		healthpb.RegisterHealthServer(server, health.NewServer())
		gitalypb.RegisterServerServiceServer(server, echoInfo{name: name})
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		return server.Serve(lis)
	}}
}

// answer reads all that the client sends, then answers with as many messages as
// the client asks for.
func (e *echo) answer(name string, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	header, _ := metadata.FromIncomingContext(ss.Context())
	got := arrival{storage: name, method: method, header: header}
	frame := new(stream.Frame)
	for {
		err := ss.RecvMsg(frame)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		got.messages = append(got.messages, frame.Data().Materialize())
		frame.Free()
	}
	e.mu.Lock()
	e.arrivals = append(e.arrivals, got)
	e.mu.Unlock()
	if e.fail != nil {
		if err := e.fail(method); err != nil {
			return err
		}
	}
	answer := answerTo(method)
	if e.answers != nil {
		answer = e.answers(name)
	}
	answers := 1
	if len(header.Get("answers")) > 0 {
		answers = 2
	}
	for range answers {
		if err := ss.SendMsg(stream.NewFrame(mem.BufferSlice{mem.SliceBuffer(answer)})); err != nil {
			return err
		}
	}
	return nil
}

// echoInfo answers what the proxy asks on its own account.
type echoInfo struct {
	gitalypb.UnimplementedServerServiceServer
	name string
}

func (i echoInfo) ServerInfo(context.Context, *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	return &gitalypb.ServerInfoResponse{StorageStatuses: []*gitalypb.ServerInfoResponse_StorageStatus{
		{StorageName: i.name, FilesystemId: "disk of " + i.name, Readable: true, Writeable: true},
	}}, nil
}

func (i echoInfo) DiskStatistics(context.Context, *gitalypb.DiskStatisticsRequest) (*gitalypb.DiskStatisticsResponse, error) {
	return &gitalypb.DiskStatisticsResponse{StorageStatuses: []*gitalypb.DiskStatisticsResponse_StorageStatus{{StorageName: i.name}}}, nil
}
