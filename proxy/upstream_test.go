package proxy

import (
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/storage"
)

// TestServer_failsInTheWordsOfUpstream: clients that know upstream's codes and
// messages find them. Where a row says why, ours differ on purpose.
func TestServer_failsInTheWordsOfUpstream(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	ctx := t.Context()
	repositories := gitalypb.NewRepositoryServiceClient(w.conn)
	refs := gitalypb.NewRefServiceClient(w.conn)
	read := func(r *gitalypb.Repository) func() error {
		return func() error {
			_, err := refs.RefExists(ctx, &gitalypb.RefExistsRequest{Repository: r, Ref: []byte("refs/heads/main")})
			return err
		}
	}
	write := func(r *gitalypb.Repository) func() error {
		return func() error {
			_, err := repositories.CreateRepository(ctx, &gitalypb.CreateRepositoryRequest{Repository: r})
			return err
		}
	}
	for _, tc := range []struct {
		name    string
		call    func() error
		code    codes.Code
		message string // all of it, or with a "…" at either end a part
		why     string
	}{
		{"no token", func() error { return walk(ctx, w.client(nil), "default") }, codes.Unauthenticated, "authentication required", ""},
		{"wrong token", func() error { return walk(ctx, w.client(storage.Credentials("guess")), "default") }, codes.PermissionDenied, "permission denied", ""},
		{"unknown method", func() error { return raw(ctx, w.conn, "/gitaly.RefService/Conjure", nil) }, codes.Unimplemented, "…/gitaly.RefService/Conjure…",
			"Internal says that something is broken; Unimplemented is what a server says that lacks a method, and what clients probe for"},
		{"no repository", write(nil), codes.InvalidArgument, "repository not set", ""},
		{"no storage name", write(&gitalypb.Repository{RelativePath: "a.git"}), codes.InvalidArgument, "storage name not set", ""},
		{"no path", read(&gitalypb.Repository{StorageName: "default"}), codes.InvalidArgument, "repository path not set", ""},
		{"unknown virtual storage, read", read(&gitalypb.Repository{StorageName: "v", RelativePath: "a.git"}), codes.InvalidArgument, "storage name not found", ""},
		{"unknown virtual storage, write", write(&gitalypb.Repository{StorageName: "v", RelativePath: "a.git"}), codes.InvalidArgument, "storage name not found", ""},
		{"unknown virtual storage, maintenance", func() error {
			_, err := repositories.OptimizeRepository(ctx, &gitalypb.OptimizeRepositoryRequest{Repository: &gitalypb.Repository{StorageName: "v", RelativePath: "a.git"}})
			return err
		}, codes.InvalidArgument, "storage name not found", ""},
		{"unknown virtual storage, storage scope", func() error { return walk(ctx, w.conn, "v") }, codes.InvalidArgument, "virtual storage does not exist", ""},
		{"empty storage, storage scope", func() error { return walk(ctx, w.conn, "") }, codes.InvalidArgument, "storage scoped: target storage is invalid", ""},
		{"mutator of a storage", func() error {
			return raw(ctx, w.conn, gitalypb.RepositoryService_RemoveAll_FullMethodName, []byte("\x0a\x07default"))
		}, codes.Unimplemented, "…WalkRepos…RemoveRepository", "Internal would be repeated; the message says what to do instead"},
		{"absent repository", read(repository("absent.git")), codes.NotFound, "repository not found", ""},
		{"a second repository elsewhere", func() error {
			_, err := gitalypb.NewObjectPoolServiceClient(w.conn).CreateObjectPool(ctx, &gitalypb.CreateObjectPoolRequest{
				ObjectPool: pool("@pools/ab/12/" + poolDigest + ".git"), Origin: &gitalypb.Repository{StorageName: "v", RelativePath: "a.git"},
			})
			return err
		}, codes.InvalidArgument, "resolving additional repository on different storage than target repository is not supported", ""},
		{"create of an existing one", write(repository("a.git")), codes.AlreadyExists, "creating repository: repository exists already",
			"it is the storage that finds it, and says so in its words"},
		{"remove of an absent one", func() error { return w.remove("absent.git") }, codes.NotFound, "repository does not exist", ""},
		{"delete of what is no pool", func() error {
			_, err := gitalypb.NewObjectPoolServiceClient(w.conn).DeleteObjectPool(ctx, &gitalypb.DeleteObjectPoolRequest{ObjectPool: pool("a.git")})
			return err
		}, codes.InvalidArgument, "invalid object pool directory", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.call()
			if got := status.Code(err); got != tc.code {
				t.Errorf("got %v (%v), want %v", got, err, tc.code)
			}
			if got := status.Convert(err).Message(); !said(got, tc.message) {
				t.Errorf("message %q, want %q", got, tc.message)
			}
		})
	}
}

// said compares a message with what is wanted, whose "…" stand for anything.
func said(got, want string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return got == want
	}
	for _, part := range parts {
		i := strings.Index(got, part)
		if i < 0 {
			return false
		}
		got = got[i+len(part):]
	}
	return parts[len(parts)-1] == "" || got == ""
}

// TestServer_saysWhatToTryAgain: where upstream says Internal or FailedPrecondition
// because nobody serves, ours is Unavailable with a time, as it may pass.
func TestServer_saysWhatToTryAgain(t *testing.T) {
	w := newFixture(t)
	w.seed("a.git", "gitaly-1")
	w.missAt("a.git", "gitaly-1")
	epoch := w.node.View().VirtualStorage("default").Epoch
	w.node.must(t, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"gitaly-1"}, Why: state.WhyDead, Epoch: epoch}})
	w.node.must(t, state.Command{Admit: &state.Admit{
		VirtualStorage: "default", Epoch: epoch + 1, Storages: []state.Admission{{Storage: "gitaly-1", As: state.Out, Why: state.WhyDead}},
	}})
	repositories := gitalypb.NewRepositoryServiceClient(w.conn)
	_, exists := w.exists("a.git")
	_, optimize := repositories.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repository("a.git")})
	for name, err := range map[string]error{
		"read": exists, "maintenance": optimize, "write": w.writeRef(t.Context(), "a.git", "refs/heads/main", revision),
	} {
		st := status.Convert(err)
		retry := false
		for _, detail := range st.Details() {
			if info, ok := detail.(*errdetails.RetryInfo); ok {
				retry = info.GetRetryDelay().AsDuration() > 0
			}
		}
		if st.Code() != codes.Unavailable || !retry || !strings.Contains(st.Message(), "dataloss") {
			t.Errorf("%s: got %v, retry info: %t", name, err, retry)
		}
	}
}
