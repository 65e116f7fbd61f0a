package method

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func newTable(tb testing.TB) *Table {
	tb.Helper()
	table, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

func lookup(tb testing.TB, table *Table, fullName string) Method {
	tb.Helper()
	m, ok := table.Lookup(fullName)
	if !ok {
		tb.Fatalf("no method %q", fullName)
	}
	return m
}

// descriptorOf finds the method's descriptor by its name, without help of the table: in the compiled-in API, or in what
// later releases add.
func descriptorOf(tb testing.TB, fullName string) protoreflect.MethodDescriptor {
	tb.Helper()
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(fullName, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		var files *protoregistry.Files
		if files, err = laterFiles(); err == nil {
			d, err = files.FindDescriptorByName(name)
		}
	}
	if err != nil {
		tb.Fatalf("%s is neither compiled in nor in testdata/later.proto: declare it there as its release does: %v", name, err)
	}
	return d.(protoreflect.MethodDescriptor)
}

func TestTable_holdsEveryMethodAsAnnotated(t *testing.T) {
	table := newTable(t)

	type group struct {
		Kind  Kind
		Scope Scope
	}
	counts := make(map[group]int)
	refused := 0
	for m := range table.All() {
		md := descriptorOf(t, m.FullName)
		if md.ParentFile().Path() != laterFile {
			counts[group{m.Kind, m.Scope}]++
		}
		if m.ClientStreams != md.IsStreamingClient() || m.ServerStreams != md.IsStreamingServer() {
			t.Errorf("%s: streams (%t, %t), want (%t, %t)",
				m.FullName, m.ClientStreams, m.ServerStreams, md.IsStreamingClient(), md.IsStreamingServer())
		}
		if m.Kind == Intercepted {
			if m.Scope != ScopeNone || m.plan.root != nil {
				t.Errorf("%s: intercepted, yet scope is %s", m.FullName, m.Scope)
			}
			if strings.HasPrefix(m.FullName, "/gitaly.RaftService/") && m.Refusal != "" {
				refused++
			}
			continue
		}
		op := proto.GetExtension(md.Options(), gitalypb.E_OpType).(*gitalypb.OperationMsg)
		if got, want := m.Kind.String(), strings.ToLower(op.GetOp().String()); got != want {
			t.Errorf("%s: kind %s, want %s", m.FullName, got, want)
		}
		scope := op.GetScopeLevel()
		if scope == partition {
			scope = gitalypb.OperationMsg_STORAGE
		}
		if got, want := m.Scope.String(), strings.ToLower(scope.String()); got != want {
			t.Errorf("%s: scope %s, want %s", m.FullName, got, want)
		}
	}

	want := map[group]int{ // of 16.11; the methods of later releases are compared one by one
		{Accessor, ScopeRepository}:    94,
		{Mutator, ScopeRepository}:     45,
		{Maintenance, ScopeRepository}: 2,
		{Accessor, ScopeStorage}:       2,
		{Mutator, ScopeStorage}:        1,
		{Intercepted, ScopeNone}:       12,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	if refused != 5 {
		t.Errorf("%d methods of Gitaly's own Raft are refused, want 5", refused)
	}

	inDescriptors := make(map[string]bool)
	note := func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Services().Len() {
			sd := fd.Services().Get(i)
			for i := range sd.Methods().Len() {
				inDescriptors[string(sd.Methods().Get(i).FullName())] = true
			}
		}
		return true
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("gitaly", note)
	files, err := laterFiles()
	if err != nil {
		t.Fatal(err)
	}
	files.RangeFilesByPackage("gitaly", note)
	if got := len(table.methods); got != len(inDescriptors) {
		t.Errorf("the table has %d methods, the descriptors that are compiled in and testdata/later.proto %d", got, len(inDescriptors))
	}
}

// partition is a scope of 18.x that the types of this program do not have.
const partition = gitalypb.OperationMsg_Scope(3)

func TestTable_allIsOrderedAndComplete(t *testing.T) {
	table := newTable(t)
	last, n := "", 0
	for m := range table.All() {
		if m.FullName <= last {
			t.Errorf("%q after %q", m.FullName, last)
		}
		last = m.FullName
		n++
	}
	if n != len(table.methods) {
		t.Errorf("All yields %d methods, the table has %d", n, len(table.methods))
	}
	for range table.All() {
		break // an early end is allowed
	}
}

func TestTable_unknownMethod(t *testing.T) {
	for _, name := range []string{"", "/", "FindCommit", "gitaly.CommitService/FindCommit", "/gitaly.CommitService/findcommit", "/other.Service/Method"} {
		if m, ok := newTable(t).Lookup(name); ok {
			t.Errorf("Lookup(%q) = %v", name, m)
		}
	}
}

func TestFacts_nameMethodsTheyCanApplyTo(t *testing.T) {
	table := newTable(t)
	check := func(name string, kind Kind) {
		m := lookup(t, table, "/gitaly."+name)
		if m.Kind != kind || m.Scope != ScopeRepository {
			t.Errorf("%q is of kind %s and scope %s", name, m.Kind, m.Scope)
		}
	}
	for name := range directories {
		check(name, Mutator)
		if refsOnly[name] {
			t.Errorf("%q changes the existence of its repository, and refs only", name)
		}
	}
	for name := range refsOnly {
		check(name, Mutator)
	}
	for name := range votes {
		check(name, Mutator)
		if directories[name] == DirectoryRemoved {
			t.Errorf("%q removes its repository without asking, and votes", name)
		}
	}
	for name := range packingDependent {
		check(name, Accessor)
	}
}

func TestTable_factsBesidesAnnotations(t *testing.T) {
	table := newTable(t)
	for _, tc := range []struct {
		name         string
		change       Change
		directory    Directory
		refsOnly     bool
		votes        bool
		forcePrimary bool
		prunes       bool
	}{
		{name: "RepositoryService/CreateRepository", change: ChangeCreate, directory: DirectoryMade, votes: true},
		{name: "RepositoryService/ReplicateRepository", change: ChangeCreate, directory: DirectoryReplaced},
		{name: "RepositoryService/RestoreRepository", change: ChangeCreate, directory: DirectoryReplaced},
		{name: "RepositoryService/RemoveRepository", change: ChangeDelete, directory: DirectoryRemoved},
		{name: "ObjectPoolService/DeleteObjectPool", change: ChangeDelete, directory: DirectoryRemoved},
		{name: "RepositoryService/WriteRef", change: ChangeUpdate, votes: true},
		{name: "OperationService/UserSquash", change: ChangeUpdate, votes: true},
		{name: "OperationService/UserCommitFiles", change: ChangeUpdate, refsOnly: true, votes: true},
		{name: "SSHService/SSHReceivePack", change: ChangeUpdate, refsOnly: true, votes: true},
		{name: "RepositoryService/RepositorySize", forcePrimary: true},
		{name: "RepositoryService/OptimizeRepository"},
		{name: "RepositoryService/PruneUnreachableObjects", prunes: true},
		{name: "RepositoryService/RemoveAll"},
		{name: "RefService/ListRefs"},
	} {
		m := lookup(t, table, "/gitaly."+tc.name)
		if m.Directory != tc.directory {
			t.Errorf("%s: directory %s, want %s", tc.name, m.Directory, tc.directory)
		}
		if m.Change != tc.change || m.RefsOnly != tc.refsOnly || m.Votes != tc.votes || m.ForcePrimary != tc.forcePrimary || m.Prunes != tc.prunes {
			t.Errorf("%s: change %s, refs only %t, votes %t, force primary %t, prunes %t; want %s, %t, %t, %t, %t",
				tc.name, m.Change, m.RefsOnly, m.Votes, m.ForcePrimary, m.Prunes, tc.change, tc.refsOnly, tc.votes, tc.forcePrimary, tc.prunes)
		}
	}
}

func TestEnums_print(t *testing.T) {
	for got, want := range map[string]string{
		Maintenance.String():     "maintenance",
		Kind(9).String():         "kind 9",
		ScopeRepository.String(): "repository",
		Scope(9).String():        "scope 9",
		ChangeDelete.String():    "delete",
		Change(9).String():       "change 9",
		DirectoryKept.String():   "kept",
		Directory(9).String():    "directory 9",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
