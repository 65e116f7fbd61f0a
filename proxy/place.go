package proxy

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"praefect/proxy/throttle"
)

// asideAfter is how long the ledger may have a write wait, as for a primary, before its place goes
// to a write that waits for storages only.
const asideAfter = 100 * time.Millisecond

// place is the place of a write among the writes that are at work; see throttle. A nil place is
// that of a write of a virtual storage that does not exist: the ledger refuses it.
type place struct {
	*throttle.Place
	born time.Time
	sent atomic.Int64 // nanoseconds from born until the client had sent all; 0: it has not
}

// place waits for one.
func (s *Server) place(ctx context.Context, r *request) (*place, error) {
	virtualStorage := r.keys[0].VirtualStorage
	if s.node.View().VirtualStorage(virtualStorage) == nil {
		return nil, nil
	}
	granted, err := s.throttle.Enter(ctx, virtualStorage, r.method.FullName)
	if err != nil {
		return nil, err
	}
	p := &place{Place: granted, born: time.Now()}
	if !r.method.ClientStreams {
		p.sent.Store(1)
	}
	r.stream = sendingStream{r.stream, p}
	return p, nil
}

// wait makes a call to the ledger that may wait for something else than storages. It reports whether
// the call waited for longer than asideAfter: the place went to another write then.
func (p *place) wait(call func()) (waited bool) {
	if p == nil {
		call()
		return false
	}
	timer := time.AfterFunc(asideAfter, p.Aside)
	call()
	return !timer.Stop()
}

// back waits for a place again if it went to another write.
func (p *place) back(ctx context.Context) error {
	if p == nil {
		return nil
	}
	return p.Back(ctx)
}

// leave gives the place back; err is how the write ended.
func (p *place) leave(err error) {
	if p == nil {
		return
	}
	var sent time.Time
	if after := p.sent.Load(); after > 0 {
		sent = p.born.Add(time.Duration(after))
	}
	p.Leave(err, sent)
}

// sendingStream notes when the client has sent all.
type sendingStream struct {
	grpc.ServerStream
	place *place
}

// RecvMsg implements grpc.ServerStream.
func (s sendingStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if errors.Is(err, io.EOF) {
		s.place.sent.CompareAndSwap(0, int64(time.Since(s.place.born)))
	}
	return err
}
