package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/frames"
	"praefect/proxy/storage"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

const (
	refExistsMethod = gitalypb.RefService_RefExists_FullMethodName
	getBlobMethod   = gitalypb.BlobService_GetBlob_FullMethodName
)

// forwardsFrames has the fixtures that the test makes forward reads as frames, or through gRPC.
func forwardsFrames(t *testing.T, as bool) {
	t.Helper()
	before := framesOn
	framesOn = as
	t.Cleanup(func() { framesOn = before })
}

// TestFrames_bothWays runs tests of reads, of tokens and of the log again on the other way.
func TestFrames_bothWays(t *testing.T) {
	forwardsFrames(t, !framesOn)
	for name, test := range map[string]func(*testing.T){
		"every method":              TestRouting_everyMethod,
		"spread":                    TestRead_spreadsOverStoragesInSync,
		"behind":                    TestRead_ofRepositoryThatIsBehindGoesToThePrimary,
		"primary only":              TestRead_primaryOnly,
		"storage lost":              TestRead_isMadeUpForByAnotherStorage,
		"storage silent":            TestRead_silentStorageIsMadeUpFor,
		"bulk":                      TestRead_bulkStream,
		"without a lease":           TestRead_withoutLeaseIsServedAndMarked,
		"errors of a storage":       TestWrite_errorsOfTheStoragePassUntouched,
		"a write's storage is gone": TestWrite_storageGoneMidCall,
		"payload in the log":        TestServer_logsPayloadBytes,
		"bounded log":               TestLog_isBounded,
		"maintenance":               TestMaintain_goesToAllThatServe,
		"long statuses":             TestAttack_longStatuses,
		"half-open connections":     TestAttack_halfOpen,
		"infos":                     TestInfo_showsVirtualStorages,
	} {
		t.Run(name, test)
	}
}

// framed is a fixture whose reads are forwarded as frames, and a connection to it over TCP that has
// shown the token.
func framed(t *testing.T) (*fixture, *grpc.ClientConn) {
	t.Helper()
	forwardsFrames(t, true)
	w := newFixture(t)
	return w, w.proved(w.tcp(storage.Credentials(clientToken)))
}

// diverted is how many calls of a method came to storages past gRPC.
func (w *fixture) diverted(method string) (n int) {
	for _, b := range w.storages {
		for _, call := range b.asked() {
			if call.Method == method {
				n++
			}
		}
	}
	return n - w.forwarded(method)
}

// exists asks over a connection for a reference of a repository.
func exists(ctx context.Context, conn *grpc.ClientConn, path string, opts ...grpc.CallOption) error {
	_, err := gitalypb.NewRefServiceClient(conn).RefExists(ctx, &gitalypb.RefExistsRequest{Repository: repository(path), Ref: []byte("refs/heads/main")}, opts...)
	return err
}

// TestFrames_readsGoPastGRPC, to the storage that was routed to and under its name.
func TestFrames_readsGoPastGRPC(t *testing.T) {
	w, conn := framed(t)
	for range 30 {
		if err := exists(t.Context(), conn, "a.git"); status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
	}
	if n := w.diverted(refExistsMethod); n != 30 {
		t.Errorf("%d of 30 reads were forwarded as frames", n)
	}
	for name, b := range w.storages {
		for _, call := range b.asked() {
			if call.Storage != name || call.RelativePath != "a.git" {
				t.Errorf("%s was asked for %+v", name, call)
			}
		}
	}
}

// TestFrames_firstCallIsForTheTap: a connection that has shown no token has nothing forwarded past it.
func TestFrames_firstCallIsForTheTap(t *testing.T) {
	w, _ := framed(t)
	if err := exists(t.Context(), w.tcp(storage.Credentials(clientToken)), "a.git"); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	if n := w.diverted(refExistsMethod); n != 0 {
		t.Errorf("%d reads were forwarded as frames", n)
	}
}

