package method

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// DescriptorSet is a FileDescriptorSet as `protoc --descriptor_set_out` writes it.
type DescriptorSet struct {
	// Name is the file's, for errors.
	Name string
	// Data is its content.
	Data []byte
}

// Open builds the table with the descriptor sets in the given files, as [New] does.
func Open(paths ...string) (*Table, error) {
	sets := make([]DescriptorSet, len(paths))
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a descriptor set: %w", err)
		}
		sets[i] = DescriptorSet{Name: path, Data: data}
	}
	return New(sets...)
}

// addSet takes in every service of a set.
func (t *Table) addSet(set DescriptorSet) error {
	files, err := readSet(set.Data)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := t.addFile(file); err != nil {
			return fmt.Errorf("file %q: %w", file.Path(), err)
		}
	}
	return nil
}

// readSet returns the files of a set, in its order. A file that they import and the set lacks may
// be in the compiled-in API.
func readSet(data []byte) ([]protoreflect.FileDescriptor, error) {
	var set descriptorpb.FileDescriptorSet
	// No extension is resolved: the annotations that the options carry stay as they were written.
	if err := (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("not a FileDescriptorSet: %w", err)
	}
	if len(set.GetFile()) == 0 {
		return nil, fmt.Errorf("no file in it")
	}
	own := len(set.GetFile())
	complete(&set)
	registry, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("%w (was it written with --include_imports?)", err)
	}
	files := make([]protoreflect.FileDescriptor, own)
	for i, f := range set.GetFile()[:own] {
		if files[i], err = registry.FindFileByPath(f.GetName()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// complete adds to a set the files that its files import, as far as they are compiled in.
func complete(set *descriptorpb.FileDescriptorSet) {
	have := make(map[string]bool)
	for _, f := range set.GetFile() {
		have[f.GetName()] = true
	}
	for i := 0; i < len(set.GetFile()); i++ { // it grows
		for _, path := range set.GetFile()[i].GetDependency() {
			if have[path] {
				continue
			}
			if fd, err := protoregistry.GlobalFiles.FindFileByPath(path); err == nil {
				have[path] = true
				set.File = append(set.File, protodesc.ToFileDescriptorProto(fd))
			}
		}
	}
}
