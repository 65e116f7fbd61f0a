package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// structType is a struct and a message with their fields in pairs.
type structType struct {
	fields    []fieldPair
	constants []constant
}

// fieldPair is a field of a struct, and the one of a message.
type fieldPair struct {
	index int
	field protoreflect.FieldDescriptor
	// value is how one value of them is made of the other; of a list or a map one element.
	value valuePair
	// empty tells that a list without elements is read as an empty one, which JSON shows; else as nil.
	empty bool
}

// constant is a field of a struct that is not in the message.
type constant struct {
	index int
	value reflect.Value
}

func mapStruct(t reflect.Type, d protoreflect.MessageDescriptor, constants map[string]any) (*structType, error) {
	s := &structType{}
	var seen []protoreflect.Name
	for i := range t.NumField() {
		f := t.Field(i)
		name, option := fieldName(f)
		if value, ok := constants[name]; ok {
			s.constants = append(s.constants, constant{i, reflect.ValueOf(value)})
			continue
		}
		field := d.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return nil, fmt.Errorf("message %s has no field %q for %v.%s", d.FullName(), name, t, f.Name)
		}
		pair := fieldPair{index: i, field: field, empty: f.Type.Kind() == reflect.Slice && option != "omitempty"}
		var err error
		if pair.value, err = mapField(f.Type, field, constants); err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, f.Name, err)
		}
		s.fields, seen = append(s.fields, pair), append(seen, field.Name())
	}
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); !slices.Contains(seen, f.Name()) {
			return nil, fmt.Errorf("%v has no field for %s", t, f.FullName())
		}
	}
	return s, nil
}

// fieldName is the name of a field in a message, and the option of its JSON tag. Without a tag it is
// the name in Go, in small letters: client_address for ClientAddress, cluster_id for ClusterID.
func fieldName(f reflect.StructField) (name, option string) {
	if name, option, _ = strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name, option
	}
	var b strings.Builder
	letters := []rune(f.Name)
	for i, r := range letters {
		begins := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String(), option
}

// mapField pairs the values of two fields, or the elements if they have several.
func mapField(t reflect.Type, d protoreflect.FieldDescriptor, constants map[string]any) (valuePair, error) {
	switch {
	case d.IsMap():
		if t != reflect.TypeFor[map[string]string]() || d.MapKey().Kind() != protoreflect.StringKind || d.MapValue().Kind() != protoreflect.StringKind {
			return nil, fmt.Errorf("%v is no %s; maps are of strings to strings", t, d.FullName())
		}
		return text{}, nil
	case d.IsList():
		if t.Kind() != reflect.Slice {
			return nil, fmt.Errorf("%v is no list, and %s is", t, d.FullName())
		}
		return mapValue(t.Elem(), d, constants)
	case t.Kind() == reflect.Pointer:
		if !d.HasPresence() {
			return nil, fmt.Errorf("%v may be nil, and %s is never absent", t, d.FullName())
		}
		return mapValue(t.Elem(), d, constants)
	}
	return mapValue(t, d, constants)
}

// mapValue pairs single values.
func mapValue(t reflect.Type, d protoreflect.FieldDescriptor, constants map[string]any) (valuePair, error) {
	kind := d.Kind()
	switch {
	case kind == protoreflect.StringKind && t.Kind() == reflect.String:
		return text{}, nil
	case kind == protoreflect.BoolKind && t.Kind() == reflect.Bool:
		return boolean{}, nil
	case kind == protoreflect.Int64Kind && (t.Kind() == reflect.Int || t.Kind() == reflect.Int64):
		return signed{}, nil
	case kind == protoreflect.Uint64Kind && t.Kind() == reflect.Uint64:
		return unsigned{}, nil
	case kind == protoreflect.DoubleKind && t.Kind() == reflect.Float64:
		return float{}, nil
	case kind == protoreflect.BytesKind && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return raw{}, nil
	case kind == protoreflect.MessageKind && t == reflect.TypeFor[time.Time]() && d.Message().FullName() == "google.protobuf.Timestamp":
		return instant{}, nil
	case kind == protoreflect.MessageKind && t == reflect.TypeFor[time.Duration]() && d.Message().FullName() == "google.protobuf.Duration":
		return span{}, nil
	case kind == protoreflect.MessageKind && t.Kind() == reflect.Struct:
		fields, err := mapStruct(t, d.Message(), constants)
		return nested{fields}, err
	}
	return nil, fmt.Errorf("%v is no %s of %s", t, kind, d.FullName())
}

func (s *structType) write(m protoreflect.Message, v reflect.Value) {
	for _, f := range s.fields {
		f.write(m, v.Field(f.index))
	}
}

func (f fieldPair) write(m protoreflect.Message, v reflect.Value) {
	switch {
	case f.field.IsMap():
		for entries := v.MapRange(); entries.Next(); {
			m.Mutable(f.field).Map().Set(f.value.write(entries.Key(), protoreflect.Value{}).MapKey(), f.value.write(entries.Value(), protoreflect.Value{}))
		}
	case f.field.IsList():
		if v.Len() == 0 {
			return
		}
		list := m.Mutable(f.field).List()
		for i := range v.Len() {
			list.Append(f.value.write(v.Index(i), list.NewElement()))
		}
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			m.Set(f.field, f.value.write(v.Elem(), m.NewField(f.field)))
		}
	case !v.IsZero():
		m.Set(f.field, f.value.write(v, m.NewField(f.field)))
	}
}

func (s *structType) read(m protoreflect.Message, v reflect.Value) {
	for _, f := range s.fields {
		f.read(m, v.Field(f.index))
	}
	for _, c := range s.constants {
		v.Field(c.index).Set(c.value)
	}
}

func (f fieldPair) read(m protoreflect.Message, v reflect.Value) {
	switch {
	case f.field.IsMap():
		if !m.Has(f.field) {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for key, value := range m.Get(f.field).Map().Range {
			v.SetMapIndex(reflect.ValueOf(key.String()), reflect.ValueOf(value.String()))
		}
	case f.field.IsList():
		list := m.Get(f.field).List()
		if list.Len() == 0 && !f.empty {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), list.Len(), list.Len()))
		for i := range list.Len() {
			f.value.read(list.Get(i), v.Index(i))
		}
	case v.Kind() == reflect.Pointer:
		if m.Has(f.field) {
			v.Set(reflect.New(v.Type().Elem()))
			f.value.read(m.Get(f.field), v.Elem())
		}
	default:
		f.value.read(m.Get(f.field), v) // the default of an absent field
	}
}
