package peer

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline closes the library's pipeline at the first answer that is no success.
// The library stops to take answers then, and notices that it is to stop sending
// only between two requests: with two requests under way it waits for ever to
// hand over a third one (hashicorp/raft 1.8.0), sends that follower no entry any
// more while it leads, and never ends when it is shut down.
//
// It also tells the follower of each commit. Such a message goes out between two of the
// library's, and its answer is one that the library understands.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closing sync.Once
	done    chan struct{}
	passing sync.WaitGroup
	telling sync.WaitGroup

	sending chan struct{}              // holds 1: the right to send
	last    *raft.AppendEntriesRequest // of the holder of that right; nil before the first
}

func newPipeline(inner raft.AppendPipeline, c *commits) *pipeline {
	p := &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture), done: make(chan struct{}), sending: make(chan struct{}, 1)}
	p.passing.Go(p.pass)
	p.telling.Go(func() { p.tell(c) })
	return p
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	p.sending <- struct{}{} // the other sender waits for the follower at most as long as this one would
	defer func() { <-p.sending }()
	return p.send(args, resp)
}

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
		select {
		case f := <-p.AppendPipeline.Consumer():
			select {
			case p.answers <- f:
			case <-p.done:
				return
			}
			if f.Error() != nil || !f.Response().Success || f.Response().Term > f.Request().Term {
				_ = p.AppendPipeline.Close() // the library's returns none
				return
			}
		case <-p.done:
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
