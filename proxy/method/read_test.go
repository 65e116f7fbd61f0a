package method

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
)

// filled returns a request of the method that names everything it can, with other fields of the repositories set as well.
func filled(tb testing.TB, m Method) proto.Message {
	tb.Helper()
	msg := newRequest(tb, m)
	if m.Scope == ScopeStorage {
		referenceRewrite(tb, m, msg, Request{Storage: "default"})
		return msg
	}
	fill(tb, msg, gitalypb.E_TargetRepository, &gitalypb.Repository{
		StorageName: "default", RelativePath: "@hashed/aa/bb/target.git", GlRepository: "project-1",
		GitObjectDirectory: "objects/quarantine", GitAlternateObjectDirectories: []string{"objects"},
	})
	if m.HasAdditional() {
		fill(tb, msg, gitalypb.E_AdditionalRepository, &gitalypb.Repository{
			StorageName: "default", RelativePath: "@pools/aa/bb/pool.git", GlProjectPath: "group/project",
		})
	}
	return msg
}

// fill sets the repository that carries an annotation.
func fill(tb testing.TB, msg proto.Message, annotation protoreflect.ExtensionType, repo *gitalypb.Repository) {
	tb.Helper()
	into := populate(tb, msg.ProtoReflect(), annotation)
	if into == nil {
		tb.Fatalf("%s has no marked field", msg.ProtoReflect().Descriptor().FullName())
	}
	if err := proto.Unmarshal(marshal(tb, repo), into.Interface()); err != nil {
		tb.Fatal(err)
	}
}

func TestMethod_readsAndRewritesEveryRequestType(t *testing.T) {
	table := newTable(t)
	for m := range table.All() {
		if m.Scope == ScopeNone {
			continue
		}
		for _, size := range []int{0, 1, 7} {
			msg := filled(t, m)
			wire := buffers(marshal(t, msg), size)

			got, err := m.Read(wire)
			if err != nil {
				t.Errorf("%s in buffers of %d: %v", m.FullName, size, err)
				continue
			}
			if diff := cmp.Diff(referenceRead(t, m, msg), got); diff != "" {
				t.Errorf("%s in buffers of %d (-want +got):\n%s", m.FullName, size, diff)
			}
			if (got == Request{}) {
				t.Errorf("%s in buffers of %d: nothing found", m.FullName, size)
			}

			to := got
			to.Target.StorageName, to.Additional.StorageName, to.Storage = "gitaly-1", "gitaly-1", "gitaly-1"
			if !m.HasAdditional() {
				to.Additional = Repository{}
			}
			rewritten := m.Rewrite(wire, to)
			if !bytes.HasPrefix(rewritten.Materialize(), wire.Materialize()) {
				t.Errorf("%s in buffers of %d: other bytes changed", m.FullName, size)
			}
			sent := newRequest(t, m)
			if err := proto.Unmarshal(rewritten.Materialize(), sent); err != nil {
				t.Errorf("%s in buffers of %d: rewritten: %v", m.FullName, size, err)
				continue
			}
			referenceRewrite(t, m, msg, to)
			if diff := cmp.Diff(msg, sent, protocmp.Transform()); diff != "" {
				t.Errorf("%s in buffers of %d, rewritten (-want +got):\n%s", m.FullName, size, diff)
			}
		}
	}
}

// wire builds messages by hand, as a client might that no protobuf library would build.
type wire []byte

func (w wire) bytes(num protowire.Number, value ...byte) wire {
	return protowire.AppendBytes(protowire.AppendTag(w, num, protowire.BytesType), value)
}

func (w wire) string(num protowire.Number, value string) wire { return w.bytes(num, []byte(value)...) }

func (w wire) varint(num protowire.Number, value uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, num, protowire.VarintType), value)
}

func (w wire) group(num protowire.Number, inner ...byte) wire {
	w = protowire.AppendTag(w, num, protowire.StartGroupType)
	return protowire.AppendGroup(w, num, inner)
}

func storageName(s string) wire  { return wire{}.string(fieldStorageName, s) }
func relativePath(s string) wire { return wire{}.string(fieldRelativePath, s) }

const (
	findCommit      = "/gitaly.CommitService/FindCommit"           // target [1]
	userCommitFiles = "/gitaly.OperationService/UserCommitFiles"   // target [1 1], in a oneof with action [2]
	createPool      = "/gitaly.ObjectPoolService/CreateObjectPool" // target [1 1], additional [2]
	walkRepos       = "/gitaly.InternalGitaly/WalkRepos"           // storage [1]
)

