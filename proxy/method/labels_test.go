package method

import (
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestMethod_labels(t *testing.T) {
	set, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	repository := &gitalypb.Repository{StorageName: "default", RelativePath: "a.git", GlRepository: "project-1", GlProjectPath: "group/app"}
	pool := &gitalypb.ObjectPool{Repository: repository}
	for name, message := range map[string]proto.Message{
		"/gitaly.RepositoryService/RepositoryExists": &gitalypb.RepositoryExistsRequest{Repository: repository},
		"/gitaly.ObjectPoolService/DeleteObjectPool": &gitalypb.DeleteObjectPoolRequest{ObjectPool: pool},
		"/gitaly.OperationService/UserCommitFiles": &gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
			Header: &gitalypb.UserCommitFilesRequestHeader{Repository: repository},
		}},
	} {
		m, ok := set.Lookup(name)
		if !ok {
			t.Fatalf("%s is not known", name)
		}
		text, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if id, path := m.Labels(mem.BufferSlice{mem.SliceBuffer(text)}); id != "project-1" || path != "group/app" {
			t.Errorf("%s: got %q and %q", name, id, path)
		}
		if id, path := m.Labels(mem.BufferSlice{mem.SliceBuffer(text[:len(text)-3])}); id == "project-1" && path == "group/app" {
			t.Errorf("%s: a message that ends early has all labels", name)
		}
	}
	m, _ := set.Lookup("/gitaly.ServerService/ServerInfo")
	if id, path := m.Labels(nil); id != "" || path != "" {
		t.Errorf("got %q and %q of a method without a repository", id, path)
	}
}
