package method

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// compile makes a descriptor set as protoc would: of the files in testdata, and of one more with the given text, if it is
// not empty. With imports it holds lint.proto and shared.proto too.
func compile(text string, imports bool, names ...string) ([]byte, error) {
	const extra = "extra.proto"
	sources := protocompile.SourceResolver{ImportPaths: []string{"testdata"}}
	resolve := func(path string) (protocompile.SearchResult, error) {
		if path == extra {
			return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
		}
		return sources.FindFileByPath(path)
	}
	if text != "" {
		names = append(names, extra)
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(resolve))}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	seen := make(map[string]bool)
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			if imports {
				add(file.Imports().Get(i).FileDescriptor)
			}
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range files {
		add(file)
	}
	return proto.Marshal(set)
}

// laterFile declares the methods of later releases.
const laterFile = "later.proto"

// laterSet is what Gitaly 18.9 has beyond 16.11, compiled once: fuzzing asks for it with each input.
var laterSet = sync.OnceValues(func() ([]byte, error) { return compile("", true, laterFile) })

// laterFiles are its descriptors, with annotations that the types of this program can read.
var laterFiles = sync.OnceValues(func() (*protoregistry.Files, error) {
	data, err := laterSet()
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return nil, err
	}
	return protodesc.NewFiles(&set)
})

func later(tb testing.TB) DescriptorSet {
	tb.Helper()
	data, err := laterSet()
	if err != nil {
		tb.Fatal(err)
	}
	return DescriptorSet{Name: "18.9", Data: data}
}
