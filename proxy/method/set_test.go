package method

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestDataFile_saysWhatTheDescriptorsSay: taking in the descriptors of the release that the data file describes finds
// nothing new and nothing that contradicts it.
func TestDataFile_saysWhatTheDescriptorsSay(t *testing.T) {
	with, err := New(later(t))
	if err != nil {
		t.Fatal(err)
	}
	plain := newTable(t)
	got, want := slices.Collect(with.All()), slices.Collect(plain.All())
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Method{}, plan{}, level{}, edge{}, rival{})); diff != "" {
		t.Errorf("with the descriptors (-without +with):\n%s", diff)
	}
}

// TestNew_takesTheWholeAPIAsASet: what is compiled in, read from a file as of another release, says the same.
func TestNew_takesTheWholeAPIAsASet(t *testing.T) {
	set := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFilesByPackage("gitaly", func(file protoreflect.FileDescriptor) bool {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		return true
	})
	with, err := New(DescriptorSet{Name: "16.11", Data: marshal(t, set)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(with.methods), len(newTable(t).methods); got != want {
		t.Errorf("%d methods, want %d", got, want)
	}
}

func TestDataFile_commitLanguagesIsReadByEveryRelease(t *testing.T) {
	m := lookup(t, newTable(t), "/gitaly.CommitService/CommitLanguages")
	if m.Kind != Accessor || m.also != Mutator || m.Votes || m.Change != ChangeNone {
		t.Errorf("got %+v", m)
	}
}

func TestDataFile_refusesWhatItCannotRoute(t *testing.T) {
	for _, tc := range []struct{ row, want string }{
		{`name = "A/B", kind = "accessor", scope = "repository", target = 1, field = 2`, "strict"},
		{`name = "AB", kind = "accessor", scope = "repository", target = 1`, "not that of a service"},
		{`name = "A/B", kind = "reader", scope = "repository", target = 1`, `unknown kind "reader"`},
		{`name = "A/B", kind = "accessor", scope = "world", target = 1`, `unknown scope "world"`},
		{`name = "A/B", kind = "accessor", scope = "storage"`, "no field"},
		{`name = "A/B", kind = "accessor", scope = "storage", target = 1, streams = "many"`, `unknown streams "many"`},
		{`name = "A/B", kind = "accessor", scope = "storage", target = 1, also = "mutator"`, "a reason"},
		{`name = "A/B", kind = "refused"`, "without a reason"},
		{`name = "RefService/FindTag", kind = "accessor", scope = "repository", target = 1`, "remove the row"},
		{`name = "RefService/FindTag", kind = "accessor", also = "mutator", why = "x", scope = "repository", target = 7`, "way to the target is [7], known as [1]"},
	} {
		table := newTable(t)
		err := table.addRows([]byte("methods = [ { " + tc.row + " } ]"))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.row, err, tc.want)
		}
	}
}

// newest is a service that no release has, yet.
const newest = `
syntax = "proto3";
package gitaly;
import "lint.proto";
import "shared.proto";
message LinkRequest {
  message Header { ObjectPool pool = 3 [(gitaly.target_repository) = true]; }
  oneof content { Header header = 2; bytes data = 4; }
  Repository other = 5 [(gitaly.additional_repository) = true];
}
message LinkResponse {}
service NewService {
  rpc Link(stream LinkRequest) returns (LinkResponse) { option (gitaly.op_type) = { op: MUTATOR }; }
}`

func TestNew_descriptorSetsAddMethods(t *testing.T) {
	for _, imports := range []bool{true, false} { // without them the compiled-in files stand in
		data, err := compile(newest, imports)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "newest.binpb")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m := lookup(t, table, "/gitaly.NewService/Link")
		if m.Kind != Mutator || m.Scope != ScopeRepository || !m.ClientStreams || m.ServerStreams || m.Change != ChangeUpdate || m.Votes {
			t.Errorf("got %+v", m)
		}
		repo := func(path string) wire { return append(storageName("default"), relativePath(path)...) }
		msg := wire{}.bytes(5, repo("b.git")...).bytes(2, wire{}.bytes(3, wire{}.bytes(1, repo("a.git")...)...)...)
		want := Request{Target: Repository{"default", "a.git"}, Additional: Repository{"default", "b.git"}}
		if got, err := m.Read(buffers(msg, 0)); err != nil || got != want {
			t.Errorf("read %+v, %v", got, err)
		}
		want.Target.StorageName, want.Additional.StorageName = "gitaly-1", "gitaly-1"
		if got, err := m.Read(m.Rewrite(buffers(msg, 0), want)); err != nil || got != want {
			t.Errorf("rewritten %+v, %v", got, err)
		}
		// A rival of the oneof takes the header back.
		if got, err := m.Read(buffers(msg.bytes(4), 0)); err != nil || got.Target != (Repository{}) {
			t.Errorf("with a rival %+v, %v", got, err)
		}
	}
}

