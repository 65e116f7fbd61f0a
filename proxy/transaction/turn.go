package transaction

import (
	"context"
	"time"

	"praefect/proxy/transaction/quorum"
)

// Turn waits until the call of a storage may be sent, for the first time in an ordered
// write, or again after the storage has given its locks up. It reports false if the call
// is not sent: then its end is the end of the storage's part.
func (t *Transaction) Turn(ctx context.Context, storage string) bool {
	turn := make(chan bool, 1)
	t.step(func(now time.Duration) []quorum.Effect {
		if t.ended {
			turn <- false
			return nil
		}
		t.turns[storage] = turn
		return t.votes.Ready(now, storage)
	})
	select {
	case run := <-turn:
		return run
	case <-ctx.Done():
		t.Leave(storage)
		return false
	}
}

// Once says that the call of a storage cannot be sent again.
func (t *Transaction) Once(storage string) {
	t.step(func(time.Duration) []quorum.Effect { return t.votes.Once(storage) })
}

// Ordered tells that no call is to be sent but the primary's before its Turn.
func (t *Transaction) Ordered() bool { return t.ordered }

// turned answers the Turn under way. Caller holds mu.
func (t *Transaction) turned(storage string, run bool) {
	if turn := t.turns[storage]; turn != nil {
		delete(t.turns, storage)
		turn <- run
	}
}
