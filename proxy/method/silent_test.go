package method

import (
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestMethod_votesOnWhatSaysMoreThanDelete(t *testing.T) {
	const (
		writeRef = "/gitaly.RepositoryService/WriteRef"
		update   = "/gitaly.RefService/UpdateReferences"
		squash   = "/gitaly.OperationService/UserSquash"
		fetch    = "/gitaly.RepositoryService/FetchRemote"
	)
	table := newTable(t)
	zero, oid := strings.Repeat("0", 40), strings.Repeat("0123456789", 4)
	write := func(revision, old string) proto.Message {
		return &gitalypb.WriteRefRequest{Repository: &gitalypb.Repository{}, Ref: []byte("refs/heads/a"), Revision: []byte(revision), OldRevision: []byte(old)}
	}
	updates := func(pairs ...string) proto.Message {
		req := &gitalypb.UpdateReferencesRequest{Repository: &gitalypb.Repository{}}
		for i := 0; i < len(pairs); i += 2 {
			req.Updates = append(req.Updates, &gitalypb.UpdateReferencesRequest_Update{
				Reference: []byte("refs/heads/a"), OldObjectId: []byte(pairs[i]), NewObjectId: []byte(pairs[i+1]),
			})
		}
		return req
	}
	for _, row := range []struct {
		name, method string
		msg          proto.Message
		want         bool
	}{
		{"a value", writeRef, write(oid, ""), true},
		{"a branch", writeRef, write("main", zero), true},
		{"deletes a value", writeRef, write(zero, oid), true},
		{"deletes any value", writeRef, write(zero, ""), false},
		{"deletes any value of a longer id", writeRef, write(zero+zero[:24], ""), false},
		{"deletes none", writeRef, write(zero, zero), false},
		{"empty", writeRef, &gitalypb.WriteRefRequest{}, false},
		{"one value", update, updates("", oid), true},
		{"deletes a value", update, updates(oid, zero), true},
		{"deletes any value", update, updates("", zero), false},
		{"deletes any value, twice", update, updates("", zero, zero, zero), false},
		{"deletes any value, and one value", update, updates("", zero, oid, zero), true},
		{"no update yet", update, updates(), false},
		{"another method", squash, &gitalypb.UserSquashRequest{}, true},
		{"a method without votes", fetch, &gitalypb.FetchRemoteRequest{}, false},
	} {
		m := lookup(t, table, row.method)
		for _, size := range []int{0, 1, 7} {
			if got := m.VotesOn(buffers(marshal(t, row.msg), size)); got != row.want {
				t.Errorf("%s, %s, in buffers of %d: got %v, want %v", row.method, row.name, size, got, row.want)
			}
		}
	}
	// Of a field the last value counts, as for who unmarshals it.
	repeated := append(marshal(t, write(oid, "")), marshal(t, &gitalypb.WriteRefRequest{Revision: []byte(zero)})...)
	if lookup(t, table, writeRef).VotesOn(buffers(repeated, 0)) {
		t.Error("a value that is overwritten counts")
	}
	malformed := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1)
	if lookup(t, table, writeRef).VotesOn(buffers(malformed, 0)) {
		t.Error("a malformed message votes")
	}
}
