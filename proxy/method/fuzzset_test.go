package method

import (
	"maps"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// FuzzDescriptorSet: a file that an operator names is taken in or refused, and changes
// nothing that is known.
func FuzzDescriptorSet(f *testing.F) {
	protoregistry.GlobalFiles.RangeFilesByPackage("gitaly", func(file protoreflect.FileDescriptor) bool {
		if file.Services().Len() > 0 && file.Services().Len() < 3 {
			f.Add(marshal(f, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(file)}}))
		}
		return true
	})
	base := newTable(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		table := &Table{methods: maps.Clone(base.methods)}
		if err := table.addSet(DescriptorSet{Name: "fuzz", Data: b}); err != nil {
			return
		}
		for name, known := range base.methods {
			m, ok := table.Lookup(name)
			if !ok || m.Kind != known.Kind || m.Scope != known.Scope || m.Refusal != known.Refusal || m.Directory != known.Directory {
				t.Fatalf("%s was %+v and is %+v", name, known, m)
			}
		}
	})
}