// TestFrames_aWrongTokenIsRefused, on a connection that has shown the right one, and the former one
// as soon as it is replaced.
func TestFrames_aWrongTokenIsRefused(t *testing.T) {
	w, _ := framed(t)
	conn := w.tcp(nil)
	shows := func(secret string) error {
		return exists(metadata.AppendToOutgoingContext(t.Context(), "authorization", storage.Token(secret, time.Now())), conn, "a.git")
	}
	for range 3 { // the first one proves the connection
		if err := shows(clientToken); status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
	}
	before := w.diverted(refExistsMethod)
	if before == 0 {
		t.Error("no read was forwarded as frames: the test shows nothing")
	}
	refused := func(what, secret string, want codes.Code) {
		t.Helper()
		before := asked(w)
		if err := shows(secret); status.Code(err) != want {
			t.Errorf("%s: got %v", what, err)
		}
		if asked(w) != before {
			t.Errorf("%s: a storage was asked", what)
		}
	}
	refused("a wrong token", "wrong", codes.PermissionDenied)
	if err := exists(t.Context(), conn, "a.git"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no token: got %v", err)
	}
	w.server.SetAuth(Auth{Token: "another"})
	refused("the former token", clientToken, codes.PermissionDenied)
	for range 2 {
		if err := shows("another"); status.Code(err) != codes.NotFound {
			t.Errorf("the new token: got %v", err)
		}
	}
	if n := w.diverted(refExistsMethod); n <= before {
		t.Error("no read with the new token was forwarded as frames")
	}
	w.server.SetAuth(Auth{Token: "third", Previous: "another"})
	before = w.diverted(refExistsMethod)
	if err := shows("another"); status.Code(err) != codes.NotFound {
		t.Errorf("the previous token: got %v", err)
	}
	if n := w.diverted(refExistsMethod); n != before {
		t.Error("a read with the previous token was forwarded as frames: it is not counted as such")
	}
}

// TestFrames_withoutLeaseReadsAreGRPCs: only there are they marked, passed on or refused.
func TestFrames_withoutLeaseReadsAreGRPCs(t *testing.T) {
	w, conn := framed(t)
	w.session.lose(true)
	var trailer metadata.MD
	err := exists(t.Context(), conn, "a.git", grpc.Trailer(&trailer))
	if status.Code(err) != codes.NotFound || len(trailer.Get(oldViewTrailer)) != 1 || w.diverted(refExistsMethod) != 0 {
		t.Errorf("got %v, trailer %v, %d as frames", err, trailer, w.diverted(refExistsMethod))
	}
	w.session.lose(false)
	trailer = nil
	err = exists(t.Context(), conn, "a.git", grpc.Trailer(&trailer))
	if status.Code(err) != codes.NotFound || len(trailer.Get(oldViewTrailer)) != 0 || w.diverted(refExistsMethod) != 1 {
		t.Errorf("under a lease: got %v, trailer %v, %d as frames", err, trailer, w.diverted(refExistsMethod))
	}
}

// TestFrames_storageIsLostBeforeItAnswers: another one answers, through gRPC, and the call counts as
// retried.
func TestFrames_storageIsLostBeforeItAnswers(t *testing.T) {
	w, conn := framed(t)
	victim := w.storages["gitaly-2"]
	var struck bool
	before := w.sample("grpc_server_handled_total")
	const reads = 40
	victim.setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		struck = struck || w.to(refExistsMethod, "gitaly-2") == 0
		victim.Kill()
		<-ctx.Done()
		return true, nil
	})
	for i := range reads {
		if err := exists(t.Context(), conn, "a.git"); status.Code(err) != codes.NotFound {
			t.Fatalf("read %d: %v", i, err)
		}
	}
	if len(victim.asked()) == 0 || !struck {
		t.Error("the storage that died was never asked with frames: the test shows nothing")
	}
	if n := w.sample("praefect_reads_retried_total"); n == 0 {
		t.Error("no read counts as retried")
	}
	w.eventually(func() error {
		started, handled := w.sample("grpc_server_started_total")-before, w.sample("grpc_server_handled_total")-before
		if started != reads || handled != reads {
			return fmt.Errorf("%v reads count as started, %v as handled", started, handled)
		}
		return nil
	})
}

