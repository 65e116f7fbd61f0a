package method

import (
	"slices"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The slow, obvious reference implementation of the walk: it works on unmarshalled messages, by reflection, at request time.

// newRequest returns an empty request of the method.
func newRequest(tb testing.TB, m Method) proto.Message {
	tb.Helper()
	return dynamicpb.NewMessage(descriptorOf(tb, m.FullName).Input())
}

// marked returns the values of the populated fields that carry an annotation.
func marked(msg protoreflect.Message, annotation protoreflect.ExtensionType) []protoreflect.Value {
	var found []protoreflect.Value
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case proto.GetExtension(fd.Options(), annotation).(bool):
			found = append(found, v)
		case fd.Message() != nil && !fd.IsList() && !fd.IsMap():
			found = append(found, marked(v.Message(), annotation)...)
		}
		return true
	})
	return found
}

// referenceRepository returns the repository that carries an annotation, nil if none is populated.
func referenceRepository(tb testing.TB, msg proto.Message, annotation protoreflect.ExtensionType) protoreflect.Message {
	tb.Helper()
	found := marked(msg.ProtoReflect(), annotation)
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		tb.Fatalf("%d fields of %s are marked", len(found), msg.ProtoReflect().Descriptor().FullName())
	}
	return inPool(tb, found[0].Message(), false)
}

// inPool returns the repository that a marked field holds: itself, or the one in an object pool, which is made if asked.
func inPool(tb testing.TB, msg protoreflect.Message, make bool) protoreflect.Message {
	tb.Helper()
	switch name := msg.Descriptor().FullName(); name {
	case "gitaly.Repository":
		return msg
	case "gitaly.ObjectPool":
		fd := msg.Descriptor().Fields().ByName("repository")
		if !make && !msg.Has(fd) {
			return nil
		}
		return msg.Mutable(fd).Message()
	default:
		tb.Fatalf("a marked field is a %q", name)
		return nil
	}
}

func nameField(repo protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	return repo.Descriptor().Fields().ByName(name)
}

func setNames(repo protoreflect.Message, to Repository) {
	repo.Set(nameField(repo, "storage_name"), protoreflect.ValueOfString(to.StorageName))
	repo.Set(nameField(repo, "relative_path"), protoreflect.ValueOfString(to.RelativePath))
}

// referenceRead is what Read should find in an unmarshalled request.
func referenceRead(tb testing.TB, m Method, msg proto.Message) Request {
	tb.Helper()
	named := func(annotation protoreflect.ExtensionType) Repository {
		repo := referenceRepository(tb, msg, annotation)
		if repo == nil {
			return Repository{}
		}
		return Repository{
			StorageName:  repo.Get(nameField(repo, "storage_name")).String(),
			RelativePath: repo.Get(nameField(repo, "relative_path")).String(),
		}
	}
	switch m.Scope {
	case ScopeRepository:
		return Request{Target: named(gitalypb.E_TargetRepository), Additional: named(gitalypb.E_AdditionalRepository)}
	case ScopeStorage:
		if found := marked(msg.ProtoReflect(), gitalypb.E_Storage); len(found) == 1 {
			return Request{Storage: found[0].String()}
		}
	}
	return Request{}
}

// referenceRewrite sets the names in an unmarshalled request. What is not there it makes, as long as there is one way to it.
func referenceRewrite(tb testing.TB, m Method, msg proto.Message, r Request) {
	tb.Helper()
	set := func(annotation protoreflect.ExtensionType, to Repository) {
		repo := referenceRepository(tb, msg, annotation)
		if repo == nil {
			repo = populate(tb, msg.ProtoReflect(), annotation)
		}
		setNames(repo, to)
	}
	if fd := nameField(msg.ProtoReflect(), "replicate_object_deduplication_network_membership"); fd != nil {
		msg.ProtoReflect().Clear(fd)
	}
	switch m.Scope {
	case ScopeRepository:
		set(gitalypb.E_TargetRepository, r.Target)
		if (r.Additional != Repository{}) {
			set(gitalypb.E_AdditionalRepository, r.Additional)
		}
	case ScopeStorage:
		refl := msg.ProtoReflect()
		for i := range refl.Descriptor().Fields().Len() {
			if fd := refl.Descriptor().Fields().Get(i); proto.GetExtension(fd.Options(), gitalypb.E_Storage).(bool) {
				refl.Set(fd, protoreflect.ValueOfString(r.Storage))
			}
		}
	}
}

// populate makes the message that carries an annotation, and the messages around it, and returns the repository in it.
// It returns nil if no field does.
func populate(tb testing.TB, msg protoreflect.Message, annotation protoreflect.ExtensionType) protoreflect.Message {
	tb.Helper()
	for i := range msg.Descriptor().Fields().Len() {
		fd := msg.Descriptor().Fields().Get(i)
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			continue
		}
		if proto.GetExtension(fd.Options(), annotation).(bool) {
			return inPool(tb, msg.Mutable(fd).Message(), true)
		}
		if leadsTo(fd.Message(), annotation, nil) {
			return populate(tb, msg.Mutable(fd).Message(), annotation)
		}
	}
	return nil
}

// leadsTo reports whether a field in a message, or in the messages in it, carries an annotation.
func leadsTo(md protoreflect.MessageDescriptor, annotation protoreflect.ExtensionType, within []protoreflect.FullName) bool {
	if slices.Contains(within, md.FullName()) {
		return false
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if fd.IsList() || fd.IsMap() {
			continue
		}
		if proto.GetExtension(fd.Options(), annotation).(bool) ||
			fd.Message() != nil && leadsTo(fd.Message(), annotation, append(within, md.FullName())) {
			return true
		}
	}
	return false
}

func marshal(tb testing.TB, msg proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(msg)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// buffers wraps bytes as a message in one buffer, or in several of the given size.
func buffers(b []byte, size int) mem.BufferSlice {
	if size <= 0 {
		return mem.BufferSlice{mem.SliceBuffer(b)}
	}
	var s mem.BufferSlice
	for ; len(b) > size; b = b[size:] {
		s = append(s, mem.SliceBuffer(b[:size]))
	}
	return append(s, mem.SliceBuffer(b))
}
