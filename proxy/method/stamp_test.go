package method

import (
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Every method that makes commits or tags makes them at the same time at every
// storage.
func TestMethod_stampsWhatHasATime(t *testing.T) {
	table := newTable(t)
	stamped := make(map[string]bool)
	for _, name := range []string{
		"UserApplyPatch", "UserCherryPick", "UserCommitFiles", "UserCreateTag", "UserMergeBranch", "UserMergeToRef", "UserRebaseConfirmable",
		"UserRebaseToRef", "UserRevert", "UserSquash", "UserUpdateSubmodule",
	} {
		full := "/gitaly.OperationService/" + name
		stamped[full] = true
		if m := lookup(t, table, full); m.Stamp(time.Unix(5, 0)) == nil {
			t.Errorf("%s is not stamped", name)
		}
	}
	for full := range votes {
		if full = "/gitaly." + full; !stamped[full] && strings.HasPrefix(full, "/gitaly.OperationService/") {
			if m := lookup(t, table, full); m.Stamp(time.Unix(5, 0)) != nil {
				t.Errorf("%s is stamped: add it to the test", full)
			}
		}
	}
}

func TestMethod_stampYieldsToTheClient(t *testing.T) {
	m := lookup(t, newTable(t), userCommitFiles)
	for _, client := range []*timestamppb.Timestamp{nil, {Seconds: 7, Nanos: 8}} {
		msg, err := proto.Marshal(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
			Header: &gitalypb.UserCommitFilesRequestHeader{
				Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"}, BranchName: []byte("main"), Timestamp: client,
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var sent gitalypb.UserCommitFilesRequest
		if err := proto.Unmarshal(append(m.Stamp(time.Unix(1e9, 5)), msg...), &sent); err != nil {
			t.Fatal(err)
		}
		want := &timestamppb.Timestamp{Seconds: 1e9}
		if client != nil {
			want = client
		}
		header := sent.GetHeader()
		if !proto.Equal(header.GetTimestamp(), want) || string(header.GetBranchName()) != "main" || header.GetRepository().GetRelativePath() != "a.git" {
			t.Errorf("the storage sees %v", header)
		}
	}
}