// Each row is a message that libraries do not write and yet unmarshal; Read has to see what they see.
func TestMethod_readMerges(t *testing.T) {
	whole := slices.Concat(storageName("default"), relativePath("a.git"))
	for _, tc := range []struct {
		desc   string
		method string
		msg    wire
		want   Request
	}{
		{"empty", findCommit, nil, Request{}},
		{"repository in two parts", findCommit,
			wire{}.bytes(1, storageName("default")...).bytes(1, relativePath("a.git")...),
			Request{Target: Repository{"default", "a.git"}}},
		{"last repository wins", findCommit,
			wire{}.bytes(1, whole...).string(2, "revision").bytes(1, relativePath("b.git")...),
			Request{Target: Repository{"default", "b.git"}}},
		{"last scalar wins, empty too", findCommit,
			wire{}.bytes(1, append(whole, relativePath("")...)...),
			Request{Target: Repository{"default", ""}}},
		{"empty repository changes nothing", findCommit,
			wire{}.bytes(1, whole...).bytes(1),
			Request{Target: Repository{"default", "a.git"}}},
		{"unknown fields and groups", findCommit,
			wire{}.group(99, wire{}.bytes(1, whole...).group(1, 8, 1)...).varint(77, 1).bytes(1, whole...).string(1000, "x"),
			Request{Target: Repository{"default", "a.git"}}},
		{"unknown field in the repository", findCommit,
			wire{}.bytes(1, wire{}.varint(50, 3).group(51).string(fieldStorageName, "default").string(fieldRelativePath, "a.git")...),
			Request{Target: Repository{"default", "a.git"}}},
		{"oneof member merges with itself", userCommitFiles,
			wire{}.bytes(1, wire{}.bytes(1, storageName("default")...)...).bytes(1, wire{}.bytes(1, relativePath("a.git")...)...),
			Request{Target: Repository{"default", "a.git"}}},
		{"oneof member replaced", userCommitFiles,
			wire{}.bytes(1, wire{}.bytes(1, whole...)...).bytes(2),
			Request{}},
		{"oneof member starts anew", userCommitFiles,
			wire{}.bytes(1, wire{}.bytes(1, whole...)...).bytes(2).bytes(1, wire{}.bytes(1, relativePath("b.git")...)...),
			Request{Target: Repository{"", "b.git"}}},
		{"oneof rival of another type is unknown", userCommitFiles,
			wire{}.bytes(1, wire{}.bytes(1, whole...)...).varint(2, 1),
			Request{Target: Repository{"default", "a.git"}}},
		{"two repositories, interleaved", createPool,
			wire{}.bytes(2, storageName("default")...).bytes(1, wire{}.bytes(1, whole...)...).bytes(2, relativePath("b.git")...),
			Request{Target: Repository{"default", "a.git"}, Additional: Repository{"default", "b.git"}}},
		{"storage", walkRepos, wire{}.string(1, "first").string(1, "last"), Request{Storage: "last"}},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			m := lookup(t, newTable(t), tc.method)
			got, err := m.Read(buffers(tc.msg, 0))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkAgainstReference(t, m, tc.msg)
		})
	}
}

func TestMethod_readRefusesMalformed(t *testing.T) {
	deep := wire{}
	for range 20_000 {
		deep = protowire.AppendTag(deep, 99, protowire.StartGroupType)
	}
	for _, tc := range []struct {
		desc   string
		method string
		msg    []byte
		want   string
	}{
		{"truncated tag", findCommit, []byte{0x80}, "unexpected EOF"},
		{"truncated length", findCommit, []byte{0x0a, 0x80}, "unexpected EOF"},
		{"truncated repository", findCommit, wire{}.bytes(1, storageName("default")...)[:5], "unexpected EOF"},
		{"truncated name", findCommit, wire{}.bytes(1, storageName("default")[:5]...), "unexpected EOF"},
		{"truncated elsewhere", findCommit, append(wire{}.bytes(1, storageName("default")...), 0x12, 9, 'x'), "unexpected EOF"},
		{"field number zero", findCommit, []byte{0x02, 0x00}, "invalid field number"},
		{"field number too large", findCommit, protowire.AppendVarint(nil, (1<<29)<<3|2), "invalid field number"},
		{"length beyond everything", findCommit, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, "unexpected EOF"},
		{"stray end of group", findCommit, []byte{1<<3 | 4}, "mismatching end group marker"},
		{"open group", findCommit, protowire.AppendTag(nil, 99, protowire.StartGroupType), "unexpected EOF"},
		{"groups without end", findCommit, deep, "parse error"},
		{"repository is a number", findCommit, wire{}.varint(1, 7), "unexpected wire type"},
		{"repository is a group", findCommit, wire{}.group(1), "unexpected wire type"},
		{"header is a number", userCommitFiles, wire{}.varint(1, 7), "unexpected wire type"},
		{"storage name is a number", findCommit, wire{}.bytes(1, wire{}.varint(fieldStorageName, 7)...), "unexpected wire type"},
		{"repository is text", findCommit, wire{}.string(1, "refs/heads/main"), "unexpected EOF"},
		{"storage name is no UTF-8", findCommit, wire{}.bytes(1, storageName("\xff")...), "invalid UTF-8"},
		{"path is no UTF-8, another follows", findCommit, wire{}.bytes(1, relativePath("\xff")...).bytes(1, relativePath("a")...), "invalid UTF-8"},
		{"storage is no UTF-8", walkRepos, wire{}.string(1, "\xff"), "invalid UTF-8"},
		{"storage is a number", walkRepos, wire{}.varint(1, 7), "unexpected wire type"},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			m := lookup(t, newTable(t), tc.method)
			got, err := m.Read(buffers(tc.msg, 0))
			if err == nil {
				t.Fatalf("got %+v", got)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want it to contain %q", err, tc.want)
			}
			if (got != Request{}) {
				t.Errorf("got %+v beside an error", got)
			}
		})
	}
}

func TestMethod_interceptedNamesNothing(t *testing.T) {
	m := lookup(t, newTable(t), "/gitaly.ServerService/ServerInfo")
	got, err := m.Read(buffers([]byte{0xff}, 0))
	if err != nil || got != (Request{}) {
		t.Errorf("Read = %+v, %v", got, err)
	}
	msg := buffers([]byte("anything"), 3)
	if got := m.Rewrite(msg, Request{Storage: "x"}); string(got.Materialize()) != "anything" {
		t.Errorf("Rewrite = %q", got.Materialize())
	}
}
