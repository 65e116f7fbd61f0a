package admin

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Client calls the service. Of a change it tells, even if the connection breaks, whether it may
// have taken effect: every error is an *Error.
type Client struct {
	cc         grpc.ClientConnInterface
	adminToken string
}

var _ Control = (*Client)(nil)

// NewClient makes a client on a connection, which the caller keeps.
func NewClient(cc grpc.ClientConnInterface) *Client { return &Client{cc: cc} }

// WithAdminToken returns a client on the same connection that proves to know
// the secret wherever it changes something.
func (c *Client) WithAdminToken(secret string) *Client {
	return &Client{cc: c.cc, adminToken: secret}
}

// lastWord is how long a client that gave up waits for the instance to report the end of its
// request.
const lastWord = 10 * time.Second

// exchange is one call: a request, messages that may follow, and the answers.
type exchange[Request, Response any] struct {
	rpc    rpc[Request, Response]
	stream grpc.ClientStream
	cancel context.CancelFunc
	// untie undoes the tie of the call to its context.
	untie func()
}

// begin opens a call and sends its request. After an error, which is an *Error,
// nothing has reached a service, so that nothing can have changed.
//
// When ctx ends the call is cut off; with giveUp it gets that message instead, and has lastWord to
// end.
func begin[Request, Response any](ctx context.Context, c *Client, r rpc[Request, Response], request Request, giveUp *Request) (*exchange[Request, Response], error) {
	out, body, err := r.write(request)
	if err != nil {
		return nil, Errorf(Invalid, "%v", err)
	}
	outgoing := show(ctx, c.adminToken, r.Path(), body)
	detached, cancel := context.WithCancel(context.WithoutCancel(outgoing))
	connected := context.AfterFunc(ctx, cancel)
	stream, err := c.cc.NewStream(detached, r.Stream(), r.Path())
	if !connected() {
		cancel()
		return nil, gaveUp(ctx)
	}
	if err == nil {
		err = stream.SendMsg(out)
	}
	// io.EOF is the end of the call, of which receiving tells more.
	if err != nil && !errors.Is(err, io.EOF) {
		cancel()
		return nil, fromFront(cmp.Or(refusal(err), NotReached), err)
	}
	x := &exchange[Request, Response]{rpc: r, stream: stream, cancel: cancel}
	x.untie = x.heed(ctx, giveUp)
	return x, nil
}

// heed lets the end of ctx reach the call, until the returned function is
// called.
func (x *exchange[Request, Response]) heed(ctx context.Context, giveUp *Request) (untie func()) {
	heeded := make(chan struct{})
	bound := time.AfterFunc(math.MaxInt64, x.cancel)
	stop := context.AfterFunc(ctx, func() {
		defer close(heeded)
		if giveUp == nil {
			x.cancel()
			return
		}
		bound.Reset(lastWord)
		_ = x.stream.SendMsg(x.rpc.Request().Write(*giveUp)) // if it fails the call has ended, and says how
	})
	return func() {
		if !stop() {
			<-heeded
		}
		bound.Stop()
	}
}

func (x *exchange[Request, Response]) end() {
	x.untie()
	x.cancel()
}

// receive waits for the next answer.
func (x *exchange[Request, Response]) receive() (response Response, err error) {
	in := x.rpc.Response().New()
	if err := x.stream.RecvMsg(in); err != nil {
		return response, err
	}
	return x.rpc.Response().Read(in), nil
}

// KindOf is the kind of an error that came from a service, empty if the error
// came from elsewhere and so has none.
func KindOf(err error) Kind {
	if told, ok := errors.AsType[*Error](err); ok {
		return told.Kind
	}
	if told := fromStatus(err); told != nil {
		return told.Kind
	}
	return ""
}

// IsTold tells whether an error came from a service, which itself names the next step.
func IsTold(err error) bool {
	told, ok := errors.AsType[*Error](err)
	return ok && !told.front || fromStatus(err) != nil
}

// refusal is the kind of an error by which the front of an instance, or gRPC, refused the call
// before the service was asked; empty if the service may have been asked.
func refusal(err error) Kind {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		return Denied
	case codes.InvalidArgument:
		return Invalid
	case codes.ResourceExhausted:
		return NotAvailable
	case codes.Unimplemented: // no praefect, or one of another release
		return NotReached
	}
	return ""
}

// fromFront is the error of a call that did not reach a service.
func fromFront(kind Kind, err error) *Error {
	told := Errorf(kind, "%s", status.Convert(err).Message())
	told.front, told.code = true, status.Code(err)
	return told
}

// gaveUp is the error of a request that the caller ended before it had arrived.
func gaveUp(ctx context.Context) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Errorf(TimedOut, "not done in time")
	}
	return Errorf(Canceled, "given up")
}

// outcome turns the end of a change into an error that says whether it may have had an effect.
func outcome(ctx context.Context, err error) *Error {
	if known := fromStatus(err); known != nil {
		if known.Kind == Canceled && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			known.Kind = TimedOut
		}
		return known
	}
	if kind := refusal(err); kind != "" {
		return fromFront(kind, err)
	}
	return Errorf(OutcomeUnknown, "the answer did not arrive: %s", status.Convert(err).Message())
}

// asked makes of the end of a question why there is no answer: it has changed
// nothing, however it ended.
func asked(ctx context.Context, err error) *Error {
	known := outcome(ctx, err)
	switch {
	case known.Kind != OutcomeUnknown:
		return known
	case ctx.Err() != nil:
		return gaveUp(ctx)
	}
	known.Kind = NotReached
	return known
}

// change carries out one change.
func change[Request, Response any](ctx context.Context, c *Client, r rpc[Request, Response], request Request) (response Response, err error) {
	x, err := begin(ctx, c, r, request, nil)
	if err != nil {
		return response, err
	}
	defer x.end()
	if response, err = x.receive(); err != nil {
		return response, outcome(ctx, err)
	}
	return response, nil
}

// switchover carries out a change that reports on its way.
func (c *Client) switchover(ctx context.Context, r rpc[switchCall, switchReport], request SwitchRequest, progress func(Progress)) (SwitchResponse, error) {
	giveUp := &switchCall{Cancel: true}
	if request.DryRun {
		giveUp = nil
	}
	x, err := begin(ctx, c, r, switchCall{Request: &request}, giveUp)
	if err != nil {
		return SwitchResponse{}, err
	}
	defer x.end()
	for {
		report, err := x.receive()
		switch {
		case err != nil && request.DryRun:
			return SwitchResponse{}, asked(ctx, err)
		case err != nil:
			return SwitchResponse{}, outcome(ctx, err)
		case report.Response != nil:
			return *report.Response, nil
		case report.Progress != nil:
			progress(*report.Progress)
		}
	}
}
