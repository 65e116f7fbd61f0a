package proxy

import (
	"context"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/test/gitaly/memory"
)

// raw makes one unary call with the given bytes as its message.
func raw(ctx context.Context, conn *grpc.ClientConn, method string, message []byte) error {
	request := stream.NewFrame(mem.BufferSlice{mem.SliceBuffer(message)})
	answer := new(stream.Frame)
	defer answer.Free()
	return conn.Invoke(ctx, method, request, answer, grpc.ForceCodecV2(stream.Codec{}))
}

// TestServer_badInput: a bad request gets its code, and nothing is touched (P8).
func TestServer_badInput(t *testing.T) {
	w := newFixture(t)
	ctx := t.Context()
	refs := gitalypb.NewRefServiceClient(w.conn)
	repositories := gitalypb.NewRepositoryServiceClient(w.conn)
	exists := func(conn *grpc.ClientConn) error {
		_, err := gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")})
		return err
	}
	create := func(repository *gitalypb.Repository) error {
		_, err := repositories.CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: repository})
		return err
	}
	for _, tc := range []struct {
		name    string
		call    func() error
		code    codes.Code
		message string
	}{
		{"no token", func() error { return exists(w.client(nil)) }, codes.Unauthenticated, "authentication required"},
		{"no token, unknown method", func() error { return raw(ctx, w.client(nil), "/gitaly.NoService/NoMethod", nil) }, codes.Unauthenticated, ""},
		{"wrong token", func() error { return exists(w.client(storage.Credentials("guess"))) }, codes.PermissionDenied, "permission denied"},
		{"the storages' token", func() error { return exists(w.client(storage.Credentials(storageToken))) }, codes.PermissionDenied, ""},
		{"token 31 s old", func() error { return exists(w.client(dated(-31 * time.Second))) }, codes.PermissionDenied, "behind this instance's"},
		{"token 31 s ahead", func() error { return exists(w.client(dated(32 * time.Second))) }, codes.PermissionDenied, "ahead of this instance's"},
		{"unknown method", func() error { return raw(ctx, w.conn, "/gitaly.RefService/Conjure", nil) }, codes.Unimplemented, "/gitaly.RefService/Conjure"},
		{"unknown service", func() error { return raw(ctx, w.conn, "/no.Service/Method", nil) }, codes.Unimplemented, ""},
		{"method that is ours alone", func() error {
			return raw(ctx, w.conn, "/gitaly.PraefectInfoService/Dataloss", nil)
		}, codes.Unimplemented, ""},
		{"unknown virtual storage, write", func() error {
			return create(&gitalypb.Repository{StorageName: "elsewhere", RelativePath: "a.git"})
		}, codes.InvalidArgument, "storage name not found"},
		{"unknown virtual storage, read", func() error {
			_, err := refs.RefExists(ctx, &gitalypb.RefExistsRequest{Repository: &gitalypb.Repository{StorageName: "gitaly-1", RelativePath: "a.git"}})
			return err
		}, codes.InvalidArgument, "storage name not found"},
		{"no repository", func() error { return create(nil) }, codes.InvalidArgument, "repository not set"},
		{"empty path", func() error { return create(repository("")) }, codes.InvalidArgument, "repository path not set"},
		{"empty storage", func() error { return create(&gitalypb.Repository{RelativePath: "a.git"}) }, codes.InvalidArgument, "storage name not set"},
		{"escaping path", func() error { return create(repository("../../etc/passwd")) }, codes.InvalidArgument, "escapes"},
		{"path that escapes in the middle", func() error { return create(repository("a/../../b.git")) }, codes.InvalidArgument, "escapes"},
		{"absolute path", func() error { return create(repository("/a.git")) }, codes.InvalidArgument, "absolute"},
		{"two names for one path", func() error { return create(repository("a//b.git")) }, codes.InvalidArgument, "not clean"},
		{"NUL in the path", func() error { return create(repository("a\x00.git")) }, codes.InvalidArgument, "NUL"},
		{"truncated first message", func() error {
			return raw(ctx, w.conn, gitalypb.RepositoryService_CreateRepository_FullMethodName, []byte{0x0a, 0x20, 0x12})
		}, codes.InvalidArgument, "first message"},
		{"first message of another type", func() error {
			return raw(ctx, w.conn, gitalypb.RepositoryService_CreateRepository_FullMethodName, []byte{0x08, 0x01})
		}, codes.InvalidArgument, ""},
		{"first message is text", func() error {
			return raw(ctx, w.conn, gitalypb.RefService_RefExists_FullMethodName, []byte("GET / HTTP/1.1\r\n\r\n"))
		}, codes.InvalidArgument, ""},
		{"first message of 5 MB", func() error {
			_, err := refs.RefExists(ctx, &gitalypb.RefExistsRequest{Repository: repository("a.git"), Ref: make([]byte, 5<<20)})
			return err
		}, codes.ResourceExhausted, ""},
		{"storage scope, no storage", func() error { return walk(ctx, w.conn, "") }, codes.InvalidArgument, ""},
		{"storage scope, unknown", func() error { return walk(ctx, w.conn, "elsewhere") }, codes.InvalidArgument, ""},
		{"mutator of a whole storage", func() error {
			return raw(ctx, w.conn, "/gitaly.RepositoryService/RemoveAll", []byte("\x0a\x07default"))
		}, codes.Unimplemented, ""},
		{"no message at all", func() error {
			stream, err := gitalypb.NewOperationServiceClient(w.conn).UserCommitFiles(ctx)
			if err != nil {
				return err
			}
			_, err = stream.CloseAndRecv()
			return err
		}, codes.InvalidArgument, "repository not set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.call()
			if got := status.Code(err); got != tc.code {
				t.Errorf("got %v (%v), want %v", got, err, tc.code)
			}
			if !strings.Contains(status.Convert(err).Message(), tc.message) {
				t.Errorf("message %q lacks %q", status.Convert(err).Message(), tc.message)
			}
		})
	}
	w.untouched()
}

