package frames

import "time"

// tickEvery is how often calls are looked at whose deadlines may have passed.
const tickEvery = 50 * time.Millisecond

// tick sees to it that the deadlines of calls are looked at while there are calls. mu is held.
func (b *Backend) tick() {
	switch {
	case b.ticks || b.lost != nil:
		return
	case b.ticking == nil:
		b.ticking = time.AfterFunc(tickEvery, b.expire)
	default:
		b.ticking.Reset(tickEvery)
	}
	b.ticks = true
}

// expire ends the calls whose deadlines have passed.
func (b *Backend) expire() {
	now := time.Now()
	var late []*stream
	b.mu.Lock()
	b.ticks = false
	for _, s := range b.streams {
		if !s.deadline.IsZero() && now.After(s.deadline) {
			late = append(late, s)
		}
	}
	if len(b.streams) > 0 {
		b.tick()
	}
	b.mu.Unlock()
	for _, s := range late {
		s.cancel(cancelled)
		s.to.expired()
	}
}

// keepAlive pings the storage when it is silent, and ends the connection when it stays silent.
func (b *Backend) keepAlive() {
	if b.cfg.Keepalive < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost == nil {
		b.alive = time.AfterFunc(b.cfg.Keepalive, b.lookAlive)
	}
}

func (b *Backend) lookAlive() {
	now := time.Now()
	silent := now.Sub(time.Unix(0, b.lastRead.Load()))
	b.mu.Lock()
	if b.lost != nil {
		b.mu.Unlock()
		return
	}
	next := b.cfg.Keepalive - silent
	ping, dead := false, false
	switch {
	case next > 0:
		b.pinged = time.Time{}
	case b.pinged.IsZero():
		ping, next, b.pinged = true, b.cfg.KeepaliveTimeout, now
	default:
		dead = true
	}
	if !dead {
		b.alive.Reset(next)
	}
	b.mu.Unlock()
	switch {
	case ping:
		b.out.send(appendPing(nil, 0, make([]byte, 8)), nil, 0)
	case dead:
		b.Close(errSilent)
	}
}
