// Package wiretest shows for the methods of a service that their structs and messages hold the
// same, and that the service is served as its .proto files describe it.
package wiretest

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"praefect/fsm/wire"
)

// Travel sends documents of both sides of a method through bytes: one with a value in every field,
// and one without any. constant is the value of fields that are not in a message.
func Travel[Request, Response any](t *testing.T, m wire.Method[Request, Response], constant int64) {
	t.Helper()
	travel(t, m.Request(), constant)
	travel(t, m.Response(), constant)
}

func travel[T any](t *testing.T, of *wire.Type[T], constant int64) {
	t.Helper()
	var none T
	if got := arrived(t, of, none); !cmp.Equal(arrived(t, of, got), got) {
		t.Errorf("%T without a field: got %+v", none, got)
	}
	f := filler{constant: constant}
	if of.New().ProtoReflect().Descriptor().Oneofs().Len() == 0 {
		full := none
		f.fill(reflect.ValueOf(&full).Elem())
		if got := arrived(t, of, full); !cmp.Equal(got, full) || printed(t, got) != printed(t, full) {
			t.Errorf("%T: %s", full, cmp.Diff(full, got))
		}
		return
	}
	for i := range reflect.TypeFor[T]().NumField() { // one at a time
		one := none
		f.fill(reflect.ValueOf(&one).Elem().Field(i))
		if got := arrived(t, of, one); !cmp.Equal(got, one) {
			t.Errorf("%T: %s", one, cmp.Diff(one, got))
		}
	}
}

func arrived[T any](t *testing.T, of *wire.Type[T], document T) T {
	t.Helper()
	text, err := proto.Marshal(of.Write(document))
	if err != nil {
		t.Fatal(err)
	}
	m := of.New()
	if err := proto.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return of.Read(m)
}

func printed(t *testing.T, document any) string {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// filler gives fields values of their own.
type filler struct{ constant, next int64 }

func (f *filler) fill(v reflect.Value) {
	f.next++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(f.next, f.next).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Schema" {
				v.Field(i).SetInt(f.constant)
				continue
			}
			f.fill(v.Field(i))
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case v.Kind() == reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b", "c": "d"}))
	case v.Kind() == reflect.String:
		v.SetString(time.Duration(f.next).String())
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(f.next)
	case v.CanUint():
		v.SetUint(uint64(f.next))
	case v.CanFloat():
		v.SetFloat(float64(f.next) / 3)
	default:
		panic(v.Type())
	}
}

// Served compares a service with its description: the same methods, each with its streams. tested
// are the names of the methods that Travel was called for.
func Served(t *testing.T, described protoreflect.ServiceDescriptor, served *grpc.ServiceDesc, tested []string) {
	t.Helper()
	streams := map[string][2]bool{} // from the client, from the server
	for _, m := range served.Methods {
		streams[m.MethodName] = [2]bool{}
	}
	for _, s := range served.Streams {
		streams[s.StreamName] = [2]bool{s.ClientStreams, s.ServerStreams}
	}
	for i := range described.Methods().Len() {
		m := described.Methods().Get(i)
		got, ok := streams[string(m.Name())]
		if want := [2]bool{m.IsStreamingClient(), m.IsStreamingServer()}; !ok || got != want {
			t.Errorf("%s: served: %v, streams %v, want %v", m.FullName(), ok, got, want)
		}
		if !slices.Contains(tested, string(m.Name())) {
			t.Errorf("%s: no test sends its messages", m.FullName())
		}
	}
	if got, want := len(streams), described.Methods().Len(); got != want || served.ServiceName != string(described.FullName()) {
		t.Errorf("%s is served with %d methods, %s has %d", served.ServiceName, got, described.FullName(), want)
	}
}
