package method

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// annotation is the field number of an extension by which Gitaly's API states the facts that
// routing needs. Annotations are read by number and not by the types of this program, so that
// descriptors of any release can be read.
type annotation protowire.Number

const (
	annotatedIntercepted annotation = 82302 // of a service: bool
	annotatedOperation   annotation = 82303 // of a method: OperationMsg
	annotatedStorage     annotation = 91233 // of a field: bool, and so the others
	annotatedRepository  annotation = 91234
	annotatedTarget      annotation = 91235
	annotatedAdditional  annotation = 91236
)

// OperationMsg: its fields, and their possible values.
const (
	operationKind  protowire.Number = 1
	operationScope protowire.Number = 2
)

var (
	operationKinds  = map[uint64]Kind{1: Mutator, 2: Accessor, 3: Maintenance}
	operationScopes = map[uint64]Scope{
		0: ScopeRepository,
		2: ScopeStorage,
		3: ScopeStorage, // a partition: it is part of a storage, which such a request names too
	}
)

// in returns the last value that options give the annotation, and whether there is one. Numbers come as their varint.
func (a annotation) in(options protoreflect.ProtoMessage) (value []byte, ok bool, err error) {
	b, err := proto.Marshal(options)
	if err != nil {
		return nil, false, err
	}
	err = eachField(b, func(num protowire.Number, _ protowire.Type, field []byte) error {
		if num == protowire.Number(a) {
			value, ok = field, true
		}
		return nil
	})
	return value, ok, err
}

// marks reports whether options set the annotation to true.
func (a annotation) marks(options protoreflect.ProtoMessage) (bool, error) {
	value, _, err := a.in(options)
	if err != nil || value == nil {
		return false, err
	}
	v, n := protowire.ConsumeVarint(value)
	if n < 0 {
		return false, fmt.Errorf("annotation %d: %w", a, protowire.ParseError(n))
	}
	return v != 0, nil
}

// operationOf returns the kind and the scope that a method's options state.
func operationOf(md protoreflect.MethodDescriptor) (Kind, Scope, error) {
	value, ok, err := annotatedOperation.in(md.Options())
	if err != nil {
		return 0, 0, err
	}
	if !ok {
		return 0, 0, fmt.Errorf("no annotation %d says what kind of method it is", annotatedOperation)
	}
	msg, err := bytesOf(protowire.Number(annotatedOperation), protowire.BytesType, value)
	if err != nil {
		return 0, 0, err
	}
	said := make(map[protowire.Number]uint64)
	err = eachField(msg, func(num protowire.Number, typ protowire.Type, field []byte) error {
		if typ == protowire.VarintType {
			said[num], _ = protowire.ConsumeVarint(field) // eachField has seen that it is one
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	kind, ok := operationKinds[said[operationKind]]
	if !ok {
		return 0, 0, fmt.Errorf("unknown operation %d", said[operationKind])
	}
	scope, ok := operationScopes[said[operationScope]]
	if !ok {
		return 0, 0, fmt.Errorf("unknown scope %d", said[operationScope])
	}
	return kind, scope, nil
}
