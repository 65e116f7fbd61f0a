package admin

import (
	"context"

	"google.golang.org/grpc"
)

// switchCall is a message of a client in a switchover: first its request, later maybe Cancel.
type switchCall struct {
	Request *SwitchRequest `json:"request"`
	// Cancel asks to give up, if it is not too late.
	Cancel bool `json:"cancel"`
}

// switchReport is a message to the client: progress, and at last the response.
type switchReport struct {
	Progress *Progress       `json:"progress"`
	Response *SwitchResponse `json:"response"`
}

// switching answers a call that takes long, reports on its way and can be given up. That a client
// is gone, or has nothing more to say, are not the same: only the former gives up.
func switching(r rpc[switchCall, switchReport], answer func(*Service, context.Context, SwitchRequest, func(Progress)) (SwitchResponse, error)) func(*Service, served[switchCall, switchReport]) error {
	return func(s *Service, call served[switchCall, switchReport]) error {
		if call.request.Request == nil {
			return Errorf(Invalid, "the first message has no request")
		}
		ctx, cancel := context.WithCancel(call.ctx)
		defer cancel()
		s.receivers.Go(func() { awaitCancel(r, call.stream, cancel) }) // gRPC ends it when this handler returns
		response, err := answer(s, ctx, *call.request.Request, func(p Progress) {
			if err := call.send(switchReport{Progress: &p}); err != nil {
				cancel() // the client does not listen any more
			}
		})
		if err != nil {
			return err
		}
		return call.send(switchReport{Response: &response})
	}
}

func awaitCancel(r rpc[switchCall, switchReport], stream grpc.ServerStream, cancel func()) {
	for {
		in := r.Request().New()
		if err := stream.RecvMsg(in); err != nil {
			return // if the client is gone, the stream's context has ended
		}
		if r.Request().Read(in).Cancel {
			cancel()
		}
	}
}
