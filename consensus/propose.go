package consensus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/library"
	"praefect/consensus/store"
	"praefect/fsm/state"
)

// The errors of Propose. Each that it returns is one of the first two.
var (
	// ErrNotProposed: the commands are not in the log and never will be.
	ErrNotProposed = errors.New("not proposed")
	// ErrUnknown: the commands may have been applied, or may yet be. Read the
	// state to find out; never send them again as new ones.
	ErrUnknown = errors.New("proposed with unknown outcome")
	// ErrQueueFull is an ErrNotProposed: too many commands wait.
	ErrQueueFull = fmt.Errorf("%w: the queue is full", ErrNotProposed)
)

func notProposed(why string) error { return fmt.Errorf("%w: %s", ErrNotProposed, why) }

const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
	// stopGrace is for the batch that is under way when the node is stopped.
	stopGrace = 2 * time.Second
)

// applier is the part of raft.Raft that puts an entry into the log.
type applier interface {
	Apply(entry []byte, enqueue time.Duration) raft.ApplyFuture
}

// appender is how an entry gets into the log from here.
type appender interface {
	// local returns the library if this instance leads, else nil.
	local() applier
	// forward brings the entry to the leader, and returns its answers once the
	// view has applied them. It ends early when gone is closed.
	forward(ctx context.Context, entry []byte, gone <-chan struct{}) ([]state.Result, error)
	// LeadershipChanged tells when another attempt may do better.
	LeadershipChanged() <-chan struct{}
}

// proposer turns the requests of any number of goroutines into batches, one at
// a time: the next is proposed when the answers to the former are known, so
// that batches are applied in the order of their numbers, and grow with load.
type proposer struct {
	appender appender
	guard    *store.Guard
	library  *library.Library
	queue    *queue
	limit    int // commands of a batch
	metrics  *metrics
	// allows tells whether every member of the cluster knows the commands.
	allows func([]state.Command) error

	// Only the goroutine of register and run:
	incarnation state.Incarnation
	number      uint64
}

func newProposer(n *Node) *proposer {
	return &proposer{
		appender: n, guard: n.disk.Guard, library: n.library, queue: newQueue(n.config.QueueLimit), limit: n.config.BatchLimit, metrics: n.metrics,
		allows: func(c []state.Command) error { return n.View().Allows(state.Needs(c)) },
	}
}

// propose is Node.Propose.
func (p *proposer) propose(ctx context.Context, commands []state.Command) ([]state.Result, error) {
	if err := p.check(commands); err != nil {
		return nil, err
	}
	r := &request{commands: commands, done: make(chan struct{})}
	if err := p.queue.add(r); err != nil {
		return nil, err
	}
	select {
	case <-r.done:
		return r.results, r.err
	case <-ctx.Done():
	}
	if p.queue.remove(r) {
		return nil, fmt.Errorf("%w: %w", ErrNotProposed, context.Cause(ctx))
	}
	select {
	case <-r.done:
		return r.results, r.err
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnknown, context.Cause(ctx))
	}
}

// check refuses commands that cannot be proposed in any state.
func (p *proposer) check(commands []state.Command) error {
	if len(commands) == 0 || len(commands) > p.limit {
		return fmt.Errorf("%w: %d commands, the limit is %d", ErrNotProposed, len(commands), p.limit)
	}
	for _, c := range commands {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrNotProposed, err)
		}
	}
	if err := p.allows(commands); err != nil { // ▲ TestNode_proposesNothingAboveTheLevel
		return fmt.Errorf("%w: %w", ErrNotProposed, err)
	}
	return nil
}

// run proposes the queued commands until ctx ends or the store fails.
func (p *proposer) run(ctx context.Context) {
	defer p.queue.close(notProposed("the instance stops"))
	lingering, cancel := linger(ctx, stopGrace)
	defer cancel()
	for {
		requests := p.queue.take(ctx, p.limit)
		if requests == nil {
			return
		}
		var commands []state.Command
		for _, r := range requests {
			commands = append(commands, r.commands...)
		}
		results, err := p.commit(lingering, commands)
		for _, r := range requests {
			if err != nil {
				r.answer(nil, err)
				continue
			}
			n := len(r.commands)
			r.answer(results[:n:n], nil)
			results = results[n:]
		}
		if p.guard.Failure() != nil {
			return // a later batch must not overtake one that may yet be applied
		}
	}
}

