package admin

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const serviceName = "praefect.Admin"

// serviceDesc describes the service to gRPC, as protoc would.
func serviceDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			method("Status", (*Service).Status),
			method("Dataloss", (*Service).Dataloss),
			method("QueueList", (*Service).QueueList),
		},
	}
}

// method describes one method by the function that answers it.
func method[Request, Response any](name string, answer func(*Service, context.Context, Request) (Response, error)) grpc.MethodDesc {
	handle := func(srv any) grpc.UnaryHandler {
		return func(ctx context.Context, in any) (any, error) {
			var request Request
			if err := decode(in.(*wrapperspb.BytesValue).GetValue(), &request); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
			response, err := answer(srv.(*Service), ctx, request)
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(response)
			if err != nil {
				return nil, status.Errorf(codes.Internal, "encode the answer: %v", err)
			}
			return wrapperspb.Bytes(text), nil
		}
	}
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.BytesValue{}
			if err := dec(in); err != nil {
				return nil, err
			}
			if interceptor == nil {
				return handle(srv)(ctx, in)
			}
			return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: fullMethod(name)}, handle(srv))
		},
	}
}

func fullMethod(name string) string { return "/" + serviceName + "/" + name }

// decode reads a document if it has the schema that this program knows. Fields
// that it does not know are of a newer program, and say nothing to this one.
func decode(text []byte, document any) error {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return fmt.Errorf("not a JSON document: %w", err)
	}
	if version.Schema != Schema {
		return fmt.Errorf("the document has schema %d, this program knows %d", version.Schema, Schema)
	}
	if err := json.Unmarshal(text, document); err != nil {
		return fmt.Errorf("a document of another form: %w", err)
	}
	return nil
}

// Client calls the service.
type Client struct{ cc grpc.ClientConnInterface }

// NewClient makes a client on a connection, which the caller keeps.
func NewClient(cc grpc.ClientConnInterface) *Client { return &Client{cc: cc} }

// Status asks how the virtual storages are. The request's schema is set by the
// client, here and below; errors are gRPC statuses.
func (c *Client) Status(ctx context.Context, request StatusRequest) (StatusResponse, error) {
	request.Schema = Schema
	return call[StatusResponse](ctx, c.cc, "Status", request)
}

// Dataloss asks for one page of repositories of which a storage is behind.
func (c *Client) Dataloss(ctx context.Context, request DatalossRequest) (DatalossResponse, error) {
	request.Schema = Schema
	return call[DatalossResponse](ctx, c.cc, "Dataloss", request)
}

// QueueList asks for one page of replication jobs.
func (c *Client) QueueList(ctx context.Context, request QueueListRequest) (QueueListResponse, error) {
	request.Schema = Schema
	return call[QueueListResponse](ctx, c.cc, "QueueList", request)
}

func call[Response any](ctx context.Context, cc grpc.ClientConnInterface, name string, request any) (Response, error) {
	var response Response
	text, err := json.Marshal(request)
	if err != nil {
		return response, fmt.Errorf("encode the request: %w", err)
	}
	out := &wrapperspb.BytesValue{}
	if err := cc.Invoke(ctx, fullMethod(name), wrapperspb.Bytes(text), out); err != nil {
		return response, err
	}
	if err := decode(out.GetValue(), &response); err != nil {
		return response, fmt.Errorf("read the answer of %s: %w", name, err)
	}
	return response, nil
}
