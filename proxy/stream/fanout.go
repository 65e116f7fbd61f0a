package stream

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fanout is the part of a call that is about its secondaries; nil if it has none. It starts with none of them started.
type fanout struct {
	call        *Call
	secondaries []*secondary
	begun       time.Time
	started     bool
	slow        stopwatch // only put
}

func newFanout(call *Call, branches []*Branch, rpcs *lingering) *fanout {
	if len(branches) == 0 {
		return nil
	}
	fan := &fanout{call: call, begun: time.Now(), slow: stopwatch{bound: call.SlowBound}}
	if fan.slow.bound <= 0 {
		fan.slow.bound = DefaultSlowBound
	}
	for i, branch := range branches {
		fan.secondaries = append(fan.secondaries, newSecondary(call, i+1, branch, rpcs))
	}
	return fan
}

// start sends them the first message, and carries them to their ends.
func (fan *fanout) start(f *Forwarder) {
	if fan == nil {
		return
	}
	fan.started = true
	for _, s := range fan.secondaries {
		f.pumps.Go(func() { s.run(f) })
	}
}

// put gives a request to all secondaries, and waits, within the bound, for each that has no room.
// An error is that of the client's context; the requests must end with it, because some may have
// got this one and others not.
func (fan *fanout) put(ctx context.Context, frame *Frame) error {
	if fan == nil {
		return nil
	}
	defer fan.slow.stop()
	for _, s := range fan.secondaries {
		for !s.requests.put(frame) {
			if fan.slow.passed {
				s.cutOff(fan.slow.bound)
				continue
			}
			fan.slow.start()
			select {
			case <-s.requests.drained:
			case <-fan.slow.timer.C:
				fan.slow.passed = true
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// close half-closes all of them, behind the requests that they have still to be sent.
func (fan *fanout) close() {
	if fan == nil {
		return
	}
	for _, s := range fan.secondaries {
		s.requests.close()
	}
}

// wants reports whether any of them takes requests still.
func (fan *fanout) wants() bool {
	if fan == nil {
		return false
	}
	for _, s := range fan.secondaries {
		if !s.requests.ended() {
			return true
		}
	}
	return false
}

// cancel gives all of them up.
func (fan *fanout) cancel(cause error) {
	if fan == nil {
		return
	}
	for _, s := range fan.secondaries {
		s.branch.giveUp(cause)
	}
}

// end waits until all of them have ended, now that the primary has, and returns how. A secondary
// that was not started never is. If gone closes meanwhile they are given up.
func (fan *fanout) end(primary Outcome, gone <-chan struct{}) []Outcome {
	if fan == nil {
		return nil
	}
	grace := fan.grace(primary)
	var over <-chan time.Time
	switch {
	case !fan.started:
		for _, s := range fan.secondaries {
			s.discard(givenUp(primary, 0))
		}
	case grace <= 0:
		fan.cancel(givenUp(primary, 0))
	default:
		timer := time.NewTimer(grace)
		defer timer.Stop()
		over = timer.C
	}

	outcomes := make([]Outcome, len(fan.secondaries))
	for i, s := range fan.secondaries {
		select {
		case <-s.ended:
		case <-over:
			fan.cancel(givenUp(primary, grace))
			<-s.ended // soon, as all that follow: gRPC ends a cancelled call
			over, gone = nil, nil
		case <-gone:
			fan.cancel(givenUp(primary, time.Since(fan.begun)))
			<-s.ended
			over, gone = nil, nil
		}
		outcomes[i] = s.out
	}
	return outcomes
}

// grace is the time that they are given. If the primary's status did not arrive nothing is gained
// by theirs.
func (fan *fanout) grace(primary Outcome) time.Duration {
	if !primary.Ended || fan.call.Grace == nil {
		return 0
	}
	return fan.call.Grace(time.Since(fan.begun))
}

// givenUp is the reason for which secondaries are given up: the reason why the primary was given
// up, if it did not end by itself.
func givenUp(primary Outcome, grace time.Duration) error {
	if primary.Err != nil && !primary.Ended {
		return primary.Err
	}
	return status.Errorf(codes.Canceled, "the primary has ended, and the storage had not %s later", grace)
}

// stopwatch measures how long the secondaries have kept one request waiting. It runs from when the
// first of them had no room; one whose turn comes later has had none since then either, because
// only this goroutine fills its queue.
type stopwatch struct {
	bound   time.Duration
	timer   *time.Timer // made when it is needed, once for the call
	running bool
	passed  bool // the bound
}

// start begins to measure, unless that was done for this request.
func (w *stopwatch) start() {
	switch {
	case w.running:
	case w.timer == nil:
		w.timer = time.NewTimer(w.bound)
	default:
		w.timer.Reset(w.bound)
	}
	w.running = true
}

// stop makes it ready for the next request.
func (w *stopwatch) stop() {
	if w.running {
		w.timer.Stop()
	}
	w.running, w.passed = false, false
}
