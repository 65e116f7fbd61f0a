package session

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/fsm/routing"
)

// heartbeat keeps a stream to the leader, until ctx ends.
func (s *Session) heartbeat(ctx context.Context) {
	defer s.giveBack()
	for wait := firstTry; ctx.Err() == nil; {
		changed := s.node.LeadershipChanged()
		began := s.cfg.Now()
		s.attempt(ctx, changed)
		if ctx.Err() != nil {
			return
		}
		if s.cfg.Now()-began > lastTry {
			wait = firstTry
		}
		t := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-changed:
			wait = firstTry
		case <-t.C:
			wait = min(2*wait, lastTry)
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// attempt exchanges messages over one stream, if there is a way to a leader. The stream
// outlives ctx by a moment, for a goodbye.
func (s *Session) attempt(ctx context.Context, changed <-chan struct{}) {
	lingering, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		last := time.AfterFunc(2*goodbye, cancel)
		context.AfterFunc(lingering, func() { last.Stop() })
	})
	defer stop()
	opened := make(chan struct{})
	var opening sync.WaitGroup
	opening.Go(func() {
		// The way to a leader that is gone may lead nowhere for long.
		late := time.NewTimer(silence)
		defer late.Stop()
		select {
		case <-opened:
			return
		case <-late.C:
		case <-changed:
		case <-ctx.Done():
		}
		cancel()
	})
	client, err := s.open(lingering)
	close(opened)
	opening.Wait()
	if err != nil {
		return // there is no leader yet, or it cannot be reached: tried again soon
	}
	s.mu.Lock()
	s.told = "" // a leader that is new knows nothing
	s.mu.Unlock()
	s.overStream(ctx, client, changed)
}

// open opens a stream to the leader: to this instance itself if it leads.
func (s *Session) open(ctx context.Context) (lease.Client, error) {
	if t := s.term(); t != nil {
		return t.pipe(ctx, s.node.ID()), nil
	}
	return s.node.DialLeader(ctx)
}

// overStream exchanges messages over one stream until it breaks, the leader is silent, another
// instance leads, or ctx ends; then the lease is given back by a goodbye.
func (s *Session) overStream(ctx context.Context, client lease.Client, changed <-chan struct{}) {
	_, leads := client.(*pipe)
	w := &messages{s: s, leads: leads}
	w.received.Store(int64(s.cfg.Now()))
	w.silent = time.NewTimer(silence)
	defer w.silent.Stop()
	ended := make(chan struct{})
	// The way to an instance that is gone may lead nowhere for long: the next stream does
	// not wait for that.
	probing, endProbes := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		defer close(ended)
		for {
			m, err := client.Recv()
			if err != nil {
				return
			}
			w.received.Store(int64(s.cfg.Now()))
			w.silent.Reset(silence)
			s.receive(m)
			w.receive(probing, m)
		}
	})
	tasks.Go(func() {
		// A leader that hangs takes no more messages: only the end of the stream
		// ends the sending of one.
		w.watch(ctx, changed, ended)
		client.Close()
	})
	s.send(ctx, client, w, ended)
	client.Close()
	tasks.Wait()
	endProbes()
	w.probes.Wait()
	if w.calm.Load() && !leads {
		s.node.Doubt(ctx, s.turn(), changed)
	}
	s.mu.Lock()
	s.setCalm(false)
	s.mu.Unlock()
}

// turn is the place of this instance among the voters.
func (s *Session) turn() int {
	_, voters := s.members()
	return max(0, slices.Index(slices.Sorted(slices.Values(voters)), s.node.ID()))
}

// watch returns when the stream is of no more use.
func (w *messages) watch(ctx context.Context, changed, ended <-chan struct{}) {
	for w.s.cfg.Now()-time.Duration(w.received.Load()) < silence {
		select {
		case <-w.silent.C:
			w.silent.Reset(max(gap, silence-(w.s.cfg.Now()-time.Duration(w.received.Load()))))
		case <-changed:
		case <-ended:
		case <-ctx.Done():
		}
		switch {
		case ctx.Err() != nil:
			late := time.NewTimer(goodbye)
			defer late.Stop()
			select {
			case <-ended:
			case <-late.C:
			}
			return
		case isClosed(changed), isClosed(ended):
			return
		}
	}
}

