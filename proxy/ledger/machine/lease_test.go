package machine

import (
	"errors"
	"testing"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

func TestMachine_withoutLeaseWritesWait(t *testing.T) {
	for name, test := range map[string]struct {
		then func(r *fixture)
		want error
	}{
		"it comes":                 {func(r *fixture) { r.step(r.leased()) }, nil},
		"it does not":              {func(r *fixture) { r.pass(settings.LeaseWait) }, ErrNoLease},
		"it is for a newer view":   {func(r *fixture) { s := r.leased(); s.Lease.Index++; r.step(s); r.pass(settings.LeaseWait) }, ErrNoLease},
		"it is retired":            {func(r *fixture) { r.retire() }, ErrRetired},
		"the instance stops":       {func(r *fixture) { r.step(Stop{}) }, ErrStopping},
		"it comes with a new view": {func(r *fixture) { s := r.leased(); s.Lease.Index++; r.step(s); r.must(r.other, nothing()); r.catchUp() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, settings)
			r.step(Session{Lease: routing.Lease{Until: r.now + second}, Watermark: 1 << 40})
			r.pass(second) // and it ends by itself
			r.begin(1, alpha)
			r.queued(1, WhyLease)
			test.then(r)
			if test.want == nil {
				r.forwarded(1)
			} else {
				r.rejected(1, test.want)
			}
		})
	}
}

// nothing is a command that changes nothing.
func nothing() state.Command {
	return state.Command{Define: &state.Define{VirtualStorage: "default", Storages: storages}}
}

// retire has our incarnation replaced.
func (r *fixture) retire() {
	next := r.must(0, state.Command{Register: &state.Register{ID: "a", Name: "praefect-1"}})
	r.must(r.other, state.Command{Retire: &state.Retire{Incarnation: r.own, Successor: next}})
	r.catchUp()
}

func TestMachine_asksForTheLeaseAgainAtTheForward(t *testing.T) {
	r := newFixture(t, settings)
	r.step(Session{Lease: routing.Lease{Until: r.now + second}, Watermark: 1 << 40})
	r.keep = true
	r.begin(1, alpha)
	r.pass(second)
	r.answerKept()
	r.queued(1, WhyLease)
	if writes, _ := r.m.InFlight(); writes != 0 {
		t.Error("a write that waits for a lease counts as in flight")
	}
	r.step(r.leased())
	if f := r.forwarded(1); f.At != r.now {
		t.Errorf("dated at %v, want %v", f.At, r.now)
	}
}

func TestMachine_statusWaitsForALease(t *testing.T) {
	for name, test := range map[string]struct {
		then func(r *fixture)
		want error
	}{
		"it comes":                {func(r *fixture) { r.step(r.leased()) }, nil},
		"it does not":             {func(r *fixture) { r.pass(settings.LeaseWait) }, ErrDoomed},
		"it is for a newer view":  {func(r *fixture) { s := r.leased(); s.Lease.Index++; r.step(s); r.pass(settings.LeaseWait) }, ErrDoomed},
		"it comes with a fence":   {func(r *fixture) { r.fence("gitaly-1"); r.step(r.leased()); r.catchUp() }, ErrDoomed},
		"a fence comes before it": {func(r *fixture) { r.fence("gitaly-1"); r.catchUp() }, ErrDoomed},
		"it is retired":           {func(r *fixture) { r.retire() }, ErrRetired},
		"the instance stops":      {func(r *fixture) { r.step(Stop{}) }, ErrDoomed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, settings)
			r.step(Session{Lease: routing.Lease{Until: r.now + second}, Watermark: 1 << 40})
			r.begin(1, alpha)
			r.pass(second) // and it ends by itself
			r.step(Ended{Write: 1, Succeeded: true, Arrived: true})
			if _, passed := r.last[1].(Finish); passed {
				t.Fatal("the status was passed on without a lease")
			}
			test.then(r)
			if got, passed := r.last[1].(Finish); !passed || !errors.Is(got.Err, test.want) {
				t.Errorf("got %#v, want a Finish with %v", r.last[1], test.want)
			}
		})
	}
}

func TestMachine_failureNeedsNoLease(t *testing.T) {
	r := newFixture(t, settings)
	r.step(Session{Lease: routing.Lease{Until: r.now + second}, Watermark: 1 << 40})
	r.begin(1, alpha)
	r.pass(second)
	if err := r.end(1, false, true); err != nil {
		t.Errorf("got %v", err)
	}
	if r.step(Tick{}); r.state.Entry(alpha).HasDoubt() {
		t.Errorf("the entry: %+v", r.state.Entry(alpha))
	}
}

func TestMachine_retiredEndsEverything(t *testing.T) {
	r := newFixture(t, settings)
	r.begin(1, alpha)
	r.keep = true
	r.begin(2, beta)
	r.retire()
	if _, ok := r.last[1].(Doom); !ok {
		t.Errorf("a write under way: %#v", r.last[1])
	}
	if err := r.end(1, true, true); !errors.Is(err, ErrRetired) {
		t.Errorf("status: %v", err)
	}
	r.answerKept()
	if rejected, ok := r.last[2].(Reject); !ok {
		t.Errorf("a write that was proposing: %#v", rejected)
	}
	r.begin(3, alpha)
	r.rejected(3, ErrRetired)
}
