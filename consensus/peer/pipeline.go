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
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closing sync.Once
	done    chan struct{}
	passing sync.WaitGroup
}

func newPipeline(inner raft.AppendPipeline) *pipeline {
	p := &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture), done: make(chan struct{})}
	p.passing.Go(p.pass)
	return p
}

// pass hands answers on until one of them is the last that anybody takes.
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
	return p.AppendPipeline.Close()
}