func TestNew_descriptorSetsMayNotContradict(t *testing.T) {
	service := func(text string) string {
		return `syntax = "proto3"; package gitaly; import "lint.proto"; import "shared.proto"; ` + text
	}
	for _, tc := range []struct {
		name, text string
		want       []string // in the error
	}{
		{"another kind", `message M { Repository r = 1 [(gitaly.target_repository) = true]; }
			service RefService { rpc FindTag(M) returns (M) { option (gitaly.op_type) = { op: MUTATOR }; } }`,
			[]string{"/gitaly.RefService/FindTag", "kind is mutator, known as accessor"}},
		{"another field", `message M { Repository r = 4 [(gitaly.target_repository) = true]; }
			service RefService { rpc FindTag(M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR }; } }`,
			[]string{"/gitaly.RefService/FindTag", "way to the target is [4], known as [1]"}},
		{"other streams", `message M { Repository r = 1 [(gitaly.target_repository) = true]; }
			service RefService { rpc FindTag(stream M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR }; } }`,
			[]string{"/gitaly.RefService/FindTag", "client streams is true, known as false"}},
		{"what we answer", `message M { Repository r = 1 [(gitaly.target_repository) = true]; }
			service ServerService { rpc ServerInfo(M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR }; } }`,
			[]string{"/gitaly.ServerService/ServerInfo", "kind is accessor, known as intercepted"}},
		{"no annotation", `message M {} service NewService { rpc Do(M) returns (M); }`,
			[]string{"/gitaly.NewService/Do", "no annotation 82303"}},
		{"no target", `message M {} service NewService { rpc Do(M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR }; } }`,
			[]string{"/gitaly.NewService/Do", "no target repository"}},
		{"two targets", `message M { Repository a = 1 [(gitaly.target_repository) = true]; Repository b = 2 [(gitaly.target_repository) = true]; }
			service NewService { rpc Do(M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR }; } }`,
			[]string{"/gitaly.NewService/Do", "2 fields"}},
		{"a target that is none", `message M { string a = 1 [(gitaly.target_repository) = true]; }
			service NewService { rpc Do(M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR }; } }`,
			[]string{"/gitaly.NewService/Do", "holds no repository"}},
		{"a storage that is no name", `message M { bytes a = 1 [(gitaly.storage) = true]; }
			service NewService { rpc Do(M) returns (M) { option (gitaly.op_type) = { op: ACCESSOR scope_level: STORAGE }; } }`,
			[]string{"/gitaly.NewService/Do", "is no string"}},
		{"an unknown operation", `message M {} service NewService { rpc Do(M) returns (M) { option (gitaly.op_type) = {}; } }`,
			[]string{"/gitaly.NewService/Do", "unknown operation 0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, err := compile(service(tc.text), true)
			if err != nil {
				t.Fatal(err)
			}
			_, err = New(DescriptorSet{Name: "mine.binpb", Data: data})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range append(tc.want, "mine.binpb", "extra.proto") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to contain %q", err, want)
				}
			}
		})
	}
}

func TestOpen_namesFilesThatAreNoSets(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := write("imports", marshalSet(t, newest, "shared.proto"))
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"):          "no such file",
		write("text", []byte("GET / HTTP/1")): "not a FileDescriptorSet",
		write("empty", nil):                   "no file in it",
		missing:                               "--include_imports",
	} {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// marshalSet is a set whose file imports one that nobody has.
func marshalSet(t *testing.T, text, imported string) []byte {
	t.Helper()
	data, err := compile(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.ReplaceAll(string(data), imported, strings.Repeat("x", len(imported))))
}

func TestRefusals_nameMethodsAndSayWhatToDo(t *testing.T) {
	table := newTable(t)
	for name, why := range refusals {
		if m := lookup(t, table, "/gitaly."+name); m.Refusal != why || why == "" {
			t.Errorf("%q: got %q, want %q", name, m.Refusal, why)
		}
	}
}
