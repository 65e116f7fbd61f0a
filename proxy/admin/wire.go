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
			method("RaftStatus", (*Service).RaftStatus),
			method("History", (*Service).History),
			method("Dataloss", (*Service).Dataloss),
			method("QueueList", (*Service).QueueList),
			method("Explain", (*Service).Explain),
			method("Verify", (*Service).Verify),
			method("RequestVerification", (*Service).requestVerification),
			method("VerificationWaiting", (*Service).verificationWaiting),
			method("Losses", (*Service).Losses),
			method("Diff", (*Service).diff),
			method("Repositories", (*Service).repositories),
			method("Impact", (*Service).impact),
			method("Figures", (*Service).figures),
			method("ShareConditions", (*Service).shareConditions),
			method("AddInstance", (*Service).addInstance),
			method("RemoveInstance", (*Service).removeInstance),
			method("RetireInstance", (*Service).retireInstance),
			method("TransferLeadership", (*Service).transferLeadership),
			method("Undrain", (*Service).undrain),
			method("Refill", (*Service).refill),
			method("Pause", (*Service).pause),
			method("Resume", (*Service).resume),
			method("AcceptLoss", (*Service).AcceptLoss),
			method("RetryJobs", (*Service).retryJobs),
			method("DropJobs", (*Service).dropJobs),
			method("Reconcile", (*Service).reconcile),
			method("Remove", (*Service).remove),
		},
		Streams: []grpc.StreamDesc{
			switching("Promote", (*Service).promote),
			switching("Drain", (*Service).drain),
			snapshotting(),
			debugging(),
		},
	}
}

// method describes one method by the function that answers it.
func method[Request, Response any](name string, answer func(*Service, context.Context, Request) (Response, error)) grpc.MethodDesc {
	handle := func(srv any) grpc.UnaryHandler {
		return func(ctx context.Context, in any) (any, error) {
			request, err := decodeRequest[Request](in.(*wrapperspb.BytesValue))
			if err != nil {
				return nil, err
			}
			ctx = withCall(ctx, fullMethod(name), in.(*wrapperspb.BytesValue).GetValue())
			response, err := answer(srv.(*Service), ctx, request)
			if err != nil {
				return nil, err
			}
			return encode(response)
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

// word is a message of a client after its request, in a call that takes long.
type word struct {
	Schema int `json:"schema"`
	// Cancel asks to give up, if it is not too late.
	Cancel bool `json:"cancel"`
}

// report is a message to the client meanwhile: progress, and at last the response.
type report struct {
	Schema   int             `json:"schema"`
	Progress *Progress       `json:"progress,omitempty"`
	Response *SwitchResponse `json:"response,omitempty"`
}

// switching describes a call that takes long, reports on its way and can be
// given up: the client sends its request and later, maybe, a word; it hears
// reports. That a client is gone, or has nothing more to say, are not the same:
// only the former gives up.
func switching(name string, answer func(*Service, context.Context, SwitchRequest, func(Progress)) (SwitchResponse, error)) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName:    name,
		ClientStreams: true,
		ServerStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			s := srv.(*Service)
			in := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			request, err := decodeRequest[SwitchRequest](in)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(withCall(stream.Context(), fullMethod(name), in.GetValue()))
			defer cancel()
			s.receivers.Go(func() { awaitCancel(stream, cancel) }) // gRPC ends it when this handler returns
			response, err := answer(s, ctx, request, func(p Progress) {
				if err := sendReport(stream, report{Progress: &p}); err != nil {
					cancel() // the client does not listen any more
				}
			})
			if err != nil {
				return err
			}
			return sendReport(stream, report{Response: &response})
		},
	}
}

func awaitCancel(stream grpc.ServerStream, cancel func()) {
	for {
		in := &wrapperspb.BytesValue{}
		if err := stream.RecvMsg(in); err != nil {
			return // if the client is gone, the stream's context has ended
		}
		if w, err := decodeRequest[word](in); err == nil && w.Cancel {
			cancel()
		}
	}
}

func sendReport(stream grpc.ServerStream, r report) error {
	r.Schema = Schema
	out, err := encode(r)
	if err != nil {
		return err
	}
	return stream.SendMsg(out)
}

func fullMethod(name string) string { return "/" + serviceName + "/" + name }

// encode makes the message of a document. Its error is a status.
func encode(document any) (*wrapperspb.BytesValue, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "encode %T: %v", document, err)
	}
	return wrapperspb.Bytes(text), nil
}

// decodeRequest reads the request of a client. Its error is a status.
func decodeRequest[Request any](in *wrapperspb.BytesValue) (request Request, err error) {
	if err := decode(in.GetValue(), &request); err != nil {
		return request, status.Error(codes.InvalidArgument, err.Error())
	}
	return request, nil
}

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
