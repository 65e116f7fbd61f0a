package machine

import (
	"errors"
	"testing"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// TestRenew_declaresNothingOfAFormerRound has g3's copy outlast a write.
func TestRenew_declaresNothingOfAFormerRound(t *testing.T) {
	r := behindFixture(t)
	r.repair(10, false)
	r.begin(2, alpha)
	r.end(2, true, true)
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-3"}})
	if err := r.done(10).Err; !errors.Is(err, repair.ErrInvalidated) {
		t.Fatalf("invalidated: %v", err)
	}
	r.step(Renew{Guard: 10})
	if d := r.done(10); d.Err != nil || d.Round != 1 {
		t.Fatalf("renewed: %+v", d)
	}
	r.step(OpenIntent{Guard: 10, Scope: copying})
	r.step(Declare{Guard: 10, Storages: []string{"gitaly-3"}})
	if err := r.done(10).Err; !errors.Is(err, repair.ErrInvalidated) {
		t.Errorf("of the former round: %v", err)
	}
	r.step(Declare{Guard: 10, Round: 1, Storages: []string{"gitaly-2"}})
	if err := r.done(10).Err; err != nil {
		t.Error(err)
	}
	if e := r.state.Entry(alpha); e.IsBehind("gitaly-2") || !e.IsBehind("gitaly-3") {
		t.Errorf("entry: %+v", e)
	}
	r.step(Free{Guard: 10, Doubtful: []string{"gitaly-3"}})
	if e := r.state.Entry(alpha); e.HasLive() || !e.HasDoubt() {
		t.Errorf("entry: %+v", e)
	}
}

func TestRenew_isBusy(t *testing.T) {
	for name, before := range map[string]func(r *fixture){
		"a write is in flight":        func(r *fixture) { r.begin(2, alpha) },
		"no lease":                    func(r *fixture) { r.step(Session{}) },
		"something is to be in doubt": func(r *fixture) { r.begin(2, alpha); r.end(2, false, false) },
	} {
		t.Run(name, func(t *testing.T) {
			r := behindFixture(t)
			r.repair(10, false)
			before(r)
			r.step(Renew{Guard: 10})
			if err := r.done(10).Err; !errors.Is(err, repair.ErrRepositoryBusy) {
				t.Errorf("error: %v", err)
			}
			r.step(Renew{Guard: 11})
			if err := r.done(11).Err; !errors.Is(err, repair.ErrRepositoryBusy) {
				t.Errorf("of no repair: %v", err)
			}
		})
	}
}

// TestRenew_waitsForWrites pauses new writes until those in flight have ended, whatever becomes of
// them; one that ends in doubt refuses the round, and not the repair.
func TestRenew_waitsForWrites(t *testing.T) {
	for name, row := range map[string]struct {
		clean bool
		want  error
	}{"clean": {true, nil}, "in doubt": {false, repair.ErrRepositoryBusy}} {
		t.Run(name, func(t *testing.T) {
			r := behindFixture(t)
			r.repair(10, false)
			r.begin(2, alpha)
			delete(r.last, 10)
			r.step(Renew{Guard: 10, Pause: true})
			if said := r.last[10]; said != nil {
				t.Fatalf("too early: %+v", said)
			}
			r.end(2, row.clean, row.clean)
			d := r.done(10)
			if !errors.Is(d.Err, row.want) {
				t.Fatalf("renewed: %+v", d)
			}
			r.step(Resume{Guard: 10})
			if d.Err == nil {
				r.step(OpenIntent{Guard: 10, Scope: state.Scope{Targets: []string{"gitaly-2"}}})
				r.step(Declare{Guard: 10, Round: d.Round, Storages: []string{"gitaly-2"}})
				if err := r.done(10).Err; err != nil {
					t.Error(err)
				}
			}
			r.step(Free{Guard: 10, Arrived: true})
			r.begin(3, alpha) // nothing is in its way
			r.end(3, true, true)
			r.pass(settings.Linger)
			r.idle()
		})
	}
}
