package peer

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pipeline closes the library's pipeline at the first answer that is no success.
// The library stops to take answers then, and notices that it is to stop sending
// only between two requests: with two requests under way it waits for ever to
// hand over a third one (hashicorp/raft 1.8.0), sends that follower no entry any
// more while it leads, and never ends when it is shut down.
//
// It also tells the follower of each commit. Such a message goes out between two of the
// library's, and its answer is one that the library understands. The library's own message about
// commits, which it makes again and again, is not sent if it has no news and the follower's answer
// is known as for a heartbeat (beats).
type pipeline struct {
	raft.AppendPipeline
	vouched func(term uint64) *raft.AppendEntriesResponse
	made    chan raft.AppendFuture // holds 1: an answer that is known; one that is not taken is not missed
	answers chan raft.AppendFuture
	closing sync.Once
	done    chan struct{}
	passing sync.WaitGroup
	telling sync.WaitGroup

	sending chan struct{}              // holds 1: the right to send
	last    *raft.AppendEntriesRequest // of the holder of that right; nil before the first
}

func newPipeline(inner raft.AppendPipeline, c *commits, vouched func(term uint64) *raft.AppendEntriesResponse) *pipeline {
	p := &pipeline{
		AppendPipeline: inner, vouched: vouched, made: make(chan raft.AppendFuture, 1), answers: make(chan raft.AppendFuture),
		done: make(chan struct{}), sending: make(chan struct{}, 1),
	}
	p.passing.Go(p.pass)
	p.telling.Go(func() { p.tell(c) })
	return p
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	p.sending <- struct{}{} // the other sender waits for the follower at most as long as this one would
	defer func() { <-p.sending }()
	if tellsNothing(args, p.last) {
		if answer := p.vouched(args.Term); answer != nil {
			*resp = *answer
			f := known{args, resp, time.Now()}
			select {
			case p.made <- f:
			default:
			}
			return f, nil
		}
	}
	return p.send(args, resp)
}

// tellsNothing tells whether a follower that has got the last request learns nothing from the next one.
func tellsNothing(next, last *raft.AppendEntriesRequest) bool {
	return last != nil && len(next.Entries) == 0 && next.Term == last.Term &&
		(&commit{index: next.LeaderCommitIndex, term: next.Term}).after(last) == nil
}

// known is a request whose answer is known.
type known struct {
	request  *raft.AppendEntriesRequest
	response *raft.AppendEntriesResponse
	start    time.Time
}

// Error implements raft.Future.
func (known) Error() error { return nil }

// Start implements raft.AppendFuture.
func (k known) Start() time.Time { return k.start }

// Request implements raft.AppendFuture.
func (k known) Request() *raft.AppendEntriesRequest { return k.request }

// Response implements raft.AppendFuture.
func (k known) Response() *raft.AppendEntriesResponse { return k.response }

// send sends a request. The caller has the right to.
func (p *pipeline) send(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	f, err := p.AppendPipeline.AppendEntries(args, resp)
	if err == nil {
		p.last = args
	}
	return f, err
}

// tell tells the follower of commits until the pipeline is closed or takes no more.
func (p *pipeline) tell(c *commits) {
	for {
		latest := c.latest.Load()
		p.sending <- struct{}{}
		var err error
		if request := latest.after(p.last); request != nil {
			_, err = p.send(request, &raft.AppendEntriesResponse{})
		}
		<-p.sending
		if err != nil {
			return // the library meets the same error, and replaces the pipeline
		}
		select {
		case <-latest.replaced:
		case <-p.done:
			return
		}
	}
}

// pass hands answers on until one of them is the last that a caller takes.
func (p *pipeline) pass() {
	for {
		var f raft.AppendFuture
		select {
		case f = <-p.AppendPipeline.Consumer():
		case f = <-p.made:
		case <-p.done:
			return
		}
		select {
		case p.answers <- f:
		case <-p.done:
			return
		}
		if f.Error() != nil || !f.Response().Success || f.Response().Term > f.Request().Term {
			_ = p.AppendPipeline.Close() // the library's returns none
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.closing.Do(func() { close(p.done) })
	p.passing.Wait()
	err := p.AppendPipeline.Close() // which ends a message that waits to be sent
	p.telling.Wait()
	return err
}
