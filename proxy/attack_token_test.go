package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/storage"
	"praefect/test/gitaly/memory"
)

// TestAttack_endlessDeadline: a client that gives its write 292 or 50 years, and then goes,
// leaves nothing behind that lasts longer than two days: neither at the storage nor in the
// ledger nor in this process.
func TestAttack_endlessDeadline(t *testing.T) {
	const longest = 24 * time.Hour
	for name, timeout := range map[string]time.Duration{"292 years": math.MaxInt64, "50 years": 50 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.create("a.git")
			left := make(chan time.Duration, 1) // until the deadline, as the storage is told
			w.storages["gitaly-1"].setHook(func(ctx context.Context, call memory.Call) (bool, error) {
				if call.Method == gitalypb.RepositoryService_WriteRef_FullMethodName {
					deadline, _ := ctx.Deadline()
					left <- time.Until(deadline)
					<-ctx.Done()
					return false, ctx.Err()
				}
				return true, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- w.writeRef(ctx, "a.git", "refs/heads/main", revision) }()
			if d := <-left; d > longest || d < longest-time.Hour {
				t.Errorf("the storage is told of a deadline in %v, want one in %v", d, longest)
			}
			entry := w.node.View().Entry(keyOf("a.git"))
			if !entry.HasLive() || entry.Intents[0].BoundMillis > (2*longest).Milliseconds() {
				t.Errorf("the intent: %+v", entry)
			}
			cancel()
			if err := <-done; status.Code(err) != codes.Canceled {
				t.Errorf("the client: got %v", err)
			}
			w.closed("a.git")
			for _, intent := range w.node.View().Entry(keyOf("a.git")).Intents {
				if intent.InDoubt == nil || intent.InDoubt.BoundMillis > (2*longest).Milliseconds() {
					t.Errorf("what is left: %+v", intent)
				}
			}
			// Nothing spins, so the instance ends before it is forced to.
			ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			w.server.Shutdown(ctx)
			if ctx.Err() != nil {
				t.Error("the instance does not end by itself")
			}
		})
	}
}

// TestRequest_deadline: whatever the client says, a write ends within the longest of a day
// and write_timeout.
func TestRequest_deadline(t *testing.T) {
	for _, d := range []time.Duration{0, time.Second, 25 * time.Hour, math.MaxInt64 / 2, math.MaxInt64} {
		if got := bound(d); got < time.Second || got < d/2 {
			t.Errorf("bound(%v) = %v", d, got)
		}
	}
	endless, cancel := context.WithTimeout(t.Context(), math.MaxInt64)
	defer cancel()
	for _, tc := range []struct{ timeout, want time.Duration }{{time.Minute, 24 * time.Hour}, {48 * time.Hour, 48 * time.Hour}} {
		r := &request{ctx: endless}
		bounded, cancel := r.deadline(tc.timeout)
		defer cancel()
		r.until, _ = bounded.Deadline()
		if got := r.until; time.Until(got) > tc.want || time.Until(got) < tc.want-time.Minute {
			t.Errorf("write timeout %v: the deadline is in %v, want %v", tc.timeout, time.Until(got), tc.want)
		}
		if scope := r.scope(); scope.BoundMillis > (2 * tc.want).Milliseconds() {
			t.Errorf("write timeout %v: in doubt for %d ms", tc.timeout, scope.BoundMillis)
		}
	}
}

// newLargeFixture is newFixture with blobs that fill everything on their way.
func newLargeFixture(t *testing.T, stall time.Duration) *fixture {
	t.Helper()
	return newFixtureSet(t, func(t *testing.T, name string) *backend {
		t.Helper()
		b := &backend{}
		server, err := memory.New(memory.Config{Storages: []string{name}, Token: storageToken, BlobSize: 32 << 20, Hook: b.ask})
		if err != nil {
			t.Fatal(err)
		}
		b.Server, b.serve = server, server.Run
		return b
	}, false, Config{SendStall: stall})
}

