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
// state changed between its routing and its mark.
const routeAttempts = 3

// write is one write, from Begin to Reject or Finish.
type write struct {
	id      ID
	begun   time.Duration
	keys    []state.Key
	scope   state.Scope
	deletes bool
	bytes   int

	// Where it is. At most one of the last three is set.
	registered bool // counted in repos
	proposing  bool // a proposal of its own is under way
	forwarded  bool
	clearing   bool // has succeeded, and takes a delete back

	repos      [2]*repo // as many as keys; valid while registered
	route      router.Write
	generation uint64
	need       state.Index // the watermark that it needs
	attempts   int
	changed    bool  // by it storages fell behind
	beside     bool  // a delete of one of its repositories was under way with it
	canceled   bool  // its client went away while it was proposing
	doomed     error // its status is not to be passed on

	// What it waits for; see wait.
	why      Why
	obstacle error // the router's, for WhyFenced and WhyUnreachable
	place    waitingPlace
	at       *repo
	noLease  time.Duration // since when, for WhyLease
	counted  bool          // towards the limits
	told     bool
}

func (m *Machine) begin(e Begin) {
	w := &write{id: e.Write, begun: m.now, keys: e.Keys, scope: e.Scope, deletes: e.Deletes, bytes: e.Bytes}
	if len(w.keys) > 1 {
		w.keys = slices.Clone(w.keys)
		slices.SortFunc(w.keys, func(a, b state.Key) int { return strings.Compare(a.RelativePath, b.RelativePath) })
		w.keys = slices.Compact(w.keys)
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
// asked here, in one Step with the Forward. ▲
func (m *Machine) advance(w *write) {
	switch {
	case w.clearing:
		m.conclude(w)
		return
	case m.retired:
		m.reject(w, ErrRetired)
		return
	}
	if !w.registered {
		for i, key := range w.keys {
			w.repos[i] = m.get(key)
			m.touch(w.repos[i])
		}
		for _, r := range w.on() {
			if r.ticket.gates() {
				m.wait(w, WhyGate, r)
				return
			}
		}
	}
	// ▲ The view is read in the Step that registers the write, not before: a
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
	m.register(w)
	for _, r := range w.on() {
		if r.busy {
			m.wait(w, WhyProposal, r)
			return
		}
	}
	if m.commit(w) {
		return
	}
	// ▲ Its mark, and whatever took a storage away from the readers of the
	// repository, is known to all who may read before the effect is visible.
	if w.need = m.knownAt(w); m.watermark < w.need {
		m.wait(w, WhyWatermark, nil)
		return
	}
	m.leave(w)
	w.forwarded = true
	// ▲ What is sent is dated at this look at the lease, and goes over the
	// connection that was looked at: a process that is paused from here on
	// cannot send it late.
	m.emit(Forward{Write: w.id, Storage: w.route.Primary, Generation: w.generation, Epoch: w.route.Epoch, At: m.now})
}

// on are the records of the repositories of the write.
func (w *write) on() []*repo { return w.repos[:len(w.keys)] }

// routing routes a write, or says what stands in the way: for a while, or for good.
func (m *Machine) routing(w *write) (why Why, err error) {
	vs := w.keys[0].VirtualStorage
	if m.held(vs) {
		return WhyHold, nil
	}
	if !m.mayRoute() { // ▲ without a lease others may have given the primary's role away
		return WhyLease, nil
	}
	route, err := router.RouteWrite(m.view, w.keys, m.reacher(vs))
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
	w.route = route
	w.generation = m.reach[storageName{vs, route.Primary}].Generation
	return "", nil
}

// knownAt is the index that every leased instance must have applied before the
// write has an effect.
func (m *Machine) knownAt(w *write) state.Index {
	var need state.Index
	for _, r := range w.on() {
		need = max(need, r.markedAt, m.view.Shrunk(r.key))
	}
	return need
}

// register counts the write as in flight.
func (m *Machine) register(w *write) {
	if w.registered {
		return
	}
	w.registered = true
	w.repos[0].counts.inFlight++
	for _, r := range w.on() {
		m.stir(r)
		r.writes++
		w.beside = w.beside || r.deletes > 0
		if w.deletes {
			r.deletes++
			m.deleting(r)
		}
		if t := r.ticket; t != nil && !t.spoiled {
			t.spoiled = true
			m.emit(Spoiled{Ticket: t.id})
		}
	}
}

func (m *Machine) unregister(w *write) {
	if !w.registered {
		return
	}
	w.registered = false
	w.repos[0].counts.inFlight--
	for _, r := range w.on() {
		if w.deletes {
			r.deletes--
		}
		if r.writes--; r.ticket != nil {
			m.wake(r)
		}
		m.touch(r)
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
func (m *Machine) notSent(id ID) {
	w := m.writes[id]
	if w == nil || !w.forwarded {
		return
	}
	w.forwarded, w.doomed = false, nil
	m.lost(storageName{w.keys[0].VirtualStorage, w.route.Primary}, w.generation)
	m.advance(w)
}

// doom keeps the status of a write from its client, and ends its RPC if that
// goes on.
func (m *Machine) doom(w *write, err error) {
	if w.doomed != nil {
		return
	}
	w.doomed = err
	if w.forwarded {
		m.emit(Doom{Write: w.id, Err: err})
	}
}

func (m *Machine) ended(e Ended) {
	w := m.writes[e.Write]
	if w == nil || !w.forwarded {
		return
	}
	w.forwarded = false
	if !e.Arrived {
		m.soil(w)
	}
	if !e.Succeeded {
		m.finish(w, false)
		return
	}
	w.clearing = true
	m.conclude(w)
}

// conclude ends a write that has succeeded. Between two leases its status waits
// for the next one, with the view of that: a fence that others have agreed on
// meanwhile is in that view, and dooms it. Its mark stays open all the time.
func (m *Machine) conclude(w *write) {
	if w.doomed == nil && !m.mayRoute() {
		m.wait(w, WhyLease, nil)
		return
	}
	m.leave(w)
	m.takeDeleteBack(w)
}

// takeDeleteBack, once a write has succeeded, takes back what an earlier delete
// told the storages that are behind: remove the repository if the primary lacks
// it. A create must not take it back before its effect: if it then failed,
// nobody would remove what the delete has left. Nor must a write beside which a
// delete was under way: nobody knows which came first. A repair looks at the
// primary first, so that no harm is done if this is left out, or we die before.
func (m *Machine) takeDeleteBack(w *write) {
	if w.deletes || w.beside || w.doomed != nil || !m.mayRoute() || !slices.ContainsFunc(w.keys, m.wasDeleted) {
		m.finish(w, true)
		return
	}
	for _, r := range w.on() {
		if r.busy {
			m.queue(w, r)
			return
		}
	}
	m.propose(slices.Clone(w.on()), []state.Command{w.account(state.DeletedClear)}, func(Answer) { m.finish(w, true) })
}

// wasDeleted tells whether a delete can be taken back: it is in the ledger, and no
// other instance can have one under way, whose effect may come after ours.
func (m *Machine) wasDeleted(k state.Key) bool {
	e := m.view.Entry(k)
	return e != nil && e.Deleted && !slices.ContainsFunc(e.Marks, func(mark state.Mark) bool {
		return mark.Incarnation != m.incarnation || mark.Dirty != nil
	})
}

// finish ends a write that was forwarded.
func (m *Machine) finish(w *write, succeeded bool) {
	err := w.doomed
	switch {
	case err == nil && m.retired:
		err = ErrRetired
	case err == nil && succeeded && !m.mayRoute(): // ▲ nobody else relies on us any more
		err = ErrDoomed
	}
	if err != nil {
		m.soil(w)
	}
	m.emit(Finish{Write: w.id, Err: err})
	m.forget(w)
}

// soil notes that the write ends without full account.
func (m *Machine) soil(w *write) {
	for _, r := range w.on() {
		r.dirty = r.dirty || r.live
	}
}

// reject ends a write that was not forwarded, or one that was and whose status has
// waited for a lease in vain.
func (m *Machine) reject(w *write, err error) {
	if w.clearing {
		m.finish(w, true)
		return
	}
	m.emit(Reject{Write: w.id, Why: w.why, Err: err})
	m.forget(w)
}

// cancel ends a write whose client is gone. A proposal under way goes on: its
// answer is needed, whoever asked.
func (m *Machine) cancel(id ID) {
	w := m.writes[id]
	switch {
	case w == nil || w.forwarded || w.clearing:
	case w.proposing:
		w.canceled = true
	default:
		m.forget(w)
	}
}

func (m *Machine) forget(w *write) {
	m.leave(w)
	m.unregister(w)
	if w.changed {
		m.emit(Behind{Keys: w.keys})
	}
	delete(m.writes, w.id)
}
