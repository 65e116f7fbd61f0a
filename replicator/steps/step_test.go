package steps

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

var errAway = errors.New("away")

// turn is an effect that a step is to have, and the result that it is given.
type turn struct {
	want Effect
	give Result
}

// play gives a step the results one after the other, and compares its effects.
func play(t *testing.T, s *Step, script []turn) {
	t.Helper()
	var last Result
	for i, turn := range script {
		got := s.Next(last)
		if diff := cmp.Diff(turn.want, got, cmpopts.EquateErrors(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("effect %d (-want +got):\n%s", i, diff)
		}
		last = turn.give
	}
}

// copies is a plan to copy onto the targets.
func copies(targets ...string) plan.Plan {
	return plan.Plan{Action: plan.Copy, Primary: "g1", Targets: targets}
}

// opened is the result of an intent in whose view the plan is p.
func opened(p plan.Plan) Result { return Result{Plan: p, Entry: &state.Entry{}} }

// begun are the turns of copies up to the first Await, which is answered with give.
func begun(give Result, targets ...string) []turn {
	return []turn{
		{Lock{}, Result{}},
		{OpenIntent{Targets: targets}, opened(copies(targets...))},
		{Look{Storages: []string{"g1"}}, Result{Has: []string{"g1"}}},
		{Remake{Plan: copies(targets...)}, Result{Targets: targets}},
		{Copies{Plan: copies(targets...), Found: plan.Finding{Source: true}}, Result{}},
		{Await{}, give},
	}
}

// ended is the result of an Await in which copies have ended well.
func ended(targets ...string) (r Result) {
	for _, target := range targets {
		r.Ended = append(r.Ended, Copied{Target: target, Ended: true})
	}
	return r
}

func TestStep_copy(t *testing.T) {
	idle := opened(plan.Plan{Action: plan.Idle})
	for _, row := range []struct {
		name   string
		script []turn
	}{
		{"a write has the lock", []turn{
			{Lock{}, Result{Err: repair.ErrRepositoryBusy}},
			{End{Arrived: true, Err: repair.ErrRepositoryBusy}, Result{}},
		}},
		{"no intent", []turn{
			{Lock{}, Result{}},
			{OpenIntent{Targets: []string{"g2"}}, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}},
		{"nothing is behind any more", []turn{
			{Lock{}, Result{}},
			{OpenIntent{Targets: []string{"g2"}}, idle},
			{End{Arrived: true}, Result{}},
		}},
		{"one less is behind and one more", []turn{
			{Lock{}, Result{}},
			{OpenIntent{Targets: []string{"g2", "g3"}}, opened(copies("g3", "g4"))},
			{Look{Storages: []string{"g1"}}, Result{Has: []string{"g1"}}},
			{Remake{Plan: copies("g3")}, Result{Again: []string{"g3"}, Targets: []string{"g3"}}},
			{Copies{Plan: copies("g3"), Found: plan.Finding{Source: true}, Again: []string{"g3"}}, Result{}},
			{Await{}, ended("g3")},
			{Declare{Storages: []string{"g3"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g3"}}, Result{}},
		}},
		{"the primary does not tell", []turn{
			{Lock{}, Result{}},
			{OpenIntent{Targets: []string{"g2"}}, opened(copies("g2"))},
			{Look{Storages: []string{"g1"}}, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}},
		{"the primary has none: nothing is made again", []turn{
			{Lock{}, Result{}},
			{OpenIntent{Targets: []string{"g2"}}, Result{Plan: copies("g2"), Entry: &state.Entry{Deleted: true}}},
			{Look{Storages: []string{"g1"}}, Result{}},
			{Copies{Plan: copies("g2"), Found: plan.Finding{Deleted: true}}, Result{}},
			{Await{}, ended("g2")},
			{Declare{Storages: []string{"g2"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g2"}}, Result{}},
		}},
		{"what is to be made again waits", []turn{
			{Lock{}, Result{}},
			{OpenIntent{Targets: []string{"g2"}}, opened(copies("g2"))},
			{Look{Storages: []string{"g1"}}, Result{Has: []string{"g1"}}},
			{Remake{Plan: copies("g2")}, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}},
		{"each target is declared when its own copy has ended", append(begun(ended("g3"), "g2", "g3"), []turn{
			{Declare{Storages: []string{"g3"}}, Result{}},
			{Await{}, ended("g2")},
			{Declare{Storages: []string{"g2"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g3", "g2"}}, Result{}},
		}...)},
		{"one copy fails, and the other one counts", append(begun(Result{Ended: []Copied{{Target: "g2", Ended: true, Err: errAway}, {Target: "g3", Ended: true}}}, "g2", "g3"), []turn{
			{Declare{Storages: []string{"g3"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g3"}, Err: errAway}, Result{}},
		}...)},
		{"a copy that failed is put off while the other one lasts", append(begun(Result{Ended: []Copied{{Target: "g2", Ended: true, Err: errAway}}}, "g2", "g3"), []turn{
			{Await{Later: []string{"g2"}}, ended("g3")},
			{Declare{Storages: []string{"g3"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g3"}, Err: errAway}, Result{}},
		}...)},
		{"the end of a copy is unknown", append(begun(Result{Ended: []Copied{{Target: "g2", Err: errAway}}}, "g2"), turn{
			End{Err: errAway}, Result{},
		})},
		{"a write was met", append(begun(ended("g2"), "g2"), []turn{
			{Declare{Storages: []string{"g2"}}, Result{Err: repair.ErrInvalidated}},
			{End{Arrived: true, Err: repair.ErrInvalidated}, Result{}},
		}...)},
		{"a conclusion has no answer: nothing more is begun", append(begun(ended("g2"), "g2", "g3"), []turn{
			{Declare{Storages: []string{"g2"}}, Result{Err: errAway}},
			{Await{Stop: true}, Result{Due: true, Plan: copies("g4")}},
			{Await{Stop: true}, ended("g3")},
			{Declare{Storages: []string{"g3"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g3"}, Err: errAway}, Result{}},
		}...)},
	} {
		t.Run(row.name, func(t *testing.T) {
			targets := []string{"g2"}
			if intent, ok := row.script[min(1, len(row.script)-1)].want.(OpenIntent); ok {
				targets = intent.Targets
			}
			play(t, New(copies(targets...)), row.script)
		})
	}
}

func TestStep_join(t *testing.T) {
	resolution := plan.Plan{Action: plan.Resolve, Primary: "g1"}
	due := func(p plan.Plan) []turn { return begun(Result{Due: true, Plan: p}, "g2") }
	for _, row := range []struct {
		name   string
		script []turn
	}{
		{"another storage is behind", append(due(copies("g2", "g3")), []turn{
			{Renew{}, Result{Round: 1}},
			{OpenIntent{Targets: []string{"g3"}}, opened(copies("g2", "g3"))},
			{Look{Storages: []string{"g1"}}, Result{Has: []string{"g1"}}},
			{Remake{Plan: copies("g3")}, Result{Targets: []string{"g3"}}},
			{Copies{Plan: copies("g3"), Found: plan.Finding{Source: true}}, Result{}},
			{Await{}, ended("g3")},
			{Declare{Round: 1, Storages: []string{"g3"}}, Result{}},
			{Await{}, ended("g2")}, // of the former round
			{End{Arrived: true, Synced: []string{"g3"}, Err: repair.ErrInvalidated}, Result{}},
		}...)},
		{"only what is copied already", append(due(copies("g2")), []turn{
			{Await{}, ended("g2")},
			{Declare{Storages: []string{"g2"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g2"}}, Result{}},
		}...)},
		{"a write has the lock", append(due(copies("g3")), []turn{
			{Renew{}, Result{Err: repair.ErrRepositoryBusy}},
			{Await{Later: []string{"g3"}, Err: repair.ErrRepositoryBusy}, ended("g2")},
			{Declare{Storages: []string{"g2"}}, Result{}},
			{End{Arrived: true, Synced: []string{"g2"}}, Result{}},
		}...)},
		{"a round that begins and fails", append(due(copies("g3")), []turn{
			{Renew{}, Result{Round: 1, Err: errAway}},
			{Await{Later: []string{"g3"}, Err: errAway}, ended("g2")},
			{End{Arrived: true, Err: repair.ErrInvalidated}, Result{}},
		}...)},
		{"a doubt", append(due(resolution), []turn{
			{Renew{}, Result{Round: 1}},
			{OpenIntent{}, opened(resolution)},
			{Look{Storages: []string{"g1"}}, Result{Has: []string{"g1"}}},
			{ResolveDoubt{Resolution: repair.Resolution{Authority: "g1"}}, Result{}},
			{Await{}, ended("g2")},
			{End{Arrived: true, Err: repair.ErrInvalidated}, Result{}},
		}...)},
		{"a doubt that cannot be resolved", append(due(resolution), []turn{
			{Renew{}, Result{Round: 1}},
			{OpenIntent{}, Result{Err: errAway}},
			{Await{Err: errAway}, Result{Ended: []Copied{{Target: "g2", Err: context.Canceled}}}},
			{End{Err: context.Canceled}, Result{}},
		}...)},
	} {
		t.Run(row.name, func(t *testing.T) { play(t, New(copies("g2")), row.script) })
	}
}

func TestStep_doubtful(t *testing.T) {
	s := New(copies("g2", "g3"))
	play(t, s, begun(Result{}, "g2", "g3"))
	if got := s.Doubtful(); len(got) != 2 || !s.Begun("g2") {
		t.Errorf("while two are copied to: %q may change", got)
	}
	s.Next(Result{Ended: []Copied{{Target: "g2", Err: errAway}, {Target: "g3", Ended: true, Err: errAway}}})
	if diff := cmp.Diff([]string{"g2"}, s.Doubtful()); diff != "" || !s.Begun("g2") || s.Begun("g3") {
		t.Errorf("after one has ended: %s", diff)
	}
}

func TestStep_resolve(t *testing.T) {
	doubts := []state.DoubtRef{{Incarnation: 7, At: 12}}
	before := plan.Plan{Action: plan.Resolve, Primary: "g1"}
	inView := plan.Plan{Action: plan.Resolve, Primary: "g1", Doubts: doubts, RefsOnly: true, Witnesses: []string{"g2", "g3"}}
	unlike := inView
	unlike.RefsOnly = false
	resolve := func(r repair.Resolution) Effect { r.Doubts = doubts; return ResolveDoubt{Resolution: r} }
	primary, witnesses := Look{Storages: []string{"g1"}}, Look{Storages: []string{"g2", "g3"}}
	for _, row := range []struct {
		name   string
		script []turn // after the intent
		plan   plan.Plan
	}{
		{"it is resolved already", []turn{{End{Arrived: true}, Result{}}}, plan.Plan{}},
		{"equal references prove equal replicas", []turn{
			{primary, Result{Has: []string{"g1"}}},
			{Compare{Authority: "g1", Storages: []string{"g2", "g3"}}, Result{Equal: []string{"g3"}}},
			{resolve(repair.Resolution{Authority: "g1", Equal: []string{"g3"}}), Result{}},
			{End{Arrived: true}, Result{}},
		}, inView},
		{"equal references prove nothing", []turn{
			{primary, Result{Has: []string{"g1"}}},
			{resolve(repair.Resolution{Authority: "g1"}), Result{Err: repair.ErrInvalidated}},
			{End{Arrived: true, Err: repair.ErrInvalidated}, Result{}},
		}, unlike},
		{"a witness has what the primary lacks", []turn{
			{primary, Result{}},
			{witnesses, Result{Has: []string{"g2", "g3"}}},
			{Compare{Authority: "g2", Storages: []string{"g3"}}, Result{}},
			{resolve(repair.Resolution{Authority: "g2", PrimaryLacks: true}), Result{}},
			{End{Arrived: true}, Result{}},
		}, inView},
		{"a witness that cannot tell may have it", []turn{
			{primary, Result{}},
			{witnesses, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}, inView},
		{"all lack it", []turn{
			{primary, Result{}},
			{witnesses, Result{}},
			{resolve(repair.Resolution{Authority: "g1", Equal: []string{"g2", "g3"}}), Result{}},
			{End{Arrived: true}, Result{}},
		}, inView},
		{"all lack it, and that proves nothing", []turn{
			{primary, Result{}},
			{witnesses, Result{}},
			{resolve(repair.Resolution{Authority: "g1"}), Result{}},
			{End{Arrived: true}, Result{}},
		}, unlike},
		{"the primary does not tell", []turn{
			{primary, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}, inView},
		{"the authority cannot be compared", []turn{
			{primary, Result{Has: []string{"g1"}}},
			{Compare{Authority: "g1", Storages: []string{"g2", "g3"}}, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}, inView},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, New(before), append([]turn{{Lock{}, Result{}}, {OpenIntent{}, opened(row.plan)}}, row.script...))
		})
	}
}

func TestStep_endAdvance(t *testing.T) {
	doubts := []state.DoubtRef{{Incarnation: 7, At: 12}}
	vs := &state.VirtualStorage{Name: "default", Succession: []state.Storage{
		{Name: "g1", State: state.Serving}, {Name: "g2", State: state.Serving}, {Name: "g3", State: state.Fenced}, {Name: "g4", State: state.Serving},
	}}
	others := Look{Storages: []string{"g2", "g4"}}
	end := func(equal ...string) Effect {
		return EndAdvance{Ending: repair.Ending{Primary: "g1", Equal: equal, Doubts: doubts}}
	}
	for _, row := range []struct {
		name   string
		entry  state.Entry
		script []turn // after it is taken up
	}{
		{"no other storage is in sync", state.Entry{Behind: []string{"g2", "g4"}}, []turn{
			{end(), Result{}},
			{End{Arrived: true}, Result{}},
		}},
		{"the others are compared", state.Entry{}, []turn{
			{Look{Storages: []string{"g1"}}, Result{Has: []string{"g1"}}},
			{Compare{Authority: "g1", Storages: []string{"g2", "g4"}}, Result{Equal: []string{"g4"}}},
			{end("g4"), Result{}},
			{End{Arrived: true}, Result{}},
		}},
		{"a storage that lacks it is like a primary that lacks it", state.Entry{}, []turn{
			{Look{Storages: []string{"g1"}}, Result{}},
			{others, Result{Has: []string{"g2"}}},
			{end("g4"), Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}},
		{"a storage does not tell", state.Entry{}, []turn{
			{Look{Storages: []string{"g1"}}, Result{}},
			{others, Result{Err: errAway}},
			{End{Arrived: true, Err: errAway}, Result{}},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			taken := turn{TakeUp{}, Result{VS: vs, Entry: &row.entry}}
			play(t, New(plan.Plan{Action: plan.EndAdvance, Doubts: doubts}), append([]turn{{Lock{}, Result{}}, taken}, row.script...))
		})
	}
	t.Run("of an advance under a lock of its own", func(t *testing.T) {
		play(t, Ending(vs, &state.Entry{Behind: []string{"g2", "g4"}}), []turn{
			{EndAdvance{Ending: repair.Ending{Primary: "g1"}}, Result{}},
			{End{Arrived: true}, Result{}},
		})
	})
}

func TestMetWrite_tellsFaultsFromWrites(t *testing.T) {
	for _, row := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("declare: %w", &state.Refusal{Reason: state.RefusedChanged}), true},
		{&state.Refusal{Reason: state.RefusedNoIntent}, true},
		{errors.Join(errAway, repair.ErrInvalidated), true},
		{&state.Refusal{Reason: state.RefusedLast}, false},
		{repair.ErrRepositoryBusy, true},
		{status.Error(codes.Unavailable, "gone"), false},
		{context.DeadlineExceeded, false},
	} {
		if got := MetWrite(row.err); got != row.want {
			t.Errorf("%v: %v", row.err, got)
		}
	}
}
