package elector

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/consensus/lease"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// operating is a fixture with a switchover under way.
type operating struct {
	*fixture
	op           Operation
	pauseReports map[state.Incarnation]routing.WritePauseReport
	fenced       *state.Result
	progress     Progress
	err          error
}

func (r *fixture) begin(request Request) (*operating, bool, error) {
	request.VirtualStorage, request.ID = "default", "x"
	request.CatchUpFor, request.PauseFor = time.Minute, 8*time.Second
	r.in.Counts = r.counts()
	o := &operating{fixture: r, pauseReports: make(map[state.Incarnation]routing.WritePauseReport)}
	op, already, err := Begin(request, o.moment())
	o.op = op
	return o, already, err
}

func (r *fixture) mustBegin(request Request) *operating {
	r.t.Helper()
	o, already, err := r.begin(request)
	if err != nil || already {
		r.t.Fatalf("already %v, %v", already, err)
	}
	r.history = nil
	return o
}

func (o *operating) moment() Moment {
	return Moment{Now: o.in.Now, View: o.in.View, Counts: o.in.Counts, Leases: o.leases, PauseReports: o.pauseReports, Fenced: o.fenced}
}

// advance takes one step, and then the elector one.
func (o *operating) advance(after time.Duration) {
	o.t.Helper()
	o.in.Now += after
	o.in.Counts = o.counts()
	var command *state.Command
	o.op, command, o.progress, o.err = o.op.Step(o.moment())
	if command != nil {
		o.propose(*command)
	}
	o.step(0)
}

// propose applies the fence, whose answer comes with the next moment.
func (o *operating) propose(c state.Command) {
	o.t.Helper()
	before := len(o.history)
	o.apply(1, c)
	o.fenced = &state.Result{Index: o.in.View.Index}
	if _, why, refused := strings.Cut(o.history[before], string(state.RefusedEpoch)); refused {
		o.fenced.Refusal = &state.Refusal{Reason: state.RefusedEpoch, Detail: why}
	}
}

// reportPause has every instance report how far it is.
func (o *operating) reportPause(inFlight, intents int) {
	for _, in := range o.in.View.Instances {
		o.pauseReports[in.Incarnation] = routing.WritePauseReport{ID: "x", Applied: true, InFlight: inFlight, Intents: intents}
	}
}

func (o *operating) at(want Phase) {
	o.t.Helper()
	if o.op.Phase != want || o.err != nil {
		o.t.Fatalf("phase %q with %v, want %q; %+v", o.op.Phase, o.err, want, o.progress)
	}
}

// behind records storages as behind for a repository.
func (r *fixture) behind(path string, names ...string) {
	r.t.Helper()
	vs := r.vs()
	primary, _ := vs.Primary(nil)
	agreeing := []string{primary.Name}
	for _, s := range vs.Succession {
		if s.Name != primary.Name && !slices.Contains(names, s.Name) {
			agreeing = append(agreeing, s.Name)
		}
	}
	r.apply(1,
		state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{path}, Kind: state.Open}},
		state.Command{MarkBehind: &state.MarkBehind{VirtualStorage: "default", Paths: []string{path}, Primary: primary.Name, Epoch: vs.Epoch, Agreeing: agreeing}},
		state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: []string{path}}},
	)
}

func TestOperation_promotes(t *testing.T) {
	r := newFixture(t)
	o := r.mustBegin(Request{Verb: Promote, Storage: "g3", By: "operator"})
	o.advance(0)
	o.at(PauseWrites)
	if h, ok := o.op.WritePauses(o.in.Now); !ok || h != (lease.WritePause{ID: "x", VirtualStorage: "default", RemainingMillis: 8000, Serving: true}) {
		t.Errorf("pause: %+v %v", h, ok)
	}
	o.advance(0)
	o.at(PauseWrites) // nobody has said that it holds
	o.reportPause(2, 0)
	o.advance(time.Second)
	o.at(PauseWrites)
	if o.progress.InFlight != 6 || len(o.progress.Waiting) != 3 {
		t.Errorf("progress: %+v", o.progress)
	}
	o.reportPause(0, 1)
	o.advance(0)
	o.at(PauseWrites)
	o.did()
	o.reportPause(0, 0)
	r.leases.applied = r.in.View.Index
	o.advance(0)
	o.at(CutOver)
	o.did("fence [g1 g2] switchover")
	o.advance(0)
	o.at(AwaitAdmit)
	o.advance(time.Second)
	o.at(AwaitAdmit)
	o.did()
	r.leases.applied = r.in.View.Index
	o.advance(0)
	o.did("admit g1 serving g2 serving")
	o.want("g3 serving C, g1 serving A, g2 serving B")
	o.advance(0)
	o.at(ResumeWrites)
	if _, ok := o.op.WritePauses(o.in.Now); ok {
		t.Error("it still holds")
	}
}

