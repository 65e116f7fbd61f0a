package main

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"praefect/proxy/storage"
)

// TestServe_tellsItsServicesByReflection: a client without a file of this module finds the
// operators' service, its methods and messages, and calls one of them.
func TestServe_tellsItsServicesByReflection(t *testing.T) {
	i := serve(t, settings{}.write(t))
	cc, err := storage.NewClient(i.grpc, "")
	must(t, err)
	defer func() { should(t, cc.Close()) }()
	told := newReflected(t, cc)
	const name = "praefect.admin.v1.AdminService"
	services := told.services()
	if !slices.Contains(services, name) {
		t.Fatalf("got the services %q", services)
	}
	service := told.describe(name).Services().ByName("AdminService")
	if n := service.Methods().Len(); n < 30 {
		t.Errorf("got %d methods", n)
	}
	for m := range service.Methods().Len() {
		if d := service.Methods().Get(m); d.Input().FullName() == "google.protobuf.BytesValue" || d.Output().IsPlaceholder() {
			t.Errorf("%s has messages %s and %s", d.FullName(), d.Input().FullName(), d.Output().FullName())
		}
	}

	status := service.Methods().ByName("Status")
	request, answer := dynamicpb.NewMessage(status.Input()), dynamicpb.NewMessage(status.Output())
	request.Set(status.Input().Fields().ByName("virtual_storage"), protoreflect.ValueOfString("other"))
	eventually(t, func() error { return cc.Invoke(t.Context(), "/"+name+"/Status", request, answer) })
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	list := field(answer, "virtual_storages").List()
	if list.Len() != 1 || field(list.Get(0).Message(), "name").String() != "other" || len(answer.GetUnknown()) > 0 {
		t.Errorf("got %v", answer)
	}
}

// reflected is what a server tells of itself.
type reflected struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[reflectionpb.ServerReflectionRequest, reflectionpb.ServerReflectionResponse]
}

func newReflected(t *testing.T, cc grpc.ClientConnInterface) reflected {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
	must(t, err)
	return reflected{t, stream}
}

func (r reflected) ask(request *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
	r.t.Helper()
	must(r.t, r.stream.Send(request))
	answer, err := r.stream.Recv()
	must(r.t, err)
	if e := answer.GetErrorResponse(); e != nil {
		r.t.Errorf("%v: %s", request, e.GetErrorMessage())
	}
	return answer
}

func (r reflected) services() (names []string) {
	answer := r.ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

// describe returns the file that has a service, of nothing but the answer.
func (r reflected) describe(service string) protoreflect.FileDescriptor {
	r.t.Helper()
	answer := r.ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	})
	set := &descriptorpb.FileDescriptorSet{}
	for _, text := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptorpb.FileDescriptorProto{}
		must(r.t, proto.Unmarshal(text, file))
		set.File = append(set.File, file)
	}
	if len(set.File) == 0 {
		r.t.Errorf("no file describes %s", service)
		return nil
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		r.t.Fatalf("%s: %v", service, err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(service))
	must(r.t, err)
	return d.ParentFile()
}
