package wire

import (
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// valuePair makes a value of a message of one of a struct, and back.
type valuePair interface {
	// write returns the value of v; into is a new one, if it is a message.
	write(v reflect.Value, into protoreflect.Value) protoreflect.Value
	read(from protoreflect.Value, v reflect.Value)
}

type (
	text     struct{}
	boolean  struct{}
	signed   struct{}
	unsigned struct{}
	float    struct{}
	raw      struct{}
	instant  struct{}
	span     struct{}
	nested   struct{ fields *structType }
)

// A path or the text of an error may have any bytes. One of them is no reason to send nothing.
func (text) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfString(strings.ToValidUTF8(v.String(), "\uFFFD"))
}
func (text) read(from protoreflect.Value, v reflect.Value) { v.SetString(from.String()) }

func (boolean) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfBool(v.Bool())
}
func (boolean) read(from protoreflect.Value, v reflect.Value) { v.SetBool(from.Bool()) }

func (signed) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfInt64(v.Int())
}
func (signed) read(from protoreflect.Value, v reflect.Value) { v.SetInt(from.Int()) }

func (unsigned) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfUint64(v.Uint())
}
func (unsigned) read(from protoreflect.Value, v reflect.Value) { v.SetUint(from.Uint()) }

func (float) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfFloat64(v.Float())
}
func (float) read(from protoreflect.Value, v reflect.Value) { v.SetFloat(from.Float()) }

func (raw) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfBytes(v.Bytes())
}
func (raw) read(from protoreflect.Value, v reflect.Value) { v.SetBytes(from.Bytes()) }

// The zero time is an absent timestamp.
func (instant) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfMessage(timestamppb.New(v.Interface().(time.Time)).ProtoReflect())
}
func (instant) read(from protoreflect.Value, v reflect.Value) {
	if m := from.Message(); m.IsValid() {
		v.Set(reflect.ValueOf(m.Interface().(*timestamppb.Timestamp).AsTime()))
	}
}

func (span) write(v reflect.Value, _ protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfMessage(durationpb.New(time.Duration(v.Int())).ProtoReflect())
}
func (span) read(from protoreflect.Value, v reflect.Value) {
	if m := from.Message(); m.IsValid() {
		v.SetInt(int64(m.Interface().(*durationpb.Duration).AsDuration()))
	}
}

func (n nested) write(v reflect.Value, into protoreflect.Value) protoreflect.Value {
	n.fields.write(into.Message(), v)
	return into
}
func (n nested) read(from protoreflect.Value, v reflect.Value) { n.fields.read(from.Message(), v) }