// dated is credentials whose clock is off.
func dated(d time.Duration) credentials.PerRPCCredentials { return datedCredentials(d) }

type datedCredentials time.Duration

func (d datedCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": storage.Token(clientToken, time.Now().Add(time.Duration(d)))}, nil
}

func (datedCredentials) RequireTransportSecurity() bool { return false }

func walk(ctx context.Context, conn *grpc.ClientConn, storage string) error {
	repos, err := gitalypb.NewInternalGitalyClient(conn).WalkRepos(ctx, &gitalypb.WalkReposRequest{StorageName: storage})
	if err != nil {
		return err
	}
	_, err = repos.Recv()
	return err
}

func TestServer_clientGoneIsCanceled(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	reached := make(chan struct{})
	hang := func(ctx context.Context, _ memory.Call) (bool, error) {
		close(reached)
		<-ctx.Done()
		return false, ctx.Err()
	}
	w.storages["gitaly-1"].setHook(hang)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := gitalypb.NewRepositoryServiceClient(w.conn).WriteRef(ctx, &gitalypb.WriteRefRequest{
			Repository: repository("a.git"), Ref: []byte("refs/heads/main"), Revision: []byte(strings.Repeat("1", 40)),
		})
		done <- err
	}()
	<-reached
	cancel()
	if code := status.Code(<-done); code != codes.Canceled {
		t.Errorf("got %v, want Canceled", code)
	}
	// Its effect may still come: it must end dirty, not clean.
	w.closed("a.git")
	if entry := w.node.View().Entry(keyOf("a.git")); !entry.HasDoubt() {
		t.Errorf("entry: %+v", entry)
	}
}

func TestServer_clientsMetadataDoesNotReachStorages(t *testing.T) {
	w := newFixture(t)
	seen := make(chan metadata.MD, 1)
	w.storages["gitaly-1"].setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
		return true, nil
	})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "gitaly-feature-something", "true", "gitaly-route-repository-accessor-policy", "primary-only",
		adminHeader, "proof of an operator", passedOnHeader, "true")
	if _, err := gitalypb.NewRepositoryServiceClient(w.conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")}); err != nil {
		t.Fatal(err)
	}
	md := <-seen
	if tokens := md.Get("authorization"); len(tokens) != 1 || strings.Contains(tokens[0], storage.Token(clientToken, time.Now())) {
		t.Errorf("authorization at the storage: %q", tokens)
	}
	if got := append(md.Get(adminHeader), md.Get(passedOnHeader)...); len(got) > 0 {
		t.Errorf("at the storage: %q", got)
	}
	if got := md.Get("gitaly-feature-something"); len(got) != 1 || got[0] != "true" {
		t.Errorf("feature flag at the storage: %q", got)
	}
	if got := md.Get(correlationHeader); len(got) != 1 || got[0] == "" {
		t.Errorf("correlation id at the storage: %q", got)
	}
}