// linger returns a context that ends d after ctx.
func linger(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	l, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return l, func() { stop(); cancel() }
}

// commit proposes the commands as one batch and returns its answers once the
// view has applied it. While the outcome is unknown it proposes the same batch
// again, under the same request id, until ctx ends or the store fails.
func (p *proposer) commit(ctx context.Context, commands []state.Command) ([]state.Result, error) {
	begun := time.Now()
	p.number++
	data, err := p.encode(state.Batch{Incarnation: p.incarnation, Number: p.number, Time: begun.UnixMilli(), Commands: commands})
	if err != nil {
		return nil, err
	}
	outcome := ErrNotProposed
	var cause error
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		changed := p.appender.LeadershipChanged()
		results, err := p.attempt(ctx, data, changed)
		if err == nil {
			p.metrics.seconds.Observe(time.Since(begun).Seconds())
			return results, unlessForgotten(results)
		}
		if errors.Is(err, errRejected) {
			return nil, fmt.Errorf("%w: %w", outcome, err)
		}
		if !isNotInLog(err) {
			outcome = ErrUnknown
		}
		if cause == nil || ctx.Err() == nil { // an attempt that ends with ctx has nothing new to tell
			cause = err
		}
		if p.pause(ctx, wait, changed) {
			p.metrics.retries.Inc()
			continue
		}
		if failure := p.guard.Failure(); failure != nil {
			cause = failure
		}
		return nil, fmt.Errorf("%w: %w", outcome, cause)
	}
}

// encode makes an entry of the log out of a batch.
func (p *proposer) encode(b state.Batch) ([]byte, error) {
	b.Version, b.RequestID = state.CommandVersion, rand.Text()
	data, err := state.EncodeBatch(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotProposed, err)
	}
	p.metrics.batches.Inc()
	p.metrics.commands.Add(float64(len(b.Commands)))
	return data, nil
}

// commitAs proposes the commands once, as the leader of the term, beside the
// batches of run.
func (p *proposer) commitAs(ctx context.Context, here applier, term uint64, own state.Incarnation, commands []state.Command) ([]state.Result, error) {
	begun := time.Now()
	data, err := p.encode(state.Batch{Incarnation: own, Term: term, Time: begun.UnixMilli(), Commands: commands})
	if err != nil {
		return nil, err
	}
	results, err := p.apply(ctx, here, data)
	switch {
	case err == nil:
		p.metrics.seconds.Observe(time.Since(begun).Seconds())
		return results, nil
	case isNotInLog(err):
		return nil, fmt.Errorf("%w: %w", ErrNotProposed, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
}

// unlessForgotten tells a batch that was applied at a former attempt and whose
// answers are remembered no more: as batches go one after the other, only the
// batch itself can have claimed its number.
func unlessForgotten(results []state.Result) error {
	for _, r := range results {
		if r.Refusal != nil && r.Refusal.Reason == state.RefusedOutOfOrder {
			return fmt.Errorf("%w: the answers are remembered no more", ErrUnknown)
		}
	}
	return nil
}

// attempt hands the batch to the library once, here or at the leader.
func (p *proposer) attempt(ctx context.Context, data []byte, changed <-chan struct{}) ([]state.Result, error) {
	if here := p.appender.local(); here != nil {
		return p.apply(ctx, here, data)
	}
	return p.appender.forward(ctx, data, changed)
}

func (p *proposer) apply(ctx context.Context, here applier, data []byte) ([]state.Result, error) {
	f, err := library.Await(ctx, p.library, func() raft.ApplyFuture { return here.Apply(data, library.EnqueueTimeout) })
	if err != nil {
		return nil, err
	}
	if err, ok := f.Response().(error); ok {
		return nil, err // this program is too old to apply it; the others have
	}
	return f.Response().([]state.Result), nil
}

// pause waits before the next attempt, until it may do better; it reports false
// if there is none.
func (p *proposer) pause(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-changed:
		return true
	case <-p.guard.Healthy.Done():
	case <-ctx.Done():
	}
	return false
}

// isNotInLog tells the errors by which the library says that it has not written
// an entry. Any other leaves open whether it has.
func isNotInLog(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) ||
		errors.Is(err, raft.ErrEnqueueTimeout) ||
		errors.Is(err, raft.ErrLeadershipTransferInProgress) ||
		errors.Is(err, library.ErrNoLeader) || errors.Is(err, errNotTaken)
}