// An instance without a lease writes nothing, and is not waited for.
func TestOperation_waitsForWhoMayWrite(t *testing.T) {
	r := newFixture(t)
	o := r.mustBegin(Request{Verb: Promote, Storage: "g2"})
	o.advance(0)
	o.reportPause(0, 0)
	delete(o.pauseReports, 3)
	o.advance(0)
	o.at(PauseWrites)
	if !slices.Equal(o.progress.Waiting, []state.Incarnation{3}) {
		t.Errorf("waits for %v", o.progress.Waiting)
	}
	o.pauseReports[3] = routing.WritePauseReport{ID: "another", Applied: true}
	o.advance(0)
	o.at(PauseWrites)
	r.leases.leased[3] = false
	o.advance(0)
	o.at(CutOver)
}

func TestOperation_catchesUp(t *testing.T) {
	r := newFixture(t)
	r.behind("a.git", "g2")
	r.behind("b.git", "g3")
	o := r.mustBegin(Request{Verb: Promote, Storage: "g2"})
	o.advance(59 * time.Second)
	o.at(CatchUp)
	if o.progress.Behind != 1 {
		t.Errorf("waits for %d repositories", o.progress.Behind)
	}
	o.advance(time.Second)
	if !errors.Is(o.err, ErrTimeout) || len(r.history) > 0 {
		t.Errorf("got %v after %q", o.err, r.history)
	}

	o = r.mustBegin(Request{Verb: Promote, Storage: "g2", Force: true})
	o.advance(0)
	o.at(PauseWrites)
	o.advance(0)
	o.at(CutOver) // it waits for nobody, and still fences
	o.did("fence [g1] switchover", "admit g1 serving")
}

// With clients that write all the time some repository is always behind.
func TestOperation_doesNotWaitForWhatIsWrittenMeanwhile(t *testing.T) {
	r := newFixture(t)
	o := r.mustBegin(Request{Verb: Promote, Storage: "g2"})
	r.behind("a.git", "g2")
	o.advance(0)
	o.at(PauseWrites)
}

func TestOperation_holdEnds(t *testing.T) {
	r := newFixture(t)
	o := r.mustBegin(Request{Verb: Promote, Storage: "g2"})
	o.advance(0)
	o.reportPause(1, 1)
	o.advance(7999 * time.Millisecond)
	o.at(PauseWrites)
	o.advance(time.Millisecond)
	if !errors.Is(o.err, ErrTimeout) {
		t.Errorf("got %v", o.err)
	}
	o.did()
	if _, ok := o.op.WritePauses(o.in.Now); ok {
		t.Error("the pause outlives its end")
	}
}

func TestOperation_drains(t *testing.T) {
	for _, tc := range []struct {
		storage, fence, want string
	}{
		{storage: "g1", fence: "fence [g1] drained", want: "g2 serving B, g3 serving C, g1 out A"},
		{storage: "g2", fence: "fence [g2] drained", want: "g1 serving A, g3 serving C, g2 out B"},
	} {
		t.Run(tc.storage, func(t *testing.T) {
			r := newFixture(t)
			o := r.mustBegin(Request{Verb: Drain, Storage: tc.storage})
			o.advance(0)
			o.at(PauseWrites)
			if h, ok := o.op.WritePauses(o.in.Now); !ok || h.Serving || h.Leaving != tc.storage {
				t.Errorf("pause: %+v %v", h, ok)
			}
			o.reportPause(0, 0)
			o.advance(0)
			o.did(tc.fence, "admit "+tc.storage+" out")
			o.advance(0)
			o.advance(0)
			o.at(ResumeWrites)
			o.want(tc.want)
			if why := o.vs().Storage(tc.storage).Why; why != state.WhyDrained {
				t.Errorf("out because %q", why)
			}
		})
	}
}