// send sends the news until the stream has ended.
func (s *Session) send(ctx context.Context, client lease.Client, w *messages, ended <-chan struct{}) {
	var asks lease.Asking
	var rounds pacer
	for {
		barred := s.keepBar()
		s.mu.Lock()
		news := s.news
		if now := s.cfg.Now(); !barred && asks.Due(now, w.latestQuestion()) {
			s.holder.Ask(now) // ▲ lease-from-the-answer: noted before the message is made
			asks.Asked(now, w.latestQuestion(), s.node.View().LeaseLength(), s.leading != nil, s.calm)
		}
		s.mu.Unlock()
		message := w.message(false)
		if client.Send(message) != nil {
			return
		}
		after := health.RepeatAfter(message.Reports, message.Idle && s.isCalm(), s.cfg.ReportAge)
		if !barred {
			after = min(after, max(0, asks.Next()-s.cfg.Now()))
		}
		wait := time.NewTimer(after)
		select {
		case <-news:
		case <-wait.C:
		case <-ended:
		case <-ctx.Done():
		}
		wait.Stop()
		switch {
		case isClosed(ended) || !rounds.round(s.cfg.Now(), ended):
			return
		case ctx.Err() != nil:
			s.giveBack()
			if client.Send(w.message(true)) == nil { // if it is lost, the lease is waited for
				<-ended // the leader answers by ending the stream
			}
			return
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// keepBar ends the lease while something bars this instance from having one, and reports whether
// it does (▲ session-lease-beside-other-cluster): an instance that has met another cluster takes no
// lease.
func (s *Session) keepBar() bool {
	barred := s.cfg.Barred() != ""
	if barred && s.Lease() != (routing.Lease{}) {
		s.giveBack()
	}
	return barred
}

// giveBack ends the lease here, before the leader is told.
func (s *Session) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holder.GiveBack()
	next := *s.current.Load()
	next.lease = s.holder.Lease()
	s.publish(next)
}

// receive takes the news of the leader about lease, watermark and pauses.
func (s *Session) receive(m *lease.FromLeader) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.current.Load()
	next := *before
	s.told = m.Settings
	s.setCalm(m.CalmMillis > 0)
	s.holder.Received(now, m)
	next.lease, next.watermark, next.pauses = s.holder.Usable(s.routed), s.holder.Watermark(), s.holder.WritePauses()
	if next.lease != before.lease || next.watermark != before.watermark || !slices.Equal(next.pauses, before.pauses) {
		s.publish(next)
	}
}

// messages makes and receives the messages of one stream.
type messages struct {
	s        *Session
	leads    bool         // the stream leads to this instance itself
	received atomic.Int64 // when the leader was, by Config.Now
	silent   *time.Timer  // fires when it was not received for long
	calm     atomic.Bool  // as the last message said

	mu       sync.Mutex
	question uint64 // guarded by mu; the last one of this stream

	probes  sync.WaitGroup
	probing sync.Mutex
}

// latestQuestion returns the number of the last question of this stream.
func (w *messages) latestQuestion() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.question
}

// receive takes the question, and looks at the instances that the leader misses.
func (w *messages) receive(ctx context.Context, m *lease.FromLeader) {
	w.mu.Lock()
	fresh := m.Question > w.question
	w.question = max(w.question, m.Question)
	w.mu.Unlock()
	w.takeCalm(m)
	if fresh {
		w.s.mu.Lock()
		w.s.tell()
		w.s.mu.Unlock()
	}
	if w.probing.TryLock() {
		w.probes.Go(func() {
			defer w.probing.Unlock()
			w.s.probe(ctx, m.Probe)
		})
	}
}

// message makes a message. The term is read last: after the ask was made and the
// question came in.
func (w *messages) message(stopping bool) *lease.ToLeader {
	s := w.s
	view := s.node.View()
	m := &lease.ToLeader{
		InstanceID: s.node.ID(), Incarnation: s.node.Incarnation(), Stopping: stopping,
	}
	m.Reports, m.Idle = w.reports(view)
	if w.calm.Load() && !w.leads {
		m.HeartbeatTimeoutMillis = elector.CalmTimeout.Milliseconds()
	}
	report := s.cfg.Settings()
	m.Settings = report.Digest
	s.mu.Lock()
	if s.told != report.Digest {
		m.Report = &report
	}
	m.AskNumber, m.Applied, m.PauseReports, m.Refused = s.holder.Asked(), s.routed, s.pauseReports, s.refused
	s.mu.Unlock()
	w.mu.Lock()
	m.Echo = w.question
	w.mu.Unlock()
	m.Term = s.node.Term()
	return m
}
