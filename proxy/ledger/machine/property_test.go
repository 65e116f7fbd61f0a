package machine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/router"
)

// player plays a machine against a state that others change, too, at random, and
// checks each effect against what is true then.
type player struct {
	*fixture
	random *rand.Rand
	lease  routing.Lease
	intent state.Index // the watermark

	writing           map[ID]*Forward    // forwarded writes
	voting            map[ID][]string    // of those, the storages that agree in the Vote under way
	allowed           map[ID]bool        // of those, votes were allowed
	agreed            map[ID][]string    // of ended ones, the storages that agree; nil if it did not vote
	keys              map[ID][]state.Key // of all writes
	begun             map[ID]bool        // not ended
	repairs           map[ID]state.Key   // guards granted
	doomed, succeeded map[ID]bool
	covered           map[ID]bool // of those, the ones with an intent
	rounds            map[ID]int  // of repairs that were renewed
	unanswered        int         // Votes of writes that ended meanwhile
	lastID            ID
	seen              map[string]int
}

func (p *player) chance(n int) bool { return p.random.IntN(n) == 0 }

func (p *player) key() state.Key {
	return state.Key{VirtualStorage: "default", RelativePath: fmt.Sprint(p.random.IntN(3), ".git")}
}

// one picks one of the names that a map has; false if there is none.
func one[V any](p *player, m map[ID]V) (ID, bool) {
	if len(m) == 0 {
		return 0, false
	}
	ids := make([]ID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids[p.random.IntN(len(ids))], true
}

// play makes one move.
func (p *player) play() {
	switch p.random.IntN(17) {
	case 0, 1, 2:
		p.lastID++
		keys := []state.Key{p.key()}
		if p.chance(4) {
			keys = append(keys, p.key())
		}
		p.keys[p.lastID], p.begun[p.lastID] = keys, true
		p.do(Begin{Write: p.lastID, Keys: keys, Bytes: 10, Deletes: p.chance(8), Votes: p.chance(2),
			Scope: state.Scope{BoundMillis: int64(1000 << p.random.IntN(3)), RefsOnly: p.chance(2)}})
	case 3, 4, 5:
		if id, ok := one(p, p.writing); ok {
			switch f := p.writing[id]; {
			case f.Votes && p.voting[id] == nil && !p.chance(3):
				p.voting[id] = p.agreeing(f)
				p.do(Vote{Write: id, Agreeing: p.voting[id]})
			case !p.allowed[id] && p.chance(6):
				p.over(id)
				delete(p.doomed, id)
				p.do(NotSent{Write: id, Connected: p.chance(2)})
			default:
				p.over(id)
				p.succeeded[id] = p.chance(2)
				e := Ended{Write: id, Succeeded: p.succeeded[id], Arrived: p.succeeded[id] || !p.chance(4)}
				if f.Votes {
					e.Agreeing = p.agreeing(f)
					p.agreed[id] = e.Agreeing
				}
				p.do(e)
			}
		}
	case 6:
		// Whoever has told the end of its RPC waits for the answer to that.
		if id, ok := one(p, p.begun); ok && p.writing[id] == nil && !p.m.writes.all[id].phase.succeeded() && p.chance(3) {
			delete(p.begun, id)
			p.do(Cancel{Write: id})
		}
	case 7:
		p.now += time.Duration(p.random.Int64N(int64(2 * second)))
		p.do(Tick{})
	case 8, 9:
		p.lead()
	case 10, 11:
		p.catchUp()
	case 12:
		p.others()
	case 13, 14:
		if len(p.kept) > 0 {
			p.reply(p.random.IntN(len(p.kept)))
		}
	case 15:
		p.lastID++
		p.do(Acquire{Guard: p.lastID, Key: p.key(), Pause: p.chance(2)})
	case 16:
		if id, ok := one(p, p.repairs); ok {
			p.repair(id)
		}
	}
}

// agreeing draws the storages that agree with the primary.
func (p *player) agreeing(f *Forward) []string {
	names := []string{f.Storage}
	for _, d := range f.Others {
		if !p.chance(4) {
			names = append(names, d.Storage)
		}
	}
	return names
}

// over notes that a write is not forwarded any more.
func (p *player) over(id ID) {
	delete(p.writing, id)
	if p.voting[id] != nil {
		p.voting[id] = nil
		p.unanswered++
	}
}

// repair makes a move of a repair.
func (p *player) repair(id ID) {
	switch {
	case p.chance(3):
		delete(p.repairs, id)
		delete(p.covered, id)
		p.do(Free{Guard: id, Arrived: !p.chance(4)})
	case p.chance(5):
		p.do(Renew{Guard: id, Pause: p.chance(2)})
	case p.covered[id]:
		p.do(Declare{Guard: id, Round: p.rounds[id], Storages: []string{"gitaly-2", "gitaly-3"}})
	case p.chance(4):
		p.do(Resume{Guard: id})
	default:
		p.do(OpenIntent{Guard: id, Scope: copying})
	}
}

// lead says what a leader may say.
func (p *player) lead() {
	s := Session{Lease: p.lease, Watermark: p.intent}
	if p.chance(2) {
		s.Lease = routing.Lease{Until: p.now + time.Duration(p.random.Int64N(int64(3*second))), Index: p.state.Index}
	}
	if p.chance(2) {
		s.Watermark = max(p.intent, p.report.Applied)
	}
	if p.chance(8) {
		h := routing.WritePause{ID: fmt.Sprint(p.now), VirtualStorage: "default", Serving: p.chance(2), Until: p.now + second}
		if !h.Serving {
			h.Leaving = p.state.VirtualStorage("default").Succession[p.random.IntN(3)].Name
		}
		s.WritePauses = []routing.WritePause{h}
	}
	p.lease, p.intent = s.Lease, s.Watermark
	p.do(s)
}

// others changes the state behind our back.
func (p *player) others() {
	vs := p.state.VirtualStorage("default")
	k := p.key()
	switch s := vs.Succession[p.random.IntN(3)]; {
	case p.chance(3):
		p.apply(p.other, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{k.RelativePath}, Kind: state.PrimaryOnly}})
	case p.chance(2):
		p.apply(p.other, state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: []string{k.RelativePath}}})
	case s.State == state.Serving:
		p.apply(p.other, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{s.Name}, Why: state.WhyDead, Epoch: vs.Epoch}})
	case s.State == state.Fenced:
		p.apply(p.other, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: vs.Epoch,
			Storages: []state.Admission{{Storage: s.Name, As: state.Out, Why: state.WhyDead}}}})
	default:
		p.apply(p.other, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: s.Name, FilesystemID: "disk of " + s.Name}})
	}
}

