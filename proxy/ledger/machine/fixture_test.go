package machine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/router"
)

const second = time.Second

var (
	settings = Config{Linger: 3 * second, QueueTimeout: 10 * second, QueueLimit: 3, QueueBytes: 1000, LeaseWait: 2 * second, VoteBound: 10 * second}
	alpha    = state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	beta     = state.Key{VirtualStorage: "default", RelativePath: "b.git"}
	storages = []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	errLost  = errors.New("leadership lost")
)

// fixture is a machine with a real state, and another instance's incarnation beside
// its own. Proposals are answered at once unless they are kept.
type fixture struct {
	t     *testing.T
	m     *Machine
	now   time.Duration
	state *state.State
	own   state.Incarnation
	other state.Incarnation
	batch uint64

	keep    bool              // proposals are to be kept
	kept    []Propose         // in order
	last    map[ID]Effect     // what was last said to a write or guard
	said    map[ID][]Effect   // all of it
	log     []Effect          // all effects
	applied [][]state.Command // all batches of our own
	repairs []state.Key       // of Behind
	drops   []Drop            // all of them

	allowed []Allowed // all of them
	report  Report    // the last one
}

func newFixture(t *testing.T, cfg Config) *fixture {
	t.Helper()
	r := &fixture{t: t, m: New(cfg), state: &state.State{}, last: make(map[ID]Effect), said: make(map[ID][]Effect), now: second}
	r.own = r.must(0, state.Command{Register: &state.Register{ID: "a", Name: "praefect-1", ClusterID: "c"}})
	r.other = r.must(0, state.Command{Register: &state.Register{ID: "b", Name: "praefect-2"}})
	r.must(r.other, state.Command{Define: &state.Define{VirtualStorage: "default", Storages: storages}})
	var reach []Connection
	for i, name := range storages {
		disk := "disk of " + name
		r.must(r.other, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: disk}})
		if s := r.storage(name); s.State == state.Backfilling {
			r.must(r.other, state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: name, Since: s.Since}})
			r.must(r.other, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: disk, Backfilled: s.Since}})
		}
		reach = append(reach, Connection{VirtualStorage: "default", Storage: name, Generation: uint64(i + 1), Reachability: router.Reachability{OK: true, FilesystemID: disk}})
	}
	r.step(Connections{Storages: reach})
	r.catchUp()
	r.step(r.leased())
	return r
}

// leased is a session with a lease for an hour, where every instance has applied
// everything.
func (r *fixture) leased() Session {
	return Session{Lease: routing.Lease{Until: r.now + time.Hour, Index: r.state.Index}, Watermark: 1 << 40}
}

func (r *fixture) storage(name string) *state.Storage {
	return r.state.VirtualStorage("default").Storage(name)
}

// apply applies commands of an incarnation.
func (r *fixture) apply(inc state.Incarnation, cmds ...state.Command) []state.Result {
	r.t.Helper()
	r.batch++
	next, results := r.state.Apply(r.state.Index+1, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(r.batch), Incarnation: inc, Number: r.batch, Commands: cmds,
	})
	if err := next.Check(); err != nil {
		r.t.Fatalf("state: %v", err)
	}
	r.state = next
	return results
}

// must applies a command that is not refused.
func (r *fixture) must(inc state.Incarnation, cmd state.Command) state.Incarnation {
	r.t.Helper()
	result := r.apply(inc, cmd)[0]
	if result.Refusal != nil {
		r.t.Fatalf("%+v: %v", cmd, result.Refusal)
	}
	return result.Incarnation
}

func (r *fixture) fence(name string) {
	r.t.Helper()
	r.must(r.other, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{name}, Why: state.WhyDead, Epoch: r.state.VirtualStorage("default").Epoch}})
}

func (r *fixture) admit(name string) {
	r.t.Helper()
	r.must(r.other, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: r.state.VirtualStorage("default").Epoch,
		Storages: []state.Admission{{Storage: name, As: state.Out, Why: state.WhyDead}}}})
}

// catchUp brings the newest view.
func (r *fixture) catchUp() { r.step(View{State: r.state, Incarnation: r.own}) }

// step steps the machine and carries out what can be carried out at once.
func (r *fixture) step(e Event) {
	r.t.Helper()
	var proposals []Propose
	for _, effect := range r.m.Step(r.now, e) {
		r.log = append(r.log, effect)
		switch e := effect.(type) {
		case Forward:
			r.say(e.Write, e)
		case Queued:
			r.say(e.Write, e)
		case Reject:
			r.say(e.Write, e)
		case Doom:
			r.say(e.Write, e)
		case Drop:
			r.drops = append(r.drops, e)
		case Allowed:
			r.allowed = append(r.allowed, e)
		case Finish:
			r.say(e.Write, e)
		case Done:
			r.say(e.Guard, e)
		case Invalidated:
			r.say(e.Guard, e)
		case Propose:
			proposals = append(proposals, e)
		case Behind:
			r.repairs = append(r.repairs, e.Keys...)
		case Report:
			r.report = e
		}
	}
	for _, p := range proposals {
		if r.keep {
			r.kept = append(r.kept, p)
		} else {
			r.answer(p)
		}
	}
}

