package wire

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Method is one method of a service, with the structs that its messages are made of. The messages
// are only looked at when a Method is used first.
type Method[Request, Response any] struct {
	service protoreflect.ServiceDescriptor
	name    string
	types   func() types[Request, Response]
}

type types[Request, Response any] struct {
	request  *Type[Request]
	response *Type[Response]
}

// MethodOf describes a method; constants are as in Map. A struct that differs from its message makes
// the first use panic: both are parts of the program, and a test that uses the method finds it.
func MethodOf[Request, Response any](service protoreflect.ServiceDescriptor, name string, constants map[string]any) Method[Request, Response] {
	m := Method[Request, Response]{service: service, name: name}
	m.types = sync.OnceValue(func() types[Request, Response] {
		d := m.descriptor()
		return types[Request, Response]{mustMap[Request](d.Input(), constants), mustMap[Response](d.Output(), constants)}
	})
	return m
}

func mustMap[T any](d protoreflect.MessageDescriptor, constants map[string]any) *Type[T] {
	t, err := Map[T](d, constants)
	if err != nil {
		panic(err)
	}
	return t
}

func (m Method[Request, Response]) descriptor() protoreflect.MethodDescriptor {
	return m.service.Methods().ByName(protoreflect.Name(m.name))
}

// Name is the name of the method in its service.
func (m Method[Request, Response]) Name() string { return m.name }

// Path is the name of the method in a call.
func (m Method[Request, Response]) Path() string {
	return "/" + string(m.service.FullName()) + "/" + m.name
}

// Request is how the requests of the method are made.
func (m Method[Request, Response]) Request() *Type[Request] { return m.types().request }

// Response is how its responses are made.
func (m Method[Request, Response]) Response() *Type[Response] { return m.types().response }

// Stream describes the method to gRPC as a stream; gRPC makes every call as one.
func (m Method[Request, Response]) Stream() *grpc.StreamDesc {
	d := m.descriptor()
	return &grpc.StreamDesc{StreamName: m.name, ClientStreams: d.IsStreamingClient(), ServerStreams: d.IsStreamingServer()}
}
