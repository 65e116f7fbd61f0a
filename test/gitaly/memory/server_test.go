package memory_test

import (
	"context"
	"fmt"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/gitalytest"
	"praefect/test/gitaly/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer_keepsTheContract(t *testing.T) {
	gitalytest.Exercise(t, newSubject)
}

func TestServer_votes(t *testing.T) {
	gitalytest.ExerciseVotes(t, newSubject)
}

func newSubject(t *testing.T) gitalytest.Subject {
	conn, address, _ := start(t, memory.Config{Token: "secret", BlobSize: 300_000})
	return gitalytest.Subject{
		Conn:    conn,
		Address: address,
		Token:   "secret",
		Storage: "one",
		Other:   "two",
		Seed: func(*testing.T, *gitalypb.Repository) gitalytest.Objects {
			return gitalytest.Objects{
				Commits:  []string{fmt.Sprintf("%040x", 1), fmt.Sprintf("%040x", 2), fmt.Sprintf("%040x", 3)},
				Blob:     fmt.Sprintf("%040x", 4),
				BlobSize: 300_000,
			}
		},
	}
}

// start runs a server with two storages until the test ends.
func start(t *testing.T, config memory.Config) (conn *grpc.ClientConn, address string, server *memory.Server) {
	t.Helper()
	config.Storages = []string{"one", "two"}
	server, err := memory.New(config)
	if err != nil {
		t.Fatalf("new server: %v", err)
	}
	address = gitalytest.Serve(t, server.Run)
	return gitalytest.Dial(t, address, config.Token), address, server
}

func TestServer_hookDecides(t *testing.T) {
	boom := status.Error(codes.ResourceExhausted, "boom")
	for _, row := range []struct {
		name    string
		apply   bool
		err     error
		want    codes.Code
		written bool
	}{
		{"applied", true, nil, codes.OK, true},
		{"answer lost", true, boom, codes.ResourceExhausted, true},
		{"refused", false, boom, codes.ResourceExhausted, false},
		{"claimed", false, nil, codes.OK, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			calls := make(chan memory.Call, 1) // holds the one call under test
			conn, _, _ := start(t, memory.Config{Hook: func(_ context.Context, call memory.Call) (bool, error) {
				if call.Method != "/gitaly.RepositoryService/WriteRef" {
					return true, nil
				}
				calls <- call
				return row.apply, row.err
			}})
			repo := create(t, conn)
			_, err := gitalypb.NewRepositoryServiceClient(conn).WriteRef(t.Context(), &gitalypb.WriteRefRequest{
				Repository: repo, Ref: []byte("refs/heads/main"), Revision: fmt.Appendf(nil, "%040x", 1),
			})
			if got := status.Code(err); got != row.want {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if got, want := <-calls, (memory.Call{Method: "/gitaly.RepositoryService/WriteRef", Storage: "one", RelativePath: "a.git"}); got != want {
				t.Errorf("hook was told %v, want %v", got, want)
			}
			exists, err := gitalypb.NewRefServiceClient(conn).RefExists(t.Context(), &gitalypb.RefExistsRequest{Repository: repo, Ref: []byte("refs/heads/main")})
			if err != nil || exists.GetValue() != row.written {
				t.Errorf("written: got %v, %v, want %v", exists.GetValue(), err, row.written)
			}
		})
	}
}

func create(t *testing.T, conn *grpc.ClientConn) *gitalypb.Repository {
	t.Helper()
	repo := &gitalypb.Repository{StorageName: "one", RelativePath: "a.git"}
	if _, err := gitalypb.NewRepositoryServiceClient(conn).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo}); err != nil {
		t.Fatalf("create: %v", err)
	}
	return repo
}

func TestServer_hookMayWaitForTheCallToEnd(t *testing.T) {
	conn, _, _ := start(t, memory.Config{Hook: func(ctx context.Context, _ memory.Call) (bool, error) {
		<-ctx.Done()
		return false, context.Cause(ctx)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := gitalypb.NewServerServiceClient(conn).ServerInfo(ctx, &gitalypb.ServerInfoRequest{})
		done <- err
	}()
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
}

func TestServer_countsWhatIsPushed(t *testing.T) {
	conn, _, _ := start(t, memory.Config{})
	repo := create(t, conn)
	stream, err := gitalypb.NewSmartHTTPServiceClient(conn).PostReceivePack(t.Context())
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	if err := stream.Send(&gitalypb.PostReceivePackRequest{Repository: repo, GlId: "key-1"}); err != nil {
		t.Fatalf("send header: %v", err)
	}
	for range 10 {
		if err := stream.Send(&gitalypb.PostReceivePackRequest{Data: make([]byte, 1000)}); err != nil {
			t.Fatalf("send data: %v", err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if resp, err := stream.Recv(); err == nil {
		t.Errorf("got %v, want the end", resp)
	}
	refs, err := gitalypb.NewRefServiceClient(conn).ListRefs(t.Context(), &gitalypb.ListRefsRequest{Repository: repo, Patterns: [][]byte{[]byte(memory.ReceivedRef)}})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	resp, err := refs.Recv()
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	if got, want := resp.GetReferences()[0].GetTarget(), fmt.Sprintf("%040x", 10_000); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestServer_replacedDiskIsEmptyAndAnother(t *testing.T) {
	conn, _, server := start(t, memory.Config{})
	repo := create(t, conn)
	id := func() string {
		info, err := gitalypb.NewServerServiceClient(conn).ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
		if err != nil {
			t.Fatalf("server info: %v", err)
		}
		return info.GetStorageStatuses()[0].GetFilesystemId()
	}
	before := id()
	server.Replace("one")
	if id() == before {
		t.Error("file system id is the old one")
	}
	exists, err := gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{Repository: repo})
	if err != nil || exists.GetExists() {
		t.Errorf("exists: got %v, %v, want false", exists.GetExists(), err)
	}
}

func TestServer_killBreaksCalls(t *testing.T) {
	entered := make(chan struct{})
	conn, _, server := start(t, memory.Config{Hook: func(ctx context.Context, _ memory.Call) (bool, error) {
		close(entered)
		<-ctx.Done()
		return false, context.Cause(ctx)
	}})
	done := make(chan error, 1)
	go func() {
		_, err := gitalypb.NewServerServiceClient(conn).ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
		done <- err
	}()
	<-entered
	server.Kill()
	if err := <-done; status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestNew_needsAStorage(t *testing.T) {
	if _, err := memory.New(memory.Config{}); err == nil {
		t.Error("got no error")
	}
}
