package method

import (
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestMethod_rewriteLeavesAdditionalUnset(t *testing.T) {
	m := lookup(t, newTable(t), createPool)
	msg := &gitalypb.CreateObjectPoolRequest{ObjectPool: &gitalypb.ObjectPool{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "@pools/a.git"},
	}}
	wire := buffers(marshal(t, msg), 0)
	r, err := m.Read(wire)
	if err != nil {
		t.Fatal(err)
	}
	r.Target.StorageName = "gitaly-1"

	var sent gitalypb.CreateObjectPoolRequest
	if err := proto.Unmarshal(m.Rewrite(wire, r).Materialize(), &sent); err != nil {
		t.Fatal(err)
	}
	if sent.GetOrigin() != nil {
		t.Errorf("origin made up: %v", sent.GetOrigin())
	}
	if got := sent.GetObjectPool().GetRepository().GetStorageName(); got != "gitaly-1" {
		t.Errorf("storage %q", got)
	}
}

// Pools are never replicated along, whatever the client asks for.
func TestMethod_rewriteKeepsReplicationFromPools(t *testing.T) {
	m := lookup(t, newTable(t), "/gitaly.RepositoryService/ReplicateRepository")
	msg := &gitalypb.ReplicateRepositoryRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"}, ReplicateObjectDeduplicationNetworkMembership: true,
	}
	wire := buffers(marshal(t, msg), 0)
	r, err := m.Read(wire)
	if err != nil {
		t.Fatal(err)
	}
	var sent gitalypb.ReplicateRepositoryRequest
	if err := proto.Unmarshal(m.Rewrite(wire, r).Materialize(), &sent); err != nil {
		t.Fatal(err)
	}
	if sent.GetReplicateObjectDeduplicationNetworkMembership() {
		t.Error("the storage is to replicate the pool too")
	}
}

// A client that names two repositories must not have the proxy look at one and the storage at the other.
func TestMethod_rewriteSettlesDuplicates(t *testing.T) {
	m := lookup(t, newTable(t), userCommitFiles)
	header := func(repo []byte) []byte { return wire{}.bytes(1, repo...) }
	msg := wire{}.
		bytes(1, header(append(storageName("default"), relativePath("mine.git")...))...).
		bytes(1, header(relativePath("theirs.git"))...)

	r, err := m.Read(buffers(msg, 0))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Repository{"default", "theirs.git"}); r.Target != want {
		t.Fatalf("read %+v, want %+v", r.Target, want)
	}
	// Whatever was decided holds, even against what the message says.
	r.Target = Repository{StorageName: "gitaly-1", RelativePath: "mine.git"}
	var sent gitalypb.UserCommitFilesRequest
	if err := proto.Unmarshal(m.Rewrite(buffers(msg, 0), r).Materialize(), &sent); err != nil {
		t.Fatal(err)
	}
	got := sent.GetHeader().GetRepository()
	if got.GetStorageName() != "gitaly-1" || got.GetRelativePath() != "mine.git" {
		t.Errorf("the storage sees %v", got)
	}
}

// countingBuffer counts the references to it.
type countingBuffer struct {
	mem.SliceBuffer
	refs *int
}

func (b countingBuffer) Ref()  { *b.refs++ }
func (b countingBuffer) Free() { *b.refs-- }

func TestMethod_ownsNoBuffer(t *testing.T) {
	table := newTable(t)
	for _, name := range []string{findCommit, walkRepos, createPool, "/gitaly.ServerService/ServerInfo"} {
		m := lookup(t, table, name)
		refs := 1
		msg := mem.BufferSlice{countingBuffer{marshal(t, filledOrEmpty(t, m)), &refs}}

		r, err := m.Read(msg)
		if err != nil {
			t.Fatal(err)
		}
		if refs != 1 {
			t.Errorf("%s: %d references after Read, want 1", name, refs)
		}
		first, second := m.Rewrite(msg, r), m.Rewrite(msg, r)
		if refs != 3 {
			t.Errorf("%s: %d references beside two rewritten messages, want 3", name, refs)
		}
		first.Free()
		second.Free()
		if refs != 1 {
			t.Errorf("%s: %d references left, want 1", name, refs)
		}
		if len(msg) != 1 {
			t.Errorf("%s: the message has %d buffers now", name, len(msg))
		}
	}
}

func filledOrEmpty(tb testing.TB, m Method) proto.Message {
	if m.Scope == ScopeNone {
		return newRequest(tb, m)
	}
	return filled(tb, m)
}

func BenchmarkMethod(b *testing.B) {
	m := lookup(b, newTable(b), findCommit)
	msg := buffers(marshal(b, &gitalypb.FindCommitRequest{
		Repository: &gitalypb.Repository{
			StorageName:   "default",
			RelativePath:  "@hashed/6b/86/6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b.git",
			GlRepository:  "project-1",
			GlProjectPath: "gitlab-org/gitlab",
		},
		Revision: []byte("refs/heads/main"),
	}), 0)
	r, err := m.Read(msg)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Read(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Rewrite", func(b *testing.B) {
		b.ReportAllocs()
		r.Target.StorageName = "gitaly-1"
		for b.Loop() {
			m.Rewrite(msg, r).Free()
		}
	})
}
