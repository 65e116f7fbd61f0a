// Command protos writes the Go files of the .proto files of this module: make generate. It compiles
// them itself and runs the protoc-gen-go that go.mod pins, so that neither protoc nor anything else
// needs to be installed, and so that every machine writes the same bytes.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// packages are the folders with .proto files, from the root of the module.
var packages = []string{"proxy/admin/adminpb", "consensus/peer/peerpb"}

func main() {
	for _, folder := range packages {
		if err := write(context.Background(), folder); err != nil {
			fmt.Fprintf(os.Stderr, "generate %s: %v\n", folder, err)
			os.Exit(1)
		}
	}
}

func write(ctx context.Context, folder string) error {
	files, err := generate(ctx, ".", folder)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the Go files of the .proto files in a folder, by their paths from the root.
func generate(ctx context.Context, root, folder string) (map[string][]byte, error) {
	request, err := compile(ctx, root, folder)
	if err != nil {
		return nil, err
	}
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	plugin := exec.CommandContext(ctx, "go", "tool", "protoc-gen-go")
	plugin.Dir, plugin.Stdin, plugin.Stderr = root, bytes.NewReader(in), os.Stderr
	out, err := plugin.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool protoc-gen-go: %w", err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out, response); err != nil {
		return nil, fmt.Errorf("the answer of protoc-gen-go: %w", err)
	}
	if response.Error != nil {
		return nil, fmt.Errorf("protoc-gen-go: %s", response.GetError())
	}
	files := make(map[string][]byte)
	for _, f := range response.GetFile() {
		files[f.GetName()] = []byte(f.GetContent())
	}
	return files, nil
}

// compile is the request to a plugin of protoc for all .proto files in a folder.
func compile(ctx context.Context, root, folder string) (*pluginpb.CodeGeneratorRequest, error) {
	names, err := filepath.Glob(filepath.Join(root, folder, "*.proto"))
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	for _, name := range names {
		request.FileToGenerate = append(request.FileToGenerate, folder+"/"+filepath.Base(name))
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, request.FileToGenerate...)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, f := range compiled {
		request.ProtoFile = appendWithImports(request.ProtoFile, f, seen)
	}
	return request, nil
}

// appendWithImports appends a file behind the files that it imports, as a plugin wants them.
func appendWithImports(list []*descriptorpb.FileDescriptorProto, f protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return list
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		list = appendWithImports(list, f.Imports().Get(i).FileDescriptor, seen)
	}
	return append(list, protodesc.ToFileDescriptorProto(f))
}
