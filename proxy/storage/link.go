package storage

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/connectivity"
)

var (
	errNotTried = errors.New("no attempt has ended yet")
	errStopped  = errors.New("this instance stops")
	errRenewed  = errors.New("this instance makes the connection anew")
	errMoved    = errors.New("the storage has another address")
	// errTransport is why a connection ended if the network gave no reason:
	// the storage announced that it stops, or left a ping unanswered.
	errTransport = errors.New("connection closed by the storage or by a missed ping")
)

// link keeps one storage connected. Its goroutine, run, owns every field but
// current, which it publishes for every goroutine to load, and place, which it follows.
type link struct {
	cfg     Config
	log     *slog.Logger
	metrics storageMetrics
	changed func()

	place      atomic.Pointer[place]
	current    atomic.Pointer[published]
	generation uint64
	speech     speech
	heard      time.Time // when the storage last said anything; at first, the start of run
	// rounds counts the rounds of health checks over two paths, and doubtful tells that the last
	// round was not well; only run.
	rounds   int
	doubtful bool

	// watched is the connection that is watched now; its end may be called by
	// anybody.
	watched atomic.Pointer[watched]
	// renewal is the last generation that was to be made anew: it may not have been watched yet.
	renewal atomic.Uint64
}

// watched is a connection that can be ended from outside.
type watched struct {
	generation uint64
	end        context.CancelCauseFunc
}

// published is the part of a link that readers see. It is immutable.
type published struct {
	conn *Conn             // nil if unreachable
	err  *UnreachableError // nil if reachable
	slow error             // why the last health check was not well, of a reachable storage
	mute bool              // that was because the storage says nothing at all

	// refused, host and heard are of an unreachable storage: the last attempt found
	// no server there, or a host that answers; when the storage last said anything.
	refused, host bool
	heard         time.Time

	since   time.Time // when the storage became reachable or unreachable
	last    identity  // of the last verified connection
	spoken  bool      // it has or had a backchannel
	latency time.Duration
}

// run connects, watches the connection until it is lost, and begins again. It
// returns when ctx has ended and every connection is closed.
func (l *link) run(ctx context.Context) {
	var lost sync.WaitGroup
	defer lost.Wait()
	l.heard = time.Now()
	for failures := 0; ctx.Err() == nil; {
		conn, err := l.dial(ctx)
		if err != nil {
			failure, _ := errors.AsType[*dialError](err)
			if failure.answered {
				l.heard = time.Now()
			}
			l.unreachable(ctx, err, failure.refused(), failure.host)
			failures++
			pause(ctx, l.cfg.backoff(failures))
			continue
		}
		born := time.Now()
		for l.reachable(conn); conn != nil; {
			cause := l.watch(ctx, conn)
			l.heard = time.Now().Add(-conn.silence())
			next := l.moved(ctx, cause)
			if next != nil {
				l.reachable(next)
			} else {
				// Unpublished first: a caller that learns of the loss must not be given it again.
				l.unreachable(ctx, cause, false, false)
			}
			l.giveUp(ctx, &lost, conn, cause)
			conn = next
		}
		// The first new attempt is made at once, so that a storage which only
		// broke the connection is missed for a moment; not if the connection
		// was lost as soon as it was made.
		failures = 0
		if time.Since(born) < l.cfg.BackoffMax {
			failures = 1
			pause(ctx, l.cfg.backoff(failures))
		}
	}
}

// moved returns the connection to the place that the storage has now, if that is why the one before ended: it is made
// before the other is given up, so that no RPC finds the storage unreachable. Nil if there is none.
func (l *link) moved(ctx context.Context, cause error) *Conn {
	if cause != errMoved {
		return nil
	}
	conn, err := l.dial(ctx)
	if err != nil {
		l.log.Warn("the storage does not answer at its new address", "address", l.place.Load().target.Address, "err", err)
	}
	return conn
}

// giveUp ends a connection that is not published any more, when the RPCs on it have ended.
func (l *link) giveUp(ctx context.Context, running *sync.WaitGroup, conn *Conn, cause error) {
	conn.giveUp(cause)
	l.metrics.lost.Inc()
	running.Go(func() { l.listen(ctx, conn) })
	running.Go(func() {
		if err := conn.drain(ctx); err != nil {
			l.log.Warn("closing a lost connection", "err", err)
		}
	})
}

