package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/lease"
	"praefect/consensus/peer"
	"praefect/fsm/state"
)

// errNotLeading ends a stream to an instance that does not lead, or no more.
var errNotLeading = errors.New("this instance does not lead")

// Serve is the leader's end of a stream, until ctx or the term ends. It is
// consensus.Services.Lease.
func (s *Session) Serve(ctx context.Context, from peer.Addr, stream lease.Server) error {
	t := s.term()
	if t == nil {
		return errNotLeading
	}
	return t.serve(ctx, from.ID, stream)
}

// serve receives the messages of an instance and sends it the news.
func (t *term) serve(ctx context.Context, id string, stream lease.Server) error {
	heard := make(chan state.Incarnation, 1) // holds 1: its incarnation
	broken := make(chan error, 1)
	go func() { // ends with the stream, which ends when serve has returned
		broken <- t.listen(ctx, id, stream, heard)
	}()
	var inc state.Incarnation
	select {
	case inc = <-heard:
	case err := <-broken:
		return err
	case <-t.ended:
		return errNotLeading
	case <-ctx.Done():
		return ctx.Err()
	}
	var sent *lease.FromLeader
	again := time.NewTimer(leaderRepeat)
	defer again.Stop()
	var rounds pacer
	for repeated := true; ; {
		message, news := t.message(inc)
		if repeated || !reflect.DeepEqual(message, sent) { // the news may be for another instance
			if err := stream.Send(message); err != nil {
				return err
			}
			sent = message
			if sent.CalmMillis > 0 {
				again.Reset(elector.CalmRest)
			} else {
				again.Reset(leaderRepeat)
			}
		}
		repeated = false
		select {
		case <-news:
		case <-again.C:
			repeated = true
		case err := <-broken:
			return err
		case <-t.ended:
			return errNotLeading
		case <-ctx.Done():
			return ctx.Err()
		}
		rounds.round(t.s.cfg.Now(), ctx.Done()) // the next round sees that it was ended
	}
}

// listen takes the messages of one instance until the stream ends.
func (t *term) listen(ctx context.Context, id string, stream lease.Server, heard chan<- state.Incarnation) error {
	told := false
	for ctx.Err() == nil {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.InstanceID != id:
			return errors.New("the instance speaks for another one")
		}
		if in := t.s.node.View().Instance(m.Incarnation); in == nil || in.ID != id {
			return fmt.Errorf("incarnation %d is not live here: it is retired, or the news has not come yet", m.Incarnation)
		}
		t.receive(m)
		if m.Stopping {
			return nil
		}
		if !told {
			heard <- m.Incarnation
			told = true
		}
	}
	return ctx.Err()
}

// hear notes the message of an instance.
func (t *term) receive(m *lease.ToLeader) {
	now := t.s.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.known.Hear(now, m)
	t.dirty = t.dirty || news
	t.pace(m.InstanceID, time.Duration(m.HeartbeatTimeoutMillis)*time.Millisecond)
	t.look()
}

// message is the news for an instance, and the channel that is closed
// when there is more.
func (t *term) message(inc state.Incarnation) (*lease.FromLeader, <-chan struct{}) {
	now := t.s.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.known.Message(now, inc)
	if t.running != nil {
		if pause, ok := t.running.op.WritePauses(now); ok {
			m.WritePauses = []lease.WritePause{pause}
		}
	}
	return m, t.news
}

// pipe is a stream to this instance itself.
func (t *term) pipe(ctx context.Context, id string) lease.Client {
	ctx, cancel := context.WithCancel(ctx)
	p := &pipe{to: make(chan *lease.ToLeader), from: make(chan *lease.FromLeader), ended: ctx.Done(), cancel: cancel}
	p.serving.Go(func() {
		defer cancel()
		_ = t.serve(ctx, id, leaderEnd{p}) // why it ended is the same here as there
	})
	return p
}

// pipe is an instance's end of a stream within one process.
type pipe struct {
	to      chan *lease.ToLeader
	from    chan *lease.FromLeader
	ended   <-chan struct{}
	cancel  context.CancelFunc
	serving sync.WaitGroup
}

// Send implements lease.Client.
func (p *pipe) Send(m *lease.ToLeader) error {
	select {
	case p.to <- m:
		return nil
	case <-p.ended:
		return io.EOF
	}
}

// Recv implements lease.Client.
func (p *pipe) Recv() (*lease.FromLeader, error) {
	select {
	case m := <-p.from:
		return m, nil
	case <-p.ended:
		return nil, io.EOF
	}
}

// Close implements lease.Client.
func (p *pipe) Close() {
	p.cancel()
	p.serving.Wait()
}

// leaderEnd is the leader's.
type leaderEnd struct{ *pipe }

// Send implements lease.Server.
func (e leaderEnd) Send(m *lease.FromLeader) error {
	select {
	case e.from <- m:
		return nil
	case <-e.ended:
		return io.EOF
	}
}

// Recv implements lease.Server.
func (e leaderEnd) Recv() (*lease.ToLeader, error) {
	select {
	case m := <-e.to:
		return m, nil
	case <-e.ended:
		return nil, io.EOF
	}
}
