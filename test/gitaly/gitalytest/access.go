package gitalytest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// token: every call must prove to know the secret, and recently.
func (s *suite) token(t *testing.T) {
	bare := Dial(t, s.Address, "")
	now := time.Now()
	repo := s.repository("a.git")
	s.create(t, repo)
	for _, row := range []struct {
		name   string
		header string
		want   codes.Code
	}{
		{"right", bearer(s.Token, now), codes.OK},
		{"right, scheme in lower case", strings.Replace(bearer(s.Token, now), "Bearer", "bearer", 1), codes.OK},
		{"20 s old", bearer(s.Token, now.Add(-20*time.Second)), codes.OK},
		{"none", "", codes.Unauthenticated},
		{"not a bearer", "Basic YTpi", codes.Unauthenticated},
		{"not in three parts", "Bearer v2", codes.Unauthenticated},
		{"wrong", bearer("guess", now), codes.PermissionDenied},
		{"another version", strings.Replace(bearer(s.Token, now), "v2.", "v3.", 1), codes.PermissionDenied},
		{"31 s old", bearer(s.Token, now.Add(-31*time.Second)), codes.PermissionDenied},
		{"from the future", bearer(s.Token, now.Add(time.Minute)), codes.PermissionDenied},
	} {
		ctx := s.ctx
		if row.header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", row.header)
		}
		_, err := healthpb.NewHealthClient(bare).Check(ctx, &healthpb.HealthCheckRequest{})
		wantCode(t, row.name+": health", err, row.want)
		_, err = gitalypb.NewServerServiceClient(bare).ServerInfo(ctx, &gitalypb.ServerInfoRequest{})
		wantCode(t, row.name+": unary", err, row.want)
		stream, err := gitalypb.NewRefServiceClient(bare).ListRefs(ctx, &gitalypb.ListRefsRequest{Repository: repo, Patterns: [][]byte{[]byte("refs/")}})
		wantCode(t, row.name+": stream", drain(stream, err), row.want)
		if row.want != codes.OK {
			err = bare.Invoke(ctx, "/gitaly.Unknown/Method", &emptypb.Empty{}, &emptypb.Empty{})
			wantCode(t, row.name+": unknown method", err, row.want)
		}
	}
}

// bearer returns the header of a v2 token that was made at that time.
func bearer(secret string, made time.Time) string {
	stamp := fmt.Sprint(made.Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp))
	return fmt.Sprintf("Bearer v2.%x.%s", mac.Sum(nil), stamp)
}

// addressing: a repository field that leads nowhere gets its code from every
// method, and nothing is made.
func (s *suite) addressing(t *testing.T) {
	s.addressed(t, calls())
	if got := s.walked(t, s.Storage); len(got) > 0 {
		t.Errorf("refused calls made %v", got)
	}
}

// addressingOfGits: likewise.
func (s *suite) addressingOfGits(t *testing.T) {
	s.addressed(t, gitCalls())
	if got := s.walked(t, s.Storage); len(got) > 0 {
		t.Errorf("refused calls made %v", got)
	}
}

func (s *suite) addressed(t *testing.T, calls []call) {
	t.Helper()
	for _, call := range calls {
		for _, row := range []struct {
			name string
			repo *gitalypb.Repository
		}{
			{"no repository", nil},
			{"empty repository", &gitalypb.Repository{}},
			{"no path", &gitalypb.Repository{StorageName: s.Storage}},
			{"no storage", &gitalypb.Repository{RelativePath: "a.git"}},
			{"unknown storage", &gitalypb.Repository{StorageName: "unknown", RelativePath: "a.git"}},
			{"path of the parent", s.repository("..")},
			{"escaping path", s.repository("a/../../a.git")},
			{"escaping absolute path", s.repository("/../a.git")},
			{"path of the storage", s.repository(".")},
			{"path of Gitaly's own", s.repository("+gitaly/tmp/a.git")},
		} {
			wantCode(t, call.name+": "+row.name, call.do(s.ctx, s.Conn, row.repo), codes.InvalidArgument)
		}
		if call.missing == fails {
			wantCode(t, call.name+": absent repository", call.do(s.ctx, s.Conn, s.repository("absent.git")), codes.NotFound)
		}
	}
}

// unimplemented: a method that is not served says so, with and without its service.
func (s *suite) unimplemented(t *testing.T) {
	for _, method := range []string{
		"/gitaly.RepositoryService/RestoreRepository",
		"/gitaly.RefService/FindTag",
		"/gitaly.ServerService/ClockSynced",
		"/gitaly.RemoteService/FindRemoteRepository",
		"/gitaly.RepositoryService/NoSuchMethod",
		"/gitaly.NoSuchService/Method",
	} {
		wantCode(t, method, s.Conn.Invoke(s.ctx, method, &emptypb.Empty{}, &emptypb.Empty{}), codes.Unimplemented)
	}
	stream, err := s.Conn.NewStream(s.ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/gitaly.SSHService/SSHUploadArchive")
	if err == nil {
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	wantCode(t, "SSHUploadArchive", err, codes.Unimplemented)
}

// server: the answer of a server about itself.
func (s *suite) server(t *testing.T) {
	check, err := healthpb.NewHealthClient(s.Conn).Check(s.ctx, &healthpb.HealthCheckRequest{})
	if err != nil || check.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: got %v, %v, want serving", check.GetStatus(), err)
	}
	servers := gitalypb.NewServerServiceClient(s.Conn)
	info, err := servers.ServerInfo(s.ctx, &gitalypb.ServerInfoRequest{})
	if err != nil {
		t.Fatalf("server info: %v", err)
	}
	if info.GetServerVersion() == "" || info.GetGitVersion() == "" {
		t.Errorf("got versions %q and %q, want both set", info.GetServerVersion(), info.GetGitVersion())
	}
	ids := make(map[string]string)
	for _, status := range info.GetStorageStatuses() {
		ids[status.GetStorageName()] = status.GetFilesystemId()
		if !status.GetReadable() || !status.GetWriteable() || status.GetReplicationFactor() != 1 {
			t.Errorf("got status %v, want readable, writeable, replication factor 1", status)
		}
	}
	if len(ids) != 2 || ids[s.Storage] == "" || ids[s.Other] == "" || ids[s.Storage] == ids[s.Other] {
		t.Errorf("got file system ids %v, want two different ones", ids)
	}
	again, err := servers.ServerInfo(s.ctx, &gitalypb.ServerInfoRequest{})
	if err != nil {
		t.Fatalf("server info: %v", err)
	}
	for _, status := range again.GetStorageStatuses() {
		if got, want := status.GetFilesystemId(), ids[status.GetStorageName()]; got != want {
			t.Errorf("file system id of %q changed from %q to %q", status.GetStorageName(), want, got)
		}
	}
	disks, err := servers.DiskStatistics(s.ctx, &gitalypb.DiskStatisticsRequest{})
	if err != nil {
		t.Fatalf("disk statistics: %v", err)
	}
	if len(disks.GetStorageStatuses()) != 2 {
		t.Errorf("got disk statistics %v, want two storages", disks.GetStorageStatuses())
	}
	for _, status := range disks.GetStorageStatuses() {
		if status.GetAvailable() <= 0 {
			t.Errorf("got %d bytes available in %q, want some", status.GetAvailable(), status.GetStorageName())
		}
	}
}

// context is the suite's, with the metadata that a storage needs to reach this same server
// under the name of its first storage.
func (s *suite) context(t *testing.T) context.Context {
	t.Helper()
	return WithServer(t, s.ctx, s.Storage, s.Address, s.Token)
}
