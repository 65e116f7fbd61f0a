package proxy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"praefect/proxy/method"
	"praefect/test/must"
)

// newerAPI declares methods that no release has.
const newerAPI = `
syntax = "proto3";
package gitaly;
import "lint.proto";
import "shared.proto";
message NewerRequest {
  Repository repository = 1 [(gitaly.target_repository) = true];
}
message NewerResponse {}
service NewerService {
  rpc CountNewer(NewerRequest) returns (stream NewerResponse) {
    option (gitaly.op_type) = { op: ACCESSOR };
  }
  rpc DropNewer(NewerRequest) returns (NewerResponse) {
    option (gitaly.op_type) = { op: MUTATOR };
  }
  rpc SweepNewer(NewerRequest) returns (NewerResponse) {
    option (gitaly.op_type) = { op: MAINTENANCE };
  }
}`

// TestRouting_descriptorSet drives the methods that a descriptor set adds, at storages that serve
// everything. PRAEFECT_TEST_DESCRIPTORS names a set to try instead.
func TestRouting_descriptorSet(t *testing.T) {
	path, given := os.LookupEnv("PRAEFECT_TEST_DESCRIPTORS")
	if !given {
		path = compileSet(t, newerAPI)
	}
	table, err := method.Open(path)
	must.Succeed(t, err)
	known, err := method.New()
	must.Succeed(t, err)
	var added []method.Method
	for m := range table.All() {
		if _, ok := known.Lookup(m.FullName); !ok {
			t.Logf("%s: %s, %s", m.FullName, m.Kind, m.Scope)
			added = append(added, m)
		}
	}
	if len(added) == 0 {
		t.Fatalf("%s adds no method: all of its methods are built in, or it has none", path)
	}
	routesEveryMethod(t, table, slices.Values(added))
}

// compileSet makes a descriptor set of one file, as protoc would, and returns its path. The files
// that it imports are compiled in.
func compileSet(t *testing.T, text string) string {
	t.Helper()
	const name = "newer.proto"
	sources := protocompile.CompositeResolver{
		&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{name: text})},
		&protocompile.SourceResolver{ImportPaths: []string{filepath.Join("method", "testdata")}},
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(sources)}
	files, err := compiler.Compile(t.Context(), name)
	must.Succeed(t, err)
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(files[0])}}
	data, err := proto.Marshal(set)
	must.Succeed(t, err)
	path := filepath.Join(t.TempDir(), "newer.binpb")
	must.Succeed(t, os.WriteFile(path, data, 0o600))
	return path
}
