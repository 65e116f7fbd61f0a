package frames

// Yield passes the calls that have no answer yet to gRPC's server. The others go on, and calls are taken as before.
func (b *Backend) Yield() {
	b.mu.Lock()
	waiting := make([]*stream, 0, len(b.streams))
	for _, s := range b.streams {
		waiting = append(waiting, s)
	}
	b.mu.Unlock()
	for _, s := range waiting {
		s.to.yield()
	}
	b.out.flush()
}

// yield implements receiver.
func (c *call) yield() {
	f := c.front
	f.mu.Lock()
	if c.state == diverted && !c.answered {
		c.stream.cancel(cancelled)
		c.takeBack("the storage stalls")
	}
	f.unlock()
}
