// Package wire writes Go structs into protobuf messages and reads them back. The services of this
// module have their documents as Go structs, which the rest of the program uses and which -o json
// prints; the .proto files describe the same documents for the network. A field of a struct is the
// field of the message that has its JSON name; an embedded struct is the field that has the name of
// its type. Map promises that every field has its counterpart, so that nothing gets lost silently:
// a struct and a message that differ are an error when the program starts.
package wire

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Type is how a struct T and a message are made of one another.
type Type[T any] struct {
	message protoreflect.MessageType
	fields  *structType
}

// Map pairs T with the message of a descriptor, whose Go code must be linked in. constants are the
// values of fields, by their JSON names, that are not in the message: reading sets them.
func Map[T any](d protoreflect.MessageDescriptor, constants map[string]any) (*Type[T], error) {
	message, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, fmt.Errorf("find the Go type of message %s: %w", d.FullName(), err)
	}
	fields, err := mapStruct(reflect.TypeFor[T](), d, constants)
	if err != nil {
		return nil, fmt.Errorf("struct %v and message %s differ: %w", reflect.TypeFor[T](), d.FullName(), err)
	}
	return &Type[T]{message, fields}, nil
}

// New returns an empty message, to receive one.
func (t *Type[T]) New() proto.Message { return t.message.New().Interface() }

// Write returns the message of v. Text that is not UTF-8 has U+FFFD in place of the wrong bytes.
func (t *Type[T]) Write(v T) proto.Message {
	m := t.message.New()
	t.fields.write(m, reflect.ValueOf(&v).Elem())
	return m.Interface()
}

// Read returns the struct of a message, which is one of this type.
func (t *Type[T]) Read(m proto.Message) (v T) {
	t.fields.read(m.ProtoReflect(), reflect.ValueOf(&v).Elem())
	return v
}
