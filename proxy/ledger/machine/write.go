package machine

import (
	"errors"
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// routeAttempts bounds how often one write is routed anew because the agreed
// state changed between its routing and its intent.
const routeAttempts = 3

// write is one write, from Begin to Reject or Finish.
type write struct {
	id       ID
	begun    time.Duration
	keys     []state.Key
	involved []state.Key // keys, and the ones that it only reads
	scope    state.Scope
	votes    bool // it can
	deletes  bool
	bytes    int

	// Where it is. At most one of forwarded and clearing is set, and each of them
	// may be proposing.
	registered bool // counted in repos
	proposing  bool // a proposal of its own is under way
	forwarded  bool
	voting     bool // forwarded, and a Vote has no answer yet
	clearing   bool // it has ended, and must yet be accounted for
	preparing  bool // counted in Machine.preparing

	repos      [2]*repo // as many as keys; valid while registered
	route      router.Write
	sent       []string // every storage that it was ever sent to
	generation uint64
	first      string        // the destination whose status the client gets
	others     []Destination // the ones beside it that are not dropped
	need       state.Index   // the watermark that it needs
	agreeing   []string      // of Vote, or Ended
	allowed    bool          // votes were
	mild       bool          // of Vote: Harmless
	effective  bool          // votes were after which there may be an effect
	succeeded  bool          // of Ended
	cleared    bool          // it has tried to take a delete back
	attempts   int
	changed    bool  // by it storages fell behind
	beside     bool  // a delete of one of its repositories was under way with it
	canceled   bool  // its client went away while it was proposing
	doomed     error // its status is not to be passed on

	// Its wait; see wait.
	why      Why
	obstacle error // the router's, for WhyFenced and WhyUnreachable
	place    waitingPlace
	at       *repo
	noLease  time.Duration // since when, for WhyLease
	counted  bool          // towards the limits
	told     bool
}

func (m *Machine) begin(e Begin) {
	w := &write{id: e.Write, begun: m.now, keys: e.Keys, scope: e.Scope, votes: e.Votes && !e.Deletes, deletes: e.Deletes, bytes: e.Bytes}
	if len(w.keys) > 1 {
		w.keys = slices.Clone(w.keys)
		slices.SortFunc(w.keys, func(a, b state.Key) int { return strings.Compare(a.RelativePath, b.RelativePath) })
		w.keys = slices.Compact(w.keys)
	}
	w.involved = w.keys
	if len(e.Reads) > 0 {
		w.involved = slices.Concat(w.keys, e.Reads)
	}
	m.writes[w.id] = w
	if m.stopped {
		m.reject(w, ErrStopping)
		return
	}
	m.advance(w)
}

// advance takes a write as far as it gets: to its Forward, to a proposal, to
// something that it must wait for, or to its end. All that lets a write pass is
// asked here, in one Step with the Forward. (▲ machine-no-lease)
func (m *Machine) advance(w *write) {
	switch {
	case w.clearing:
		m.conclude(w)
		return
	case w.voting:
		m.decide(w)
		return
	case m.retired:
		m.reject(w, ErrRetired)
		return
	}
	if !m.entered(w) {
		return
	}
	// ▲ machine-routed-once: The view is read in the Step that registers the write, not before: a
	// repair that declares a storage in sync knows of the write, or the view
	// knows of the repair.
	why, err := m.routing(w)
	switch {
	case err != nil:
		m.reject(w, err)
		return
	case why != "":
		m.unregister(w)
		m.wait(w, why, nil)
		return
	}
	// A write that votes has nothing to account for yet: see enlist.
	if !w.route.Votes && !m.prepared(w) {
		return
	}
	m.leave(w)
	w.forwarded = true
	m.prepares(w)
	w.sent = append(w.sent, w.first)
	for _, d := range w.others {
		w.sent = append(w.sent, d.Storage)
	}
	// ▲ driver-token-dated-late: The call is dated at this look at the lease, and goes over the
	// connection that was looked at: a process that is paused from here on cannot send it late.
	m.emit(Forward{
		Write: w.id, Storage: w.route.Primary, Generation: w.generation, Votes: w.route.Votes, Others: slices.Clone(w.others),
		Epoch: w.route.Epoch, At: m.now,
	})
}

// prepared tells whether a write that does not vote has all in the ledger that it needs before it
// is forwarded, as all know. Otherwise it waits for that, or for the answer to its proposal.
func (m *Machine) prepared(w *write) bool {
	m.register(w)
	for _, r := range w.on() {
		if r.busy {
			m.wait(w, WhyProposal, r)
			return false
		}
	}
	if m.commit(w) {
		return false
	}
	// ▲ machine-before-the-watermark: Its intent, and each command that took a storage away from
	// the readers of the repository, is known to every instance that may read before the effect is
	// visible.
	if w.need = m.knownAt(w); m.watermark < w.need {
		m.wait(w, WhyWatermark, nil)
		return false
	}
	return true
}

// entered tells whether no repair holds a repository of the write; else the write
// waits for that. One that is registered is past the repair lock.
func (m *Machine) entered(w *write) bool {
	if w.registered {
		return true
	}
	for i, key := range w.keys {
		w.repos[i] = m.get(key)
		m.queueFlush(w.repos[i])
	}
	for _, r := range w.on() {
		if r.guard.blocks() || m.heeded(r.key) {
			m.wait(w, WhyRepairLock, r)
			return false
		}
	}
	return true
}

// on are the records of the repositories of the write.
func (w *write) on() []*repo { return w.repos[:len(w.keys)] }

// routing routes a write, or names the obstacle: for a while, or permanently.
func (m *Machine) routing(w *write) (why Why, err error) {
	vs := w.keys[0].VirtualStorage
	paused := m.paused(vs)
	if paused && !m.mayPrepare(w) {
		return WhyPause, nil
	}
	if !m.mayRoute() { // ▲ machine-no-lease: without a lease others may have given the primary's role away
		return WhyLease, nil
	}
	if m.cfg.RefuseConflicts {
		if err := router.RefuseConflict(m.view, w.involved...); err != nil {
			return "", err
		}
	}
	route, err := router.RouteWrite(m.view, w.involved, w.votes, m.reachabilityOf(vs))
	if refusal, ok := errors.AsType[*router.Refusal](err); ok {
		w.obstacle = err
		switch refusal.Kind {
		case router.PrimaryFenced:
			return WhyFenced, nil
		case router.PrimaryUnreachable:
			return WhyUnreachable, nil
		}
		return "", err
	}
	if err != nil {
		return "", err
	}
	if paused && !route.Votes {
		return WhyPause, nil
	}
	w.route = route
	w.generation = m.connections[storageName{vs, route.Primary}].Generation
	w.first, w.others = route.Primary, w.others[:0]
	for _, name := range route.Others {
		w.others = append(w.others, Destination{Storage: name, Generation: m.connections[storageName{vs, name}].Generation})
	}
	return "", nil
}

// mayPrepare tells whether a write may be sent under a pause, to wait with its first
// vote: so it has come as far as it can when the pause ends, and not all writes begin at once. It
// takes locks at the storages, which must not keep a write waiting for which the pause waits: no
// instance may have a write under way on the repository.
func (m *Machine) mayPrepare(w *write) bool {
	if !w.votes || w.registered || !m.servesOn(w.keys[0].VirtualStorage) {
		return false
	}
	return !slices.ContainsFunc(w.on(), func(r *repo) bool { return r.writes > 0 || m.view.Entry(r.key).HasLive() })
}

// knownAt is the index that every leased instance must have applied before the
// write has an effect.
func (m *Machine) knownAt(w *write) state.Index {
	var need state.Index
	for _, r := range w.on() {
		need = max(need, r.openedAt, m.view.Shrunk(r.key))
	}
	return need
}

// register counts the write as in flight.
func (m *Machine) register(w *write) {
	if w.registered {
		return
	}
	w.registered = true
	m.prepares(w)
	w.repos[0].counts.inFlight++
	for _, r := range w.on() {
		m.unpark(r)
		r.writes++
		w.beside = w.beside || r.deletes > 0
		if w.deletes {
			r.deletes++
			m.deleting(r)
		}
		if t := r.guard; t != nil && !t.invalidated {
			t.invalidated = true
			m.emit(Invalidated{Guard: t.id})
		}
	}
}

func (m *Machine) unregister(w *write) {
	if !w.registered {
		return
	}
	w.registered = false
	m.prepares(w)
	w.repos[0].counts.inFlight--
	for _, r := range w.on() {
		if !w.route.Votes {
			r.aloneAt = m.now
		}
		if w.deletes {
			r.deletes--
		}
		if r.writes--; r.guard != nil {
			m.resumeWaiters(r)
		}
		m.queueFlush(r)
	}
}

// deleting tells the writes of a repository that a delete is under way with them.
func (m *Machine) deleting(r *repo) {
	for _, w := range m.writes {
		if w.registered && slices.Contains(w.on(), r) {
			w.beside = true
		}
	}
}

// notSent takes a write back that was not sent after all, so that it may go
// another way, if it was doomed meanwhile, too.
func (m *Machine) notSent(e NotSent) {
	w := m.writes[e.Write]
	if w == nil || !w.forwarded {
		return
	}
	m.answerVote(w, ErrEnded)
	w.forwarded, w.doomed, w.agreeing = false, nil, nil
	m.prepares(w)
	if !e.Connected {
		m.lost(storageName{w.keys[0].VirtualStorage, w.route.Primary}, w.generation)
	}
	m.advance(w)
}
