package machine

import (
	"container/list"
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// routeAttempts bounds how often one write is routed again because the agreed
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

	phase      phase
	registered bool // counted in repos
	proposing  bool // a proposal of its own is under way

	repos      [2]*repo // as many as keys; valid while registered
	route      router.Write
	sent       []string // every storage that it was ever sent to
	generation uint64
	first      string        // the destination whose status the client gets
	others     []Destination // the ones beside it that are not dropped
	need       state.Index   // the watermark that it needs
	agreeing   []string      // of Vote, or Ended
	asked      effect        // of the Vote under way
	allowed    effect        // of the votes that were allowed
	attempts   int
	changed    bool  // by it storages fell behind
	beside     bool  // a delete of one of its repositories was under way with it
	doomed     error // its status is not to be passed on

	// Its wait; see wait.
	why      Why
	obstacle error         // the router's, for WhyFenced and WhyUnreachable
	place    *list.Element // in writes.waiting; nil if it does not wait
	at       *repo
	noLease  time.Duration // since when, for WhyLease
	told     bool
}

// writes has the writes that have not ended.
type writes struct {
	*facts
	intents *intents
	locks   *locks
	all     map[ID]*write
	waiting *list.List // of *write; see wait
	counted int        // the writes of waiting that count towards the limits
	bytes   int        // the memory that they occupy
	scratch []*write
	// preparing counts, by the storage whose status the client gets, the writes that
	// were sent and have had no vote decided yet.
	preparing map[storageName]int
}

func (ws *writes) begin(e Begin) {
	w := &write{id: e.Write, phase: admitting, begun: ws.now, keys: e.Keys, scope: e.Scope, votes: e.Votes && !e.Deletes, deletes: e.Deletes, bytes: e.Bytes}
	if len(w.keys) > 1 {
		w.keys = slices.Clone(w.keys)
		slices.SortFunc(w.keys, func(a, b state.Key) int { return strings.Compare(a.RelativePath, b.RelativePath) })
		w.keys = slices.Compact(w.keys)
	}
	w.involved = w.keys
	if len(e.Reads) > 0 {
		w.involved = slices.Concat(w.keys, e.Reads)
	}
	ws.all[w.id] = w
	if ws.stopped {
		ws.enter(w, ws.refuse(w, ErrStopping))
		return
	}
	ws.advance(w)
}

// admit takes a write to its Forward. All that lets a write pass is asked here, in one Step with
// the Forward. (▲ machine-no-lease)
func (ws *writes) admit(w *write) phase {
	if ws.retired {
		return ws.refuse(w, ErrRetired)
	}
	if next := ws.entered(w); next != pass {
		return next
	}
	// ▲ machine-routed-once: The view is read in the Step that registers the write, not before: a
	// repair that declares a storage in sync knows of the write, or the view
	// knows of the repair.
	why, err := ws.routing(w)
	switch {
	case err != nil:
		return ws.refuse(w, err)
	case why != "":
		ws.unregister(w)
		return ws.wait(w, why, nil)
	}
	if !w.route.Votes { // a write that votes has nothing to account for yet: see enlist
		if next := ws.prepared(w); next != pass {
			return next
		}
	}
	ws.leave(w)
	w.sent = append(w.sent, w.first)
	for _, d := range w.others {
		w.sent = append(w.sent, d.Storage)
	}
	// ▲ driver-token-dated-late: The call is dated at this look at the lease, and goes over the
	// connection that was looked at: a process that is paused from here on cannot send it late.
	ws.emit(Forward{
		Write: w.id, Storage: w.route.Primary, Generation: w.generation, Votes: w.route.Votes, Others: slices.Clone(w.others),
		Epoch: w.route.Epoch, At: ws.now,
	})
	return sent
}

// prepared passes a write that does not vote and has all in the ledger that it needs before it is
// forwarded, as all know. Otherwise it waits for that, or for the answer to its proposal.
func (ws *writes) prepared(w *write) phase {
	ws.register(w)
	if next := ws.commit(w); next != pass {
		return next
	}
	// ▲ machine-before-the-watermark: Its intent, and each command that took a storage away from
	// the readers of the repository, is known to every instance that may read before the effect is
	// visible.
	if w.need = ws.knownAt(w); ws.watermark < w.need {
		return ws.wait(w, WhyWatermark, nil)
	}
	return pass
}

// entered passes a write if no repair holds a repository of it; else the write waits for that. One
// that is registered is past the repair lock.
func (ws *writes) entered(w *write) phase {
	if w.registered {
		return pass
	}
	for i, key := range w.keys {
		w.repos[i] = ws.intents.get(key)
		ws.intents.queueFlush(w.repos[i])
	}
	for _, r := range w.on() {
		if r.guard.blocks() || ws.intents.heeded(r.key) {
			return ws.wait(w, WhyRepairLock, r)
		}
	}
	return pass
}

// on are the records of the repositories of the write.
func (w *write) on() []*repo { return w.repos[:len(w.keys)] }

// notSent takes a write back that was not sent after all, so that it may go
// another way, if it was doomed meanwhile, too.
func (ws *writes) notSent(e NotSent) {
	w := ws.all[e.Write]
	if w == nil || !w.phase.forwarded() {
		return
	}
	ws.endVote(w)
	ws.enter(w, admitting)
	w.doomed, w.agreeing = nil, nil
	if !e.Connected {
		ws.lost(storageName{w.keys[0].VirtualStorage, w.route.Primary}, w.generation)
	}
	ws.advance(w)
}