// sumOf downloads a blob, and says what came.
func sumOf(t *testing.T, conn *grpc.ClientConn, storage string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	blob, err := gitalypb.NewBlobServiceClient(conn).GetBlob(ctx, &gitalypb.GetBlobRequest{
		Repository: &gitalypb.Repository{StorageName: storage, RelativePath: "a.git"}, Oid: revision, Limit: -1,
	})
	must.Succeed(t, err)
	hash, size := sha256.New(), 0
	for {
		part, err := blob.Recv()
		if err == io.EOF {
			return fmt.Sprintf("%d bytes, %x", size, hash.Sum(nil))
		}
		must.Succeed(t, err)
		size += len(part.GetData())
		hash.Write(part.GetData())
	}
}

// withBlobs makes storages whose blobs have a size, and which are reached over TLS if there is a certificate.
func withBlobs(size int64, server *tls.Config, roots *x509.CertPool) func(*testing.T, string) *backend {
	return func(t *testing.T, name string) *backend {
		t.Helper()
		b := &backend{}
		m, err := memory.New(memory.Config{Storages: []string{name}, Token: storageToken, BlobSize: size, Hook: b.ask})
		must.Succeed(t, err)
		b.Server, b.serve = m, m.Run
		if server != nil {
			b.roots = roots
			b.serve = func(ctx context.Context, lis net.Listener) error { return m.Run(ctx, tls.NewListener(lis, server)) }
		}
		return b
	}
}