// reply answers a proposal: applied, or not, or the outcome is unknown. One
// repository never has two proposals.
func (p *player) reply(i int) {
	proposal := p.kept[i]
	p.kept = slices.Delete(p.kept, i, i+1)
	applied, known := !p.chance(8), !p.chance(6)
	var results []state.Result
	if applied {
		results = p.apply(p.own, proposal.Commands...)
	}
	if !applied || !known {
		p.do(Answer{Proposal: proposal.Proposal, Err: errLost})
		return
	}
	p.catchUp()
	p.do(Answer{Proposal: proposal.Proposal, Results: results})
}

func (p *player) catchUp() { p.do(View{State: p.state, Incarnation: p.own}) }

// do steps the machine and checks what it says.
func (p *player) do(e Event) {
	p.t.Helper()
	before := len(p.log)
	p.step(e)
	for i := before; i < len(p.log); i++ {
		p.check(p.log[i])
	}
}

func (p *player) check(effect Effect) {
	p.t.Helper()
	p.seen[fmt.Sprintf("%T", effect)]++
	switch e := effect.(type) {
	case Forward:
		p.checkForward(e)
		p.writing[e.Write] = &e
	case Reject:
		if !p.begun[e.Write] || p.writing[e.Write] != nil {
			p.t.Fatalf("write %d is rejected, begun %v", e.Write, p.begun[e.Write])
		}
		delete(p.begun, e.Write)
	case Finish:
		if !p.begun[e.Write] || p.writing[e.Write] != nil {
			p.t.Fatalf("write %d is finished, begun %v", e.Write, p.begun[e.Write])
		}
		if e.Err == nil && (p.doomed[e.Write] || p.succeeded[e.Write] && !p.mayRoute()) {
			p.t.Fatalf("the status of write %d is passed on: doomed %v, succeeded %v", e.Write, p.doomed[e.Write], p.succeeded[e.Write])
		}
		if agreed := p.agreed[e.Write]; e.Err == nil && p.succeeded[e.Write] && agreed != nil {
			p.checkAccount(e.Write, agreed)
		}
		delete(p.begun, e.Write)
	case Allowed:
		agreeing := p.voting[e.Write]
		if agreeing == nil {
			if p.unanswered--; e.Err == nil || p.unanswered < 0 {
				p.t.Fatalf("votes of write %d are allowed, and nobody asked: %+v", e.Write, e)
			}
			break
		}
		delete(p.voting, e.Write)
		if e.Err == nil {
			p.allowed[e.Write] = true
			p.checkAccount(e.Write, agreeing)
			p.seen["allowed"]++
		}
	case Drop:
		if p.writing[e.Write] == nil {
			p.t.Fatalf("write %d is dropped at %q, and is not under way", e.Write, e.Storage)
		}
	case Doom:
		if p.writing[e.Write] == nil {
			p.t.Fatalf("write %d is doomed, and is not under way", e.Write)
		}
		p.doomed[e.Write] = true
	case Done:
		p.rounds[e.Guard] = max(p.rounds[e.Guard], e.Round)
		if e.Err == nil && e.View != nil {
			p.covered[e.Guard] = true
		} else if e.Err == nil && !p.covered[e.Guard] {
			p.repairs[e.Guard] = state.Key{}
		}
	case Propose:
		p.checkPropose(e)
	}
}

