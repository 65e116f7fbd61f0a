package stream

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"praefect/proxy/frames"
)

// framing diverts every call that has one request to the storage.
type framing struct {
	backend  *frames.Backend
	diverted atomic.Int32
	passed   atomic.Int32
}

// May implements frames.Policy.
func (f *framing) May(_ net.Conn, fields []hpack.HeaderField) (any, bool) {
	call := shape(frames.Value(fields, ":path"))
	return fields, !call.ClientStreams
}

// Divert implements frames.Policy.
func (f *framing) Divert(call any, first []byte) *frames.Diversion {
	fields := call.([]hpack.HeaderField)
	to := &frames.Diversion{Backend: f.backend, Message: [][]byte{first}, Taken: func() {}}
	to.Ended = func(frames.Result) { f.diverted.Add(1) }
	if timeout, ok := frames.Timeout(fields); ok {
		to.Deadline = time.Now().Add(timeout)
	}
	to.Fields = slices.DeleteFunc(slices.Clone(fields), func(field hpack.HeaderField) bool {
		return field.Name == "grpc-timeout" || field.Name == "grpc-accept-encoding"
	})
	return to
}

// Passed implements frames.Policy.
func (f *framing) Passed(any, frames.Why) { f.passed.Add(1) }

// Dropped implements frames.Policy.
func (f *framing) Dropped(any, time.Time) {}

// framingCredentials put a front before gRPC's server.
type framingCredentials struct {
	credentials.TransportCredentials
	policy *framing
	socket bool
}

// ServerHandshake implements credentials.TransportCredentials.
func (c framingCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	cfg := frames.Config{}
	if c.socket {
		cfg.Socket = raw.(*net.TCPConn)
	}
	return frames.NewFront(conn, c.policy, cfg), info, nil
}

// TestFrames_areTransparent tells the scenarios to a proxy that forwards frames where it can, and the
// rest through a Forwarder. Both kinds of writes to the client are covered: those that a socket takes
// at once, and those of a goroutine.
func TestFrames_areTransparent(t *testing.T) {
	for name, socket := range map[string]bool{"to a socket": true, "by a goroutine": false} {
		t.Run(name, func(t *testing.T) {
			storage := new(shapes)
			server := grpc.NewServer()
			server.RegisterService(storage.desc(), nil)
			addr := listen(t, server)
			raw, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			settings := frames.BackendConfig{}
			if socket {
				settings.Socket = raw.(*net.TCPConn)
			}
			backend, err := frames.NewBackend(raw, settings)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { backend.Close(net.ErrClosed) })
			policy := &framing{backend: backend}
			p := &proxy{outcomes: make(chan Outcome, 1000), storage: dial(t, addr, grpc.WithStatsHandler(StatsHandler{}))}
			t.Cleanup(func() { p.forwarder.Wait(0) })
			front := listen(t, grpc.NewServer(grpc.ForceServerCodecV2(Codec{}), grpc.UnknownServiceHandler(p.handle),
				grpc.MaxHeaderListSize(1<<20), grpc.Creds(framingCredentials{insecure.NewCredentials(), policy, socket})))

			all := append(scenarios(), atOnce())
			compare(t, dial(t, addr), dial(t, front), all, storage)
			var single int32
			for _, sc := range all {
				if strings.HasSuffix(sc.method, "/Unary") || strings.HasSuffix(sc.method, "/ServerStream") {
					single++
				}
			}
			// The one with a large request goes through gRPC.
			if got := policy.diverted.Load(); got != single-1 || policy.passed.Load() != 1 {
				t.Errorf("%d calls were forwarded as frames, want %d; %d were passed", got, single-1, policy.passed.Load())
			}
		})
	}
}