// A repository that only the drained storage has must be elsewhere first; one
// that is written to all the time is so only under the pause.
func TestOperation_drainLeavesNothingBehind(t *testing.T) {
	r := newFixture(t)
	r.behind("a.git", "g2", "g3")
	o := r.mustBegin(Request{Verb: Drain, Storage: "g1"})
	o.advance(time.Second)
	o.at(CatchUp)
	o.advance(time.Minute)
	o.at(PauseWrites)
	o.reportPause(0, 0)
	o.advance(0)
	o.at(PauseWrites)
	if o.progress.Behind != 1 {
		t.Errorf("waits for %d repositories", o.progress.Behind)
	}
	key := state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	r.apply(1, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{"a.git"}, Kind: state.Open}})
	r.apply(1,
		state.Command{MarkInSync: &state.MarkInSync{Key: key, Storages: []string{"g3"}, AsOf: r.in.View.Index}},
		state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: []string{"a.git"}}},
	)
	o.advance(0)
	o.at(CutOver)
}

func TestOperation_drainsWhatIsOut(t *testing.T) {
	r := out(t)
	o := r.mustBegin(Request{Verb: Drain, Storage: "g1"})
	o.advance(0)
	o.reportPause(0, 0)
	o.advance(0)
	o.did("another")
	o.advance(0)
	o.advance(0)
	o.at(ResumeWrites)
	if _, already, err := r.begin(Request{Verb: Drain, Storage: "g1"}); !already || err != nil {
		t.Errorf("again: %v %v", already, err)
	}
}

// Whoever changed the virtual storage first wins; the other one changed nothing.
func TestOperation_losesARace(t *testing.T) {
	r := newFixture(t)
	o := r.mustBegin(Request{Verb: Promote, Storage: "g2", Force: true})
	o.advance(0)
	var command *state.Command
	o.op, command, _, _ = o.op.Step(o.moment())
	r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g3"}, Why: state.WhyDead, Epoch: r.vs().Epoch}})
	o.propose(*command)
	o.advance(0)
	if !errors.Is(o.err, ErrRefused) {
		t.Errorf("got %v", o.err)
	}
}

// The target dies after the fence: the others serve on, and what was asked for
// is not what has happened.
func TestOperation_targetDies(t *testing.T) {
	r := newFixture(t)
	r.leases.applied = r.in.View.Index
	o := r.mustBegin(Request{Verb: Promote, Storage: "g2", Force: true})
	o.advance(0)
	o.advance(0)
	o.at(CutOver)
	r.look["g2"] = "dead"
	o.advance(0)
	o.at(AwaitAdmit)
	r.leases.applied = everything
	r.step(0) // g1 serves again, behind g3
	r.step(0) // g2 is failed over
	r.step(0)
	r.want("g3 serving C, g1 serving A, g2 out B")
	o.advance(0)
	if !errors.Is(o.err, ErrOvertaken) {
		t.Errorf("got %v", o.err)
	}
}

func TestBegin_checksTheRequest(t *testing.T) {
	for _, tc := range []struct {
		name    string
		given   func(r *fixture)
		request Request
		already bool
		refused string
	}{
		{name: "is the primary", request: Request{Verb: Promote, Storage: "g1"}, already: true},
		{name: "no such storage", request: Request{Verb: Promote, Storage: "g9"}, refused: "no storage"},
		{name: "the plan is old", request: Request{Verb: Promote, Storage: "g2", Epoch: 1}, refused: "look at the plan again"},
		{name: "not well", request: Request{Verb: Promote, Storage: "g2"}, refused: "not well", given: func(r *fixture) { r.sees["g2"] = 1 }},
		{name: "a fence is under way", request: Request{Verb: Drain, Storage: "g2"}, refused: "middle of another change", given: func(r *fixture) {
			r.apply(1, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"g1"}, Why: state.WhyDead, Epoch: r.vs().Epoch}})
		}},
		{name: "out", request: Request{Verb: Promote, Storage: "g1"}, refused: "only a storage that serves", given: func(r *fixture) {
			r.look["g1"] = "dead"
			r.step(0)
			r.step(0)
		}},
		{name: "the last one", request: Request{Verb: Drain, Storage: "g3"}, refused: "no other storage", given: func(r *fixture) {
			r.look["g1"] = "dead"
			r.pass(6 * time.Second)
			r.look["g2"] = "dead"
			r.pass(time.Second)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newFixture(t)
			if tc.given != nil {
				tc.given(r)
			}
			_, already, err := r.begin(tc.request)
			if already != tc.already || tc.refused == "" && err != nil ||
				tc.refused != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("already %v, %v", already, err)
			}
		})
	}
}