func (p *player) mayRoute() bool {
	return p.now < p.lease.Until && p.m.View().Index >= p.lease.Index
}

// checkForward has all the rules of a write that is forwarded.
func (p *player) checkForward(f Forward) {
	p.t.Helper()
	if !p.begun[f.Write] {
		p.t.Fatalf("write %d is forwarded, and nobody wants it", f.Write)
	}
	if !p.mayRoute() {
		p.t.Fatalf("write %d is forwarded without a lease", f.Write)
	}
	for _, k := range p.keys[f.Write] {
		if f.Votes {
			p.checkDestinations(f, k)
			continue
		}
		// Our intent and the account are in the state for certain: no other instance
		// can take them back while the intent is live.
		entry := p.state.Entry(k)
		intent := entry.Live(p.own)
		if intent == nil || !slices.Contains(intent.Targets, f.Storage) {
			p.t.Fatalf("write %d is forwarded to %q under the intent %+v", f.Write, f.Storage, intent)
		}
		for _, name := range storages {
			if name != f.Storage && !entry.IsBehind(name) {
				p.t.Fatalf("write %d is forwarded to %q, and %q is not behind: %+v", f.Write, f.Storage, name, entry)
			}
		}
		if shrunk := p.m.View().Shrunk(k); p.intent < shrunk {
			p.t.Fatalf("write %d is forwarded below the watermark: %d, shrunk at %d", f.Write, p.intent, shrunk)
		}
	}
	if s := p.m.View().VirtualStorage("default").Storage(f.Storage); s.State != state.Serving {
		p.t.Fatalf("write %d is forwarded to %q, which is %s", f.Write, f.Storage, s.State)
	}
}

// checkDestinations has the rules of a write that votes: each storage that is in sync and
// serves is a destination.
func (p *player) checkDestinations(f Forward, k state.Key) {
	p.t.Helper()
	all := map[string]bool{f.Storage: true}
	for _, d := range f.Others {
		all[d.Storage] = true
	}
	vs := p.m.View().VirtualStorage("default")
	for s := range vs.InSync(p.m.View().Entry(k)) {
		reached := p.m.reachabilityOf("default")(s.Name).OK // a NotSent says that it is not
		if s.State == state.Serving && !all[s.Name] && reached && len(p.keys[f.Write]) == 1 {
			p.t.Fatalf("write %d is not forwarded to %q, which is in sync", f.Write, s.Name)
		}
	}
}

