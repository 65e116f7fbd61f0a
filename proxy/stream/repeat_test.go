package stream

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// attempts are the streams that a repeatable connection has opened.
type attempts struct {
	grpc.ClientConnInterface
	mu   sync.Mutex
	all  []*attempt
	fail error
}

func (a *attempts) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return nil, a.fail
	}
	at := &attempt{ctx: ctx, responses: make(chan string), ended: make(chan struct{})}
	a.all = append(a.all, at)
	return at, nil
}

func (a *attempts) number(n int) *attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[n]
}

// attempt is one of them; the test plays the storage.
type attempt struct {
	grpc.ClientStream
	ctx       context.Context
	responses chan string
	ended     chan struct{}
	err       error // set before ended is closed

	mu     sync.Mutex
	got    []string
	closed bool
}

func (a *attempt) SendMsg(m any) error {
	select {
	case <-a.ended:
		return io.EOF
	default:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, string(m.(*Frame).data.Materialize()))
	return nil
}

func (a *attempt) CloseSend() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	return nil
}

func (a *attempt) RecvMsg(m any) error {
	select {
	case r := <-a.responses:
		m.(*Frame).data = mem.BufferSlice{mem.SliceBuffer(r)}
		return nil
	case <-a.ended:
		return a.err
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

func (a *attempt) end(err error) {
	a.err = err
	a.ctx.Value(arrivalKey{}).(*arrival).arrived.Store(!errors.Is(err, errGone))
	close(a.ended)
}

func (a *attempt) requests() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := strings.Join(a.got, " ")
	if a.closed {
		text += " end"
	}
	return text
}

// errGone is the end of an attempt whose storage says nothing of it.
var errGone = errors.New("the connection is gone")

// repeating is a stream with turns that the test gives.
type repeating struct {
	*testing.T
	*attempts
	stream   grpc.ClientStream
	turns    chan bool
	once     int
	kept     Budget
	received []string
	err      error
	over     chan struct{}
}

func newRepeating(t *testing.T, later bool) *repeating {
	r := &repeating{T: t, attempts: &attempts{}, turns: make(chan bool), kept: Budget{Limit: 4 << 20}, over: make(chan struct{})}
	conn := Repeatable(r.attempts, Repeat{
		Later: later, Once: func() { r.once++ }, Kept: &r.kept,
		Turn: func(ctx context.Context) bool {
			select {
			case turn := <-r.turns:
				return turn
			case <-ctx.Done():
				return false
			}
		},
	})
	var err error
	if r.stream, err = conn.NewStream(context.WithValue(t.Context(), arrivalKey{}, new(arrival)), &grpc.StreamDesc{}, "/a.B/C"); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.over)
		var frame Frame
		for {
			if r.err = r.stream.RecvMsg(&frame); r.err != nil {
				return
			}
			r.received = append(r.received, string(frame.data.Materialize()))
			frame.Free()
		}
	}()
	return r
}

func (r *repeating) send(text string) {
	r.Helper()
	frame := NewFrame(mem.BufferSlice{mem.SliceBuffer(text)})
	defer frame.Free()
	if err := r.stream.SendMsg(frame); err != nil {
		r.Errorf("send %.10q: %v", text, err)
	}
}

func (r *repeating) want(n int, requests string) {
	r.Helper()
	synctest.Wait()
	if got := r.number(n).requests(); got != requests {
		r.Errorf("attempt %d got %.40q, want %.40q", n, got, requests)
	}
}

func TestRepeatable_sendsAllAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeating(t, false)
		r.send("a")
		r.send("b")
		r.want(0, "a b")
		r.number(0).responses <- "refused"
		r.number(0).end(errors.New("aborted"))
		synctest.Wait()
		r.send("c") // while there is no attempt
		r.turns <- true
		r.want(1, "a b c")
		if err := r.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		r.want(1, "a b c end")
		r.number(1).end(errors.New("aborted again"))
		r.turns <- true
		r.want(2, "a b c end")
		r.number(2).responses <- "done"
		r.number(2).responses <- "and more"
		r.number(2).end(io.EOF)
		r.turns <- false
		<-r.over
		if got := strings.Join(r.received, ", "); r.err != io.EOF || got != "refused, and more" { // as many as one attempt gave
			t.Errorf("received %q, then %v", got, r.err)
		}
		if r.kept.used.Load() != 0 || r.once != 0 {
			t.Errorf("%d bytes are kept; too large %d times", r.kept.used.Load(), r.once)
		}
		if err := r.stream.SendMsg(&Frame{}); err != io.EOF {
			t.Errorf("send after the end: %v", err)
		}
	})
}

func TestRepeatable_notAfterALostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeating(t, false)
		r.send("a")
		r.want(0, "a")
		r.number(0).end(errGone)
		if <-r.over; r.err != errGone {
			t.Errorf("ended with %v", r.err)
		}
	})
}

func TestRepeatable_begunLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeating(t, true)
		r.send("a")
		if err := r.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(r.all) != 0 {
			t.Fatal("it was sent before its turn")
		}
		r.turns <- true
		r.want(0, "a end")
		r.number(0).end(io.EOF)
		r.turns <- false
		if <-r.over; r.err != io.EOF {
			t.Errorf("ended with %v", r.err)
		}
	})
}

func TestRepeatable_neverSent(t *testing.T) {
	for name, turn := range map[string]func(*repeating){
		"it gets no turn":     func(r *repeating) { r.turns <- false },
		"it cannot be opened": func(r *repeating) { r.fail = errors.New("the connection is gone"); r.turns <- true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRepeating(t, true)
				r.send("a")
				synctest.Wait()
				turn(r)
				if <-r.over; r.err == nil || r.err == io.EOF || len(r.all) != 0 || r.kept.used.Load() != 0 {
					t.Errorf("ended with %v, %d attempts, %d bytes kept", r.err, len(r.all), r.kept.used.Load())
				}
			})
		})
	}
}

// Requests that are too large are not kept: a call that has not begun gets its turn, and
// then all of them in their order.
func TestRepeatable_tooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", repeatBytes)
		r := newRepeating(t, true)
		r.send("a")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			r.send(large)
			r.send("b")
		}()
		synctest.Wait()
		if r.once != 1 {
			t.Errorf("said %d times that it is too large", r.once)
		}
		r.turns <- true
		<-sent
		r.want(0, "a "+large+" b")
		if r.kept.used.Load() != 0 {
			t.Errorf("%d bytes are kept", r.kept.used.Load())
		}
		r.number(0).end(errors.New("aborted"))
		r.turns <- false
		<-r.over
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRepeating(t, false)
		r.kept.Limit = 1 // others have the rest
		r.send("ab")
		r.want(0, "ab")
		r.number(0).end(io.EOF)
		r.turns <- false
		if <-r.over; r.once != 1 {
			t.Errorf("said %d times that there is no room", r.once)
		}
	})
}