// TestAttack_slowReader: a client that takes nothing of a stream loses its call, and
// one that takes it slowly does not.
func TestAttack_slowReader(t *testing.T) {
	const stall = 300 * time.Millisecond
	w := newLargeFixture(t, stall)
	var log lines
	w.server.log = slog.New(slog.NewTextHandler(&log, nil))
	w.create("a.git")
	get := func() gitalypb.BlobService_GetBlobClient {
		blob, err := gitalypb.NewBlobServiceClient(w.conn).GetBlob(t.Context(), &gitalypb.GetBlobRequest{Repository: repository("a.git"), Oid: revision, Limit: -1})
		if err == nil {
			_, err = blob.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		return blob
	}
	get()
	w.eventually(func() error {
		if len(log.with("GetBlob")) == 0 {
			return errors.New("the call is under way")
		}
		return nil
	})
	slow := get()
	pause := time.NewTicker(stall / 10)
	defer pause.Stop()
	for n := 0; ; n++ {
		if _, err := slow.Recv(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("a slow reader: %v", err)
		}
		if n%100 == 0 {
			<-pause.C
		}
	}
}

// TestAttack_slowReaders: 500 clients that take nothing cost what lies on the way to each,
// and all of it is free again once they have had their time.
func TestAttack_slowReaders(t *testing.T) {
	const readers, connections, stall = 500, 5, 3 * time.Second
	w := newLargeFixture(t, stall)
	var log lines
	w.server.log = slog.New(slog.NewTextHandler(&log, nil))
	w.create("a.git")
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := inUse()
	// The storage and the clients are in this process, too. The proxy alone takes 1 MiB of
	// each stream (make attack ATTACKS=slow-readers).
	costOf(t, func() {
		for range connections {
			conn, err := grpc.NewClient("passthrough:///"+w.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithPerRPCCredentials(storage.Credentials(clientToken)), grpc.WithInitialWindowSize(64<<10))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range readers / connections {
				blob, err := gitalypb.NewBlobServiceClient(conn).GetBlob(t.Context(), &gitalypb.GetBlobRequest{Repository: repository("a.git"), Oid: revision, Limit: -1})
				if err == nil {
					_, err = blob.Recv()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		w.eventually(func() error {
			if n := len(log.with("GetBlob")); n < readers {
				return fmt.Errorf("%d of %d calls have ended", n, readers)
			}
			return nil
		})
	}).atMost(t, 8*readers, 5*readers)
	w.eventually(func() error {
		if now := inUse(); now > before+50<<20 {
			return fmt.Errorf("%d MB are left, %d MB before", now>>20, before>>20)
		}
		return nil
	})
}

// talkative is a storage that is well, and ends each call with a long status, however long
// the other side says that it may be.
type talkative struct{ size int }

func (h talkative) serve(ctx context.Context, lis net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = lis.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := lis.Accept()
		if err != nil {
			return nil // it was closed
		}
		closing := context.AfterFunc(ctx, func() { _ = conn.Close() })
		running.Go(func() {
			defer closing()
			h.talk(conn)
			_ = conn.Close()
		})
	}
}

func (h talkative) talk(conn net.Conn) {
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := func(name, value string, more ...string) []byte {
		block.Reset()
		_ = encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) // a bytes.Buffer returns no error
		for i := 0; i < len(more); i += 2 {
			_ = encoder.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]})
		}
		return block.Bytes()
	}
	send := func(stream uint32, end bool, b []byte) error {
		n := min(16<<10, len(b))
		err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b[:n], EndStream: end, EndHeaders: n == len(b)})
		for b = b[n:]; err == nil && len(b) > 0; b = b[n:] {
			n = min(16<<10, len(b))
			err = framer.WriteContinuation(stream, n == len(b), b[:n])
		}
		return err
	}
	answer := func(stream uint32, message proto.Message) error {
		text, err := proto.Marshal(message)
		if err == nil {
			err = send(stream, false, fields(":status", "200", "content-type", "application/grpc"))
		}
		if err == nil {
			err = framer.WriteData(stream, false, append([]byte{0, 0, 0, 0, byte(len(text))}, text...))
		}
		if err == nil {
			err = send(stream, true, fields("grpc-status", "0"))
		}
		return err
	}
	err := framer.WriteSettings()
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			return
		}
		headers, ok := frame.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		switch headers.PseudoValue("path") {
		case healthpb.Health_Check_FullMethodName:
			err = answer(headers.StreamID, &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING})
		case gitalypb.ServerService_ServerInfo_FullMethodName:
			info := &gitalypb.ServerInfoResponse{}
			for _, name := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
				info.StorageStatuses = append(info.StorageStatuses, &gitalypb.ServerInfoResponse_StorageStatus{StorageName: name, FilesystemId: "f"})
			}
			err = answer(headers.StreamID, info)
		default:
			err = send(headers.StreamID, true, fields(":status", "200", "content-type", "application/grpc", "grpc-status", "9", "grpc-message", strings.Repeat("x", h.size)))
		}
	}
}

// TestAttack_longStatuses: a storage's status passes as long as one may be, and is cut in the
// log. One that is longer costs the storage its connection, and this instance nothing.
func TestAttack_longStatuses(t *testing.T) {
	for _, size := range []int{100 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := newFixtureOf(t, func(*testing.T, string) *backend { return &backend{serve: talkative{size}.serve} }, false)
			var log lines
			w.server.log = slog.New(slog.NewTextHandler(&log, nil))
			const calls = 200
			costOf(t, func() {
				var running sync.WaitGroup
				for range 4 {
					running.Go(func() {
						for range calls / 4 {
							_, err := gitalypb.NewRepositoryServiceClient(w.conn).RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")})
							s := status.Convert(err)
							whole := s.Code() == codes.FailedPrecondition && len(s.Message()) == size
							lost := (s.Code() == codes.Unavailable || s.Code() == codes.Internal) && len(s.Message()) < 1000
							if size < maxHeader && !whole || size > maxHeader && !lost {
								t.Errorf("got %v with %d bytes: %.200s", s.Code(), len(s.Message()), s.Message())
								return
							}
						}
					})
				}
				running.Wait()
			}).atMost(t, 100, 100)
			w.eventually(func() error {
				if n := len(log.with("finished call")); n < calls && !t.Failed() {
					return fmt.Errorf("%d calls are in the log", n)
				}
				return nil
			})
			for _, line := range log.with("") {
				if len(line) > 4<<10 {
					t.Fatalf("a line of %d bytes: %.100s", len(line), line)
				}
			}
		})
	}
}
