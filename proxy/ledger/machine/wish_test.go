package machine

import (
	"testing"
	"time"

	"praefect/fsm/state"
)

// wishes has the other instance ask for its turn at the repository.
func (r *fixture) wishes(bound time.Duration) {
	r.t.Helper()
	if r.state.Entry(alpha).Live(r.other) == nil {
		r.must(r.other, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{alpha.RelativePath}, Kind: state.Open}})
	}
	r.must(r.other, state.Command{Wish: &state.Wish{Key: alpha, BoundMillis: bound.Milliseconds()}})
	r.catchUp()
}

// TestMachine_wishClosesIntentsAndStopsNewWrites, of that repository and of no other one.
func TestMachine_wishClosesIntentsAndStopsNewWrites(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.end(1, true, true)
	r.begin(2, alpha)
	if r.state.Entry(alpha).Live(r.own) == nil {
		t.Fatal("no intent lingers")
	}
	r.wishes(5 * second)
	r.begin(3, alpha)
	r.queued(3, WhyRepairLock)
	r.begin(4, beta)
	r.forwarded(4)
	r.end(2, true, true) // it was under way
	if r.state.Entry(alpha).Live(r.own) != nil {
		t.Error("the intent of the last write stayed open")
	}
	r.must(r.other, state.Command{Wish: &state.Wish{Key: alpha}}) // its repair is over
	r.catchUp()
	r.forwarded(3)
}

// TestMachine_wishEndsByItself: whatever becomes of the instance that wished, and of the ones
// that wish after it, writes wait for the bound only, and then pass for as long.
func TestMachine_wishEndsByItself(t *testing.T) {
	r := newFixture(t, settings)
	r.wishes(2 * second)
	r.begin(1, alpha)
	r.queued(1, WhyRepairLock)
	r.pass(2*second - 1)
	r.queued(1, WhyRepairLock)
	r.pass(1)
	r.forwarded(1)
	r.wishes(2 * second)
	r.begin(2, alpha)
	r.forwarded(2)
	r.pass(3 * second)
	r.begin(3, alpha)
	r.forwarded(3) // the wish is one that was not heeded
	r.wishes(2 * second)
	r.begin(4, alpha)
	r.queued(4, WhyRepairLock)
}

// TestMachine_wishIsAnsweredWhenNobodyElseMayWrite.
func TestMachine_wishIsAnsweredWhenNobodyElseMayWrite(t *testing.T) {
	r := newFixture(t, settings)
	r.must(r.other, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{alpha.RelativePath}, Kind: state.Open}})
	r.catchUp()
	r.step(Acquire{Guard: 7, Key: alpha, Pause: true})
	before := len(r.said[7])
	r.step(Wish{Guard: 7, Bound: 5 * second})
	if w := r.state.Entry(alpha).Wish; w == nil || w.Incarnation != r.own || len(r.said[7]) != before {
		t.Fatalf("%+v; said %+v", w, r.said[7])
	}
	r.must(r.other, state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: []string{alpha.RelativePath}, InDoubt: true}})
	r.catchUp()
	if done, ok := r.last[7].(Done); !ok || len(r.said[7]) != before+1 || done.Err != nil {
		t.Fatalf("said %+v", r.said[7])
	}
	r.step(Free{Guard: 7, Arrived: true})
	if w := r.state.Entry(alpha).Wish; w != nil {
		t.Errorf("it stands after the repair: %+v", w)
	}
}
