package peer

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// ended is a future that has ended.
type ended struct {
	raft.AppendFuture
	err  error
	req  raft.AppendEntriesRequest
	resp raft.AppendEntriesResponse
}

func (e *ended) Error() error                          { return e.err }
func (e *ended) Request() *raft.AppendEntriesRequest   { return &e.req }
func (e *ended) Response() *raft.AppendEntriesResponse { return &e.resp }

// blocked is a pipeline that takes no request until it is closed.
type blocked struct {
	answers chan raft.AppendFuture
	closed  chan struct{}
}

func (b *blocked) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-b.closed
	return nil, raft.ErrPipelineShutdown
}
func (b *blocked) Consumer() <-chan raft.AppendFuture { return b.answers }
func (b *blocked) Close() error {
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

func TestPipeline_failureEndsASenderThatWaits(t *testing.T) {
	good := &ended{resp: raft.AppendEntriesResponse{Success: true}}
	for name, bad := range map[string]*ended{
		"error":      {err: errors.New("lost"), resp: raft.AppendEntriesResponse{Success: true}},
		"no success": {},
		"a new term": {req: raft.AppendEntriesRequest{Term: 1}, resp: raft.AppendEntriesResponse{Term: 2, Success: true}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &blocked{answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
			p := newPipeline(b, newCommits(), nil)
			defer p.Close()
			sent := make(chan error, 1)
			go func() {
				_, err := p.AppendEntries(nil, nil)
				sent <- err
			}()
			for _, f := range []*ended{good, good, bad} {
				b.answers <- f
				if got := <-p.Consumer(); got != raft.AppendFuture(f) {
					t.Errorf("got another answer: %+v", got)
				}
			}
			select {
			case err := <-sent:
				if !errors.Is(err, raft.ErrPipelineShutdown) {
					t.Errorf("sent: %v", err)
				}
			case <-time.After(patience):
				t.Error("the sender waits for ever")
			}
		})
	}
}

func TestPipeline_closeWithAnswersUnderWay(t *testing.T) {
	b := &blocked{answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	p := newPipeline(b, newCommits(), nil)
	b.answers <- &ended{} // that nobody takes
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
