package storage

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cutOff is how many times Config.Silence a path may be silent while another is
// not: a storage that is busy talking may have no time for health checks, but a
// network may lose the packets of one connection.
const cutOff = 4

// secondEvery is in which of the rounds the other path of a storage is asked over too. Both lead to
// one process: the first path tells whether that is well, and the second one whether something
// between keeps its connection alone from working, within cutOff times Config.Silence.
const secondEvery = 4

// checked is how a health check went over one path.
type checked struct {
	path   *path
	result probeResult
	err    error // says so if the storage is silent
	took   time.Duration
}

// probe asks the storage for its health: over the path of most calls, and over the other one in some
// rounds, and whenever the answer is not there at once or was not well lately. It returns an
// error only if the storage was silent for too long; every other failure makes it
// slow. It ends early with ctx, which ends when the transport does.
func (l *link) probe(ctx context.Context, conn *Conn) error {
	var checks []checked
	if other := conn.channel; other == conn.plain {
		checks = []checked{l.check(ctx, conn, conn.plain)}
	} else {
		checks = l.checkBoth(ctx, conn)
	}
	if ctx.Err() != nil {
		return nil
	}
	var slowness error
	var took time.Duration
	answered, mute := true, false
	for _, c := range checks {
		took = max(took, c.took)
		switch c.result {
		case well:
			l.metrics.latency.Observe(c.took.Seconds())
		case silent:
			return c.err
		case stalled:
			slowness, mute = c.err, true
			conn.stall(c.err)
		case slow:
			slowness = c.err
		case late:
			c.path.wire.touch()
			answered = false
		case undecided:
			answered = false
		}
	}
	l.doubtful = !answered || slowness != nil
	if answered || slowness != nil {
		l.wellness(conn, slowness, mute, took)
	}
	return nil
}

// checkBoth asks over the plain path, and over the backchannel's where one does not do.
func (l *link) checkBoth(ctx context.Context, conn *Conn) []checked {
	l.rounds++
	first := make(chan checked, 1)
	go func() { first <- l.check(ctx, conn, conn.plain) }()
	if !l.doubtful && l.rounds%secondEvery != 0 {
		late := time.NewTimer(l.cfg.ProbeInterval / 2)
		defer late.Stop()
		select {
		case c := <-first:
			if c.result == well || ctx.Err() != nil {
				return []checked{c}
			}
			return []checked{c, l.check(ctx, conn, conn.channel)}
		case <-late.C:
		}
	}
	second := l.check(ctx, conn, conn.channel)
	return []checked{<-first, second}
}

// listen goes on asking over a connection that was given up, until its last RPC has
// ended or the storage has fallen silent. It may have been given up while this
// instance did not know yet that no server answers there any more: the others had
// fenced the storage, and it was to be made anew.
func (l *link) listen(ctx context.Context, conn *Conn) {
	tick := time.NewTicker(l.cfg.ProbeInterval)
	defer tick.Stop()
	for !conn.audience.left() {
		select {
		case <-conn.idle:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range conn.paths() {
			switch c := l.check(ctx, conn, p); c.result {
			case stalled:
				conn.stall(c.err)
			case silent:
				conn.fallSilent(c.err)
			case late:
				p.wire.touch()
			}
		}
	}
}

// check asks over one path.
func (l *link) check(ctx context.Context, conn *Conn, p *path) checked {
	c := checked{path: p}
	timeout := l.cfg.answerTimeout(conn.silence(), l.cfg.bound(conn.hostSilence()))
	began := time.Now()
	asking, cancel := context.WithTimeout(ctx, timeout)
	c.err = checkHealth(asking, p.cc)
	cancel()
	c.took = time.Since(began)
	if status.Code(c.err) == codes.Unavailable {
		// It may be the transport: then ctx ends in a moment.
		pause(ctx, l.cfg.Silence/10)
	}
	silence := conn.silence()
	c.result = l.cfg.judge(c.err, c.took, timeout, silence, l.cfg.bound(conn.hostSilence()))
	if alone := p.wire.silence(); c.result != late && alone >= max(cutOff*l.cfg.Silence, l.cfg.Stall) {
		c.result, silence = silent, alone
	}
	switch c.result {
	case silent:
		c.err = fmt.Errorf("%w for %v", errSilent, silence.Round(time.Millisecond))
	case stalled:
		c.err = fmt.Errorf("%w for %v, but its host answers", errSilent, silence.Round(time.Millisecond))
	}
	return c
}