// checkAccount wants each storage that does not agree to be behind, and all instances to know,
// when votes are allowed or a status is passed on.
func (p *player) checkAccount(id ID, agreeing []string) {
	p.t.Helper()
	if !p.mayRoute() {
		p.t.Fatalf("write %d goes on without a lease", id)
	}
	for _, k := range p.keys[id] {
		entry := p.state.Entry(k)
		for _, name := range storages {
			if !slices.Contains(agreeing, name) && !entry.IsBehind(name) {
				p.t.Fatalf("write %d goes on with %v, and %q is not behind: %+v", id, agreeing, name, entry)
			}
		}
		intent := entry.Live(p.own)
		if intent == nil {
			p.t.Fatalf("write %d goes on without an intent", id)
		}
		for _, name := range agreeing {
			s := p.m.View().VirtualStorage("default").Storage(name)
			if s.State == state.Serving && !slices.Contains(intent.Targets, name) && !entry.IsBehind(name) {
				p.t.Fatalf("write %d goes on at %q under the intent %+v", id, name, intent)
			}
		}
		if primary, ok := p.m.View().PrimaryOf(k); !ok || !slices.Contains(agreeing, primary.Name) {
			p.t.Fatalf("write %d goes on with %v, and the primary is %q", id, agreeing, primary.Name)
		}
		if shrunk := p.m.View().Shrunk(k); p.intent < shrunk {
			p.t.Fatalf("write %d goes on below the watermark: %d, shrunk at %d", id, p.intent, shrunk)
		}
	}
}

// checkPropose has the rules of closes and conclusions.
func (p *player) checkPropose(e Propose) {
	p.t.Helper()
	for _, cmd := range e.Commands {
		var paths []string
		switch {
		case cmd.Close != nil:
			paths = cmd.Close.Paths
			p.seen["close"]++
		case cmd.MarkInSync != nil:
			paths = []string{cmd.MarkInSync.RelativePath}
			p.seen["in-sync"]++
		}
		for id, f := range p.writing {
			if f.Votes && !p.allowed[id] {
				continue // it has done nothing
			}
			for _, k := range p.keys[id] {
				if slices.Contains(paths, k.RelativePath) {
					p.t.Fatalf("%+v is proposed while write %d is under way", cmd, id)
				}
			}
		}
	}
}

func TestMachine_holdsItsRulesAtRandom(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(800) {
		p := newPlayer(t, seed, seen)
		for range 300 {
			p.play()
		}
		p.wrapUp()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, what := range []string{
		"allowed", "machine.Drop", "machine.Forward", "machine.Queued", "machine.Reject", "machine.Doom", "machine.Finish", "machine.Behind", "machine.Invalidated", "close", "in-sync",
	} {
		if seen[what] < 50 {
			t.Errorf("saw %s %d times only: %v", what, seen[what], seen)
		}
	}
}

func newPlayer(t *testing.T, seed uint64, seen map[string]int) *player {
	p := &player{
		fixture: newFixture(t, settings), random: rand.New(rand.NewPCG(seed, 1)), seen: seen,
		writing: make(map[ID]*Forward), keys: make(map[ID][]state.Key), begun: make(map[ID]bool),
		doomed: make(map[ID]bool), succeeded: make(map[ID]bool),
		repairs: make(map[ID]state.Key), covered: make(map[ID]bool), rounds: make(map[ID]int),
		voting: make(map[ID][]string), allowed: make(map[ID]bool), agreed: make(map[ID][]string),
	}
	p.m = New(settings) // the watermark of the fixture is beyond all
	p.keep = true
	var reach []Connection
	for i, name := range storages {
		reach = append(reach, Connection{VirtualStorage: "default", Storage: name, Generation: uint64(i + 1),
			Reachability: router.Reachability{OK: true, FilesystemID: "disk of " + name, Backchannel: true}})
	}
	p.do(Connections{Storages: reach})
	p.catchUp()
	return p
}

// wrapUp ends all that is under way, and wants nothing to be left.
func (p *player) wrapUp() {
	p.t.Helper()
	p.keep = true
	for range 10 {
		for id := range p.writing {
			f := p.writing[id]
			p.over(id)
			p.succeeded[id] = true
			e := Ended{Write: id, Succeeded: true, Arrived: true}
			if f.Votes {
				e.Agreeing = []string{f.Storage}
				p.agreed[id] = e.Agreeing
			}
			p.do(e)
		}
		for id := range p.repairs {
			delete(p.repairs, id)
			p.do(Free{Guard: id, Arrived: true})
		}
		for len(p.kept) > 0 {
			p.reply(0)
		}
		p.now += time.Minute
		p.do(Tick{})
	}
	p.do(Stop{})
	for len(p.kept) > 0 {
		p.reply(0)
	}
	if len(p.begun) > 0 {
		p.t.Errorf("writes without an end: %v", p.begun)
	}
	for id := range p.m.locks.guards { // not granted, and not freed either
		p.do(Free{Guard: id, Arrived: true})
	}
	p.idle()
}
