package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// processors has this process use one processor while all is calm. With several, each goroutine that
// wakes another one also wakes a thread, which looks for work and finds none: in an idle instance
// these threads took more processor time than the work.
type processors struct {
	// fixed is their number if the environment says it, else 0: then the runtime knows.
	fixed int
	one   atomic.Bool // there is one now

	mu sync.Mutex // held while the number changes
}

// newProcessors takes up the number that the process was started with.
func newProcessors(getenv func(string) string) *processors {
	p := new(processors)
	if getenv("GOMAXPROCS") != "" {
		p.fixed = runtime.GOMAXPROCS(0)
	}
	return p
}

// calm takes the news whether all is calm.
func (p *processors) calm(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.one.Load() == is:
		return
	case is:
		runtime.GOMAXPROCS(1)
	case p.fixed > 0:
		runtime.GOMAXPROCS(p.fixed)
	default:
		runtime.SetDefaultGOMAXPROCS()
	}
	p.one.Store(is)
}

// used ends the calm for this process before the leader hears of it. It does not wait.
func (p *processors) used() {
	if p.one.Load() {
		go p.calm(false)
	}
}