func (r *fixture) say(id ID, e Effect) {
	r.last[id] = e
	r.said[id] = append(r.said[id], e)
}

// answer applies a proposal and says so.
func (r *fixture) answer(p Propose) {
	r.t.Helper()
	r.applied = append(r.applied, p.Commands)
	results := r.apply(r.own, p.Commands...)
	r.catchUp()
	r.step(Answer{Proposal: p.Proposal, Results: results})
}

// answerKept answers what was kept, in order.
func (r *fixture) answerKept() {
	r.t.Helper()
	kept := r.kept
	r.kept, r.keep = nil, false
	for _, p := range kept {
		r.answer(p)
	}
}

// pass lets time go by, tick by tick.
func (r *fixture) pass(d time.Duration) {
	r.t.Helper()
	end := r.now + d
	for {
		at, ok := r.m.Next()
		if !ok || at > end {
			break
		}
		r.now = max(r.now, at)
		r.step(Tick{})
		if next, ok := r.m.Next(); ok && next <= r.now {
			r.t.Fatalf("the machine wants a tick at %v, again and again", next)
		}
	}
	r.now = end
	r.step(Tick{})
}

func (r *fixture) begin(id ID, keys ...state.Key) {
	r.t.Helper()
	r.step(Begin{Write: id, Keys: keys, Scope: state.Scope{BoundMillis: 8000, RefsOnly: true}, Bytes: 100})
}

// forwarded fails unless the last thing said to the write is a Forward.
func (r *fixture) forwarded(id ID) Forward {
	r.t.Helper()
	f, ok := r.last[id].(Forward)
	if !ok {
		r.t.Fatalf("write %d: got %#v, want a Forward", id, r.last[id])
	}
	return f
}

// rejected fails unless the last thing said to the write is a Reject with want.
func (r *fixture) rejected(id ID, want error) {
	r.t.Helper()
	if got, ok := r.last[id].(Reject); !ok || !errors.Is(got.Err, want) {
		r.t.Fatalf("write %d: got %#v, want a Reject with %q", id, r.last[id], want)
	}
}

// queued fails unless the write waits, for why if that is not empty.
func (r *fixture) queued(id ID, why Why) {
	r.t.Helper()
	switch last := r.last[id].(type) {
	case Queued:
		if why != "" && last.Why != why {
			r.t.Fatalf("write %d waits for %q, want %q", id, last.Why, why)
		}
	case nil:
		if why != "" {
			r.t.Fatalf("write %d does not say that it waits for %q", id, why)
		}
	default:
		r.t.Fatalf("write %d: got %#v, want it to wait", id, last)
	}
}

// end ends the RPC of a write and returns what the client gets instead of its
// status.
func (r *fixture) end(id ID, succeeded, arrived bool) error {
	r.t.Helper()
	r.step(Ended{Write: id, Succeeded: succeeded, Arrived: arrived})
	f, ok := r.last[id].(Finish)
	if !ok {
		r.t.Fatalf("write %d: got %#v, want a Finish", id, r.last[id])
	}
	return f.Err
}

func (r *fixture) done(id ID) Done {
	r.t.Helper()
	d, ok := r.last[id].(Done)
	if !ok {
		r.t.Fatalf("guard %d: got %#v, want a Done", id, r.last[id])
	}
	return d
}

// idle fails unless nothing is left under way.
func (r *fixture) idle() {
	r.t.Helper()
	is, ls, ws := r.m.intents, r.m.locks, r.m.writes
	if len(ws.all)+len(is.repos)+len(ls.guards)+len(is.proposals)+ws.waiting.Len()+is.lingering.Len()+ws.counted+ws.bytes != 0 {
		r.t.Errorf("left: %d writes, %d repositories, %d guards, %d proposals, %d waiting (%d, %d bytes counted), %d lingering",
			len(ws.all), len(is.repos), len(ls.guards), len(is.proposals), ws.waiting.Len(), ws.counted, ws.bytes, is.lingering.Len())
	}
	for vs, c := range is.counts {
		if *c != (counts{}) {
			r.t.Errorf("counts of %q: %+v", vs, *c)
		}
	}
}
