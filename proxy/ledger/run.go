package ledger

import (
	"context"
	"math"
	"time"

	"praefect/proxy/ledger/machine"
)

// longest bounds a sleep of Run, which has nothing to wait for.
const longest = time.Hour

// Run tells the machine of changes, and that time passes, until ctx ends.
// Then it closes the intents with nothing in flight at once, and returns when all
// proposals have ended; intents of writes that did not end stay, and are in doubt
// once this incarnation is retired.
func (l *Ledger) Run(ctx context.Context) error {
	reached := l.storages.Changed()
	l.tell(machine.Connections{Storages: l.storages.Connections()})
	for ctx.Err() == nil {
		viewed, said := l.node.Changed(), l.session.Changed()
		timer := time.NewTimer(l.hear())
		select {
		case <-timer.C:
		case <-l.wake:
		case <-viewed:
		case <-said:
		case <-reached:
			reached = l.storages.Changed()
			l.tell(machine.Connections{Storages: l.storages.Connections()})
		case <-ctx.Done():
		}
		timer.Stop()
	}
	l.stop()
	l.proposals.Wait()
	return nil
}

func (l *Ledger) tell(e machine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step(e)
}

// hear tells the machine the news of the leader, and the time and the view with
// it. It returns how long Run may sleep.
func (l *Ledger) hear() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = 0 // Run is awake
	l.lease = l.session.Lease()
	l.step(machine.Session{Lease: l.lease, Watermark: l.session.Watermark(), WritePauses: l.session.WritePauses()})
	at, ok := l.machine.Next()
	if !ok {
		at = math.MaxInt64
	}
	l.next = at
	return min(max(0, at-l.session.Now()), longest)
}

// stop closes the idle intents, and waits until it has.
func (l *Ledger) stop() {
	drained := make(chan struct{})
	l.mu.Lock()
	l.drained = drained
	l.step(machine.Stop{})
	l.mu.Unlock()
	<-drained // every proposal has an end
}
