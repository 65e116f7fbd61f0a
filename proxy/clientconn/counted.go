package clientconn

import (
	"sync"
	"sync/atomic"
)

// counted are the calls that were counted as started before gRPC's server gets them.
type counted struct {
	any atomic.Int64 // how many there are: mostly none, so that a call need not lock mu
	mu  sync.Mutex
	of  map[string]int64 // by method; guarded by mu
}

// Counted says that a call of a method was counted as started, and that gRPC's server gets it all the same.
func (c *Conn) Counted(method string) {
	c.counted.mu.Lock()
	defer c.counted.mu.Unlock()
	if c.counted.of == nil {
		c.counted.of = make(map[string]int64)
	}
	c.counted.of[method]++
	c.counted.any.Add(1)
}

// WasCounted tells whether a call of a method that gRPC's server begins was counted already. It does not matter which one of several
// calls is told so.
func (c *Conn) WasCounted(method string) bool {
	if c.counted.any.Load() == 0 {
		return false
	}
	c.counted.mu.Lock()
	defer c.counted.mu.Unlock()
	if c.counted.of[method] == 0 {
		return false
	}
	c.counted.any.Add(-1)
	if c.counted.of[method]--; c.counted.of[method] == 0 {
		delete(c.counted.of, method)
	}
	return true
}