// TestFrames_largeAnswer compares a blob that is larger than every window with the storage's own.
func TestFrames_largeAnswer(t *testing.T) {
	forwardsFrames(t, true)
	w := newFixtureOf(t, withBlobs(40<<20, nil, nil), true)
	w.create("a.git")
	conn := w.proved(w.tcp(storage.Credentials(clientToken)))
	direct, err := storage.NewClient("tcp://"+w.storages["gitaly-1"].address, storageToken)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	want := sumOf(t, direct, "gitaly-1")
	before := w.diverted(getBlobMethod) // that one
	for range 2 {
		if got := sumOf(t, conn, "default"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n := w.diverted(getBlobMethod) - before; n != 2 {
		t.Errorf("%d of 2 were forwarded as frames", n)
	}
}

// as is how many reads the metric counts with an outcome.
func (w *fixture) as(outcome frames.Why) float64 {
	return testutil.ToFloat64(w.server.metrics.frames.WithLabelValues(string(outcome)))
}

// TestFrames_noRoomIsCountedOnce: a read that the storage's connection has no window for counts where gRPC
// sends it, and nowhere else.
func TestFrames_noRoomIsCountedOnce(t *testing.T) {
	w, conn := framed(t)
	request := &gitalypb.RefExistsRequest{Repository: repository("a.git"), Ref: make([]byte, 65_000)}
	request.Ref = append(request.Ref, make([]byte, 1<<16-proto.Size(request))...) // as much as a front holds
	_, err := gitalypb.NewRefServiceClient(conn).RefExists(t.Context(), request)
	wants(t, err, codes.NotFound)
	if full, diverted := w.as(frames.Full), w.as(asDiverted); full != 1 || diverted != 0 {
		t.Errorf("%v reads found no room, %v were diverted", full, diverted)
	}
	if n := w.sample("gitaly_praefect_read_distribution"); n != 1 {
		t.Errorf("one read was routed %v times", n)
	}
	if n := w.sample("praefect_reads_retried_total"); n != 0 {
		t.Errorf("%v reads were retried", n)
	}
	w.eventually(func() error {
		started, ended := w.sample("grpc_client_started_total"), w.sample("grpc_client_handled_total")
		if started != ended {
			return fmt.Errorf("%v calls to storages began, %v have ended", started, ended)
		}
		return nil
	})
}

// TestFrames_outcomes: the metric says why reads were not diverted.
func TestFrames_outcomes(t *testing.T) {
	w, conn := framed(t)
	read := func(ctx context.Context, want frames.Why, conn *grpc.ClientConn) {
		t.Helper()
		before := w.as(want)
		wants(t, exists(ctx, conn, "a.git"), codes.NotFound)
		w.eventually(func() error { // the answer is ahead of the count
			if n := w.as(want) - before; n != 1 {
				return fmt.Errorf("%s: %v reads are counted", want, n)
			}
			return nil
		})
	}
	read(t.Context(), asDiverted, conn)
	read(metadata.AppendToOutgoingContext(t.Context(), "trace-bin", "x"), frames.Headers, conn)
	read(t.Context(), whyToken, w.tcp(storage.Credentials(clientToken)))
	w.session.lose(true)
	read(t.Context(), whyRoute, conn)
	w.session.lose(false)
	w.eventually(func() error { // the connections are soon made again
		for _, name := range all {
			to, err := w.server.storages.Conn("default", name)
			if err != nil {
				return err
			}
			if backend, _, ok := to.Divert(""); ok {
				backend.Close(errors.New("the test closes it"))
				to.Diverted()
			}
		}
		wants(t, exists(t.Context(), conn, "a.git"), codes.NotFound)
		if w.as(whyConnection) == 0 {
			return errors.New("no read found that there is no connection for frames")
		}
		return nil
	})
}

// underWay begins a read that waits at its storage, until end is closed.
func (w *fixture) underWay(conn *grpc.ClientConn, end <-chan struct{}) (done chan error) {
	w.t.Helper()
	began := make(chan struct{}, 1)
	for _, b := range w.storages {
		b.setHook(func(ctx context.Context, call memory.Call) (bool, error) {
			began <- struct{}{}
			select {
			case <-end:
			case <-ctx.Done():
			}
			return true, nil
		})
	}
	done = make(chan error, 1)
	go func() { done <- exists(w.t.Context(), conn, "a.git") }()
	<-began
	if n := w.diverted(refExistsMethod); n != 1 {
		w.t.Fatalf("%d reads are under way as frames", n)
	}
	return done
}

// TestFrames_callsUnderWayCount for the storage's connection, by which reads are balanced.
func TestFrames_callsUnderWayCount(t *testing.T) {
	w, conn := framed(t)
	end := make(chan struct{})
	done := w.underWay(conn, end)
	outstanding := func() (n int64) {
		for _, name := range all {
			to, err := w.server.storages.Conn("default", name)
			if err != nil {
				t.Fatal(err)
			}
			n += to.Outstanding()
		}
		return n
	}
	if n := outstanding(); n != 1 {
		t.Errorf("outstanding while the read is under way: %d", n)
	}
	close(end)
	if err := <-done; status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	w.eventually(func() error {
		if n := outstanding(); n != 0 {
			return fmt.Errorf("outstanding after the read: %d", n)
		}
		return nil
	})
}

// TestFrames_shutdownWaits for calls past gRPC's server, until its context ends.
func TestFrames_shutdownWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		ends bool
		code codes.Code
	}{"the call ends": {true, codes.NotFound}, "the call is cut off": {false, codes.Unavailable}} {
		t.Run(name, func(t *testing.T) {
			w, conn := framed(t)
			end := make(chan struct{})
			done := w.underWay(conn, end)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stopped := make(chan struct{})
			go func() {
				w.server.Shutdown(ctx)
				close(stopped)
			}()
			select {
			case <-stopped:
				t.Error("Shutdown did not wait")
			case err := <-done:
				t.Errorf("the call ended: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			if tc.ends {
				close(end)
			} else {
				cancel()
				defer close(end)
			}
			if err := <-done; status.Code(err) != tc.code {
				t.Errorf("got %v, want %v", err, tc.code)
			}
			<-stopped
		})
	}
}

// TestServer_survivesAPanic of a call past gRPC, and counts it.
func TestServer_survivesAPanic(t *testing.T) {
	w := newFixture(t)
	instead := false
	func() {
		defer w.server.survive("/a/b", func() { instead = true })
		panic(errors.New("a fault"))
	}()
	if !instead || w.sample("praefect_panics_total") != 1 {
		t.Errorf("instead %t, %v panics", instead, w.sample("praefect_panics_total"))
	}
}

// tcp dials the instance over TCP with the given credentials.
func (w *fixture) tcp(creds credentials.PerRPCCredentials) *grpc.ClientConn {
	w.t.Helper()
	opts := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if creds != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(creds))
	}
	conn, err := grpc.NewClient("passthrough:///"+w.address, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// proved has a connection show its token, so that the next calls need not pass the tap.
func (w *fixture) proved(conn *grpc.ClientConn) *grpc.ClientConn {
	w.t.Helper()
	if _, err := healthpb.NewHealthClient(conn).Check(w.t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		w.t.Fatal(err)
	}
	return conn
}
