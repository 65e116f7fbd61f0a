package proxy

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
)

// errNoSidechannels says that a storage opens none: its connection has no
// backchannel.
var errNoSidechannels = status.Error(codes.Unimplemented, "the storage speaks no backchannel, and can open no sidechannel")

// errClientWithoutBackchannel is the client's mistake.
var errClientWithoutBackchannel = status.Errorf(codes.FailedPrecondition,
	"the call asks for a sidechannel (%s) over a connection without backchannel", channel.IDHeader)

// sidechannel is that of one attempt to have a call answered: a sidechannel that a storage opens
// for it is joined with one to the client. Nil is none.
type sidechannel struct {
	server *Server
	r      *request
	waiter *channel.Waiter
}

// expect waits for the sidechannel that may be opened on a connection for a call
// that is about to be sent with ctx; the context returned names it. After an
// error there is nothing to end, and nothing may be sent.
func (s *Server) expect(ctx context.Context, r *request, opened *channel.Registry) (context.Context, *sidechannel, error) {
	switch {
	case !r.asked:
		return ctx, nil, nil
	case opened == nil:
		return ctx, nil, errNoSidechannels
	}
	c := &sidechannel{server: s, r: r}
	ctx, c.waiter = opened.Expect(storage.WithBackchannel(ctx), relay)
	return ctx, c, nil
}

// relay joins the sidechannel that a storage has opened with one to the client.
func relay(ctx context.Context, opened *channel.ClientEnd) error {
	client, err := channel.Open(ctx) // ctx descends from that of the client's call
	if err != nil {
		return err
	}
	defer client.Close()
	return channel.Relay(ctx, client, opened)
}

// before puts the end of the sidechannel before the end of the call: everything
// has reached the client when it gets the status. That the sidechannel failed
// takes the place of a success; a failure of the call says more.
func (c *sidechannel) before(status func(stream.Outcome) error) func(stream.Outcome) error {
	if c == nil {
		return status
	}
	return func(o stream.Outcome) error {
		c.r.spent = c.r.spent || c.waiter.Opened()
		var err error
		if status != nil {
			err = status(o)
		}
		side := c.end()
		if err == nil && o.Err == nil {
			return side
		}
		if side != nil && c.r.ctx.Err() == nil {
			c.server.log.Warn("sidechannel of a call that failed", "method", c.r.method.FullName, "storage", c.r.call.storage,
				"correlation_id", c.r.call.correlationID, "err", side)
		}
		return err
	}
}

// end waits until all that the storage has sent is with the client.
func (c *sidechannel) end() error {
	if c == nil {
		return nil
	}
	err := c.waiter.Close()
	if errors.Is(err, channel.ErrNotOpened) {
		return nil // that is the storage's to decide
	}
	if err != nil {
		return fmt.Errorf("sidechannel: %w", err)
	}
	return nil
}
