package admin

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"praefect/wire"
)

// Every field of every document arrives, and every method of the .proto file is served as it says.
func TestRPCs_areThoseOfTheProtoFile(t *testing.T) {
	var names []string
	for _, r := range []interface{ travel(*testing.T) string }{
		rpcStatus, rpcRaftStatus, rpcHistory, rpcDataloss, rpcQueueList, rpcExplain, rpcVerify, rpcRequestVerification,
		rpcVerificationWaiting, rpcLosses, rpcDiff, rpcRepositories, rpcImpact, rpcFigures, rpcShareConditions, rpcAddInstance,
		rpcRemoveInstance, rpcRetireInstance, rpcTransferLeadership, rpcUndrain, rpcRefill, rpcPause, rpcResume, rpcAcceptLoss,
		rpcRetryJobs, rpcDropJobs, rpcReconcile, rpcRemove, rpcPromote, rpcDrain, rpcSnapshot, rpcDebug,
	} {
		names = append(names, r.travel(t))
	}
	var served, described []string
	desc := serviceDesc()
	for _, m := range desc.Methods {
		served = append(served, m.MethodName)
	}
	for _, s := range desc.Streams {
		served = append(served, s.StreamName)
	}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		described = append(described, string(m.Name()))
		isStream := slices.ContainsFunc(desc.Streams, func(s grpc.StreamDesc) bool { return s.StreamName == string(m.Name()) })
		if isStream != (m.IsStreamingClient() || m.IsStreamingServer()) {
			t.Errorf("%s is served as a stream: %v, and is described otherwise", m.Name(), isStream)
		}
	}
	slices.Sort(names)
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(described, served) || !slices.Equal(described, names) {
		t.Errorf("described: %q\nserved:    %q\ntested:    %q", described, served, names)
	}
}

// travel sends documents of both sides of a method through bytes, and returns the method's name.
func (r rpc[Request, Response]) travel(t *testing.T) string {
	t.Helper()
	travel(t, r.types().request)
	travel(t, r.types().response)
	return r.name
}

func travel[T any](t *testing.T, of *wire.Type[T]) {
	t.Helper()
	var none T
	if got := arrived(t, of, none); !cmp.Equal(arrived(t, of, got), got) {
		t.Errorf("%T without a field: got %+v", none, got)
	}
	next := int64(0)
	if of.New().ProtoReflect().Descriptor().Oneofs().Len() == 0 {
		fill(reflect.ValueOf(&none).Elem(), &next)
		if got := arrived(t, of, none); !cmp.Equal(got, none) || printed(t, got) != printed(t, none) {
			t.Errorf("%T: %s", none, cmp.Diff(none, got))
		}
		return
	}
	for i := range reflect.TypeFor[T]().NumField() { // one at a time
		var one T
		fill(reflect.ValueOf(&one).Elem().Field(i), &next)
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

// fill gives every field below v a value of its own.
func fill(v reflect.Value, next *int64) {
	*next++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(*next, *next).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Schema" {
				v.Field(i).SetInt(Schema)
				continue
			}
			fill(v.Field(i), next)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case v.Kind() == reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b", "c": "d"}))
	case v.Kind() == reflect.String:
		v.SetString(time.Duration(*next).String())
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(*next)
	case v.CanUint():
		v.SetUint(uint64(*next))
	case v.CanFloat():
		v.SetFloat(float64(*next) / 3)
	default:
		panic(v.Type())
	}
}
