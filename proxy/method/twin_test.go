package method

import (
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The slow, obvious twin of the walk: it works on unmarshalled messages, by reflection, at request time.

// newRequest returns an empty request of the generated type.
func newRequest(tb testing.TB, m Method) proto.Message {
	tb.Helper()
	mt, err := protoregistry.GlobalTypes.FindMessageByName(descriptorOf(tb, m.FullName).Input().FullName())
	if err != nil {
		tb.Fatal(err)
	}
	return mt.New().Interface()
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

// twinRepository returns the repository that carries an annotation, nil if none is populated.
func twinRepository(tb testing.TB, msg proto.Message, annotation protoreflect.ExtensionType) *gitalypb.Repository {
	tb.Helper()
	found := marked(msg.ProtoReflect(), annotation)
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		tb.Fatalf("%d fields of %T are marked", len(found), msg)
	}
	switch v := found[0].Message().Interface().(type) {
	case *gitalypb.Repository:
		return v
	case *gitalypb.ObjectPool:
		return v.GetRepository()
	default:
		tb.Fatalf("marked field of %T is a %T", msg, v)
		return nil
	}
}

// twinRead is what Read should find in an unmarshalled request.
func twinRead(tb testing.TB, m Method, msg proto.Message) Request {
	tb.Helper()
	named := func(r *gitalypb.Repository) Repository {
		return Repository{StorageName: r.GetStorageName(), RelativePath: r.GetRelativePath()}
	}
	switch m.Scope {
	case ScopeRepository:
		return Request{
			Target:     named(twinRepository(tb, msg, gitalypb.E_TargetRepository)),
			Additional: named(twinRepository(tb, msg, gitalypb.E_AdditionalRepository)),
		}
	case ScopeStorage:
		if found := marked(msg.ProtoReflect(), gitalypb.E_Storage); len(found) == 1 {
			return Request{Storage: found[0].String()}
		}
	}
	return Request{}
}

// twinRewrite sets the names in an unmarshalled request. What is not there it makes, as long as there is one way to it.
func twinRewrite(tb testing.TB, m Method, msg proto.Message, r Request) {
	tb.Helper()
	set := func(annotation protoreflect.ExtensionType, to Repository) {
		repo := twinRepository(tb, msg, annotation)
		if repo == nil {
			repo = populate(msg.ProtoReflect(), annotation)
		}
		repo.StorageName, repo.RelativePath = to.StorageName, to.RelativePath
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
func populate(msg protoreflect.Message, annotation protoreflect.ExtensionType) *gitalypb.Repository {
	for i := range msg.Descriptor().Fields().Len() {
		fd := msg.Descriptor().Fields().Get(i)
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			continue
		}
		if proto.GetExtension(fd.Options(), annotation).(bool) {
			switch v := msg.Mutable(fd).Message().Interface().(type) {
			case *gitalypb.Repository:
				return v
			case *gitalypb.ObjectPool:
				if v.Repository == nil {
					v.Repository = &gitalypb.Repository{}
				}
				return v.Repository
			}
		}
		if len(waysTo(fd.Message(), annotation, nil)) > 0 {
			return populate(msg.Mutable(fd).Message(), annotation)
		}
	}
	return nil
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