// watch returns why conn is of no more use.
func (l *link) watch(ctx context.Context, conn *Conn) error {
	ctx, end := context.WithCancelCause(ctx)
	var transports sync.WaitGroup
	defer transports.Wait()
	defer end(nil)
	for _, p := range conn.paths() {
		transports.Go(func() {
			if p.cc.WaitForStateChange(ctx, connectivity.Ready) {
				end(errTransport)
			}
		})
	}
	if l.cfg.Frames {
		transports.Go(func() { conn.keepFrames(ctx, conn.place, l.cfg, l.log) })
	}
	l.watched.Store(&watched{conn.generation, end})
	if conn.target.Address != l.place.Load().target.Address {
		end(errMoved) // it moved while the connection was made; from here on Move ends the watch
	}
	if l.renewal.Load() == conn.generation {
		end(errRenewed) // since it was published; from here on renew ends the watch
	}
	for ctx.Err() == nil {
		bound := l.cfg.bound(conn.hostSilence())
		pause(ctx, min(l.untilProbe(conn), max(bound-conn.silence(), 0)))
		if err := l.probe(ctx, conn); err != nil {
			return err
		}
	}
	switch cause := context.Cause(ctx); cause {
	case errTransport:
		return conn.why(errTransport)
	case errRenewed, errMoved:
		return cause
	}
	return errStopped
}

// untilProbe is the pause before the next health check. A storage that is well and not in use is asked
// less often, at whole multiples of the interval, so that one wake-up of this process does for all.
// A connection that ends is noticed at once all the same. A storage that says nothing any more is
// given up later than one in use, by the difference of the intervals at most.
func (l *link) untilProbe(conn *Conn) time.Duration {
	if l.doubtful || conn.inUse() {
		return l.cfg.ProbeInterval
	}
	every := l.cfg.quietInterval()
	now := time.Now()
	return now.Truncate(every).Add(every).Sub(now)
}

// renew ends the connection of that generation if it is still there.
func (l *link) renew(generation uint64) {
	l.renewal.Store(generation)
	if w := l.watched.Load(); w != nil && w.generation == generation {
		w.end(errRenewed)
	}
}

// reachable publishes a verified connection.
func (l *link) reachable(conn *Conn) {
	l.generation = conn.generation
	l.current.Store(&published{conn: conn, since: time.Now(), last: conn.identity, spoken: conn.Backchannel()})
	l.metrics.made.Inc()
	l.metrics.runs(conn.ServerVersion(), conn.GitVersion())
	l.metrics.reachable.Set(1)
	l.metrics.healthy.Set(1)
	l.log.Info("storage is reachable", "address", l.place.Load().target.Address,
		"filesystem_id", conn.FilesystemID(), "version", conn.ServerVersion(), "git_version", conn.GitVersion())
	l.spoke(conn.Backchannel())
	l.changed()
}

// unreachable publishes that there is no connection, and why; refused tells that
// no server was there to make one with, host that only the storage did not answer.
func (l *link) unreachable(ctx context.Context, cause error, refused, host bool) {
	before, untried := l.current.Load(), l.untried()
	now := &published{
		err: unreachable(l.place.Load().target, cause), refused: refused, host: host, heard: l.heard, since: before.since, last: before.last, spoken: before.spoken,
	}
	if before.conn != nil {
		now.since = time.Now()
	}
	l.current.Store(now)
	l.metrics.reachable.Set(0)
	l.metrics.healthy.Set(0)
	news := before.conn != nil || untried
	if news || refused != before.refused {
		l.changed()
	}
	switch {
	case ctx.Err() != nil:
	case cause == errRenewed, cause == errMoved:
		l.log.Info("the connection to the storage is made anew", "address", l.place.Load().target.Address)
	case news:
		l.log.Warn("storage is unreachable", "address", l.place.Load().target.Address, "err", cause)
	default:
		l.log.Debug("storage is still unreachable", "address", l.place.Load().target.Address, "err", cause)
	}
}

// untried reports whether no attempt to connect has ended yet.
func (l *link) untried() bool {
	p := l.current.Load()
	return p.err != nil && p.err.Cause == errNotTried
}

// wellness publishes how the last health check went.
func (l *link) wellness(conn *Conn, slow error, mute bool, took time.Duration) {
	before := l.current.Load()
	now := *before
	now.slow, now.mute, now.latency = slow, mute, took
	l.current.Store(&now)
	l.metrics.healthy.Set(gaugeValue(slow == nil))
	switch {
	case slow != nil && before.slow == nil:
		l.log.Warn("storage is slow", "address", conn.target.Address, "err", slow)
	case slow == nil && before.slow != nil:
		l.log.Info("storage is well again", "address", conn.target.Address)
	}
}

// backoff is the pause after so many failures in a row: doubling, and random by
// half so that many instances do not come back at one moment.
func (c Config) backoff(failures int) time.Duration {
	d := c.BackoffMin << min(failures-1, 16)
	d = min(max(d, c.BackoffMin), c.BackoffMax)
	return d/2 + rand.N(d/2+1)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
