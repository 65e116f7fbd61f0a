package machine

import (
	"fmt"
	"slices"
	"time"
)

// ledgerWait is how long a write waits at least for its entries in the ledger: for a proposal, and
// until all know of it. It is longer than a lease, after which no instance has to know.
const ledgerWait = 10 * time.Second

// counts tells whether writes that wait for this count towards the limits: not if they go on by
// themselves in a moment.
func (w Why) counts() bool { return w != "" && w != WhyProposal && w != WhyWatermark }

// wait has a write wait for why, at a repository if it waits for that; or
// refuses it if it may not wait (any longer). A write that waits is asked again by
// advance: by reconsider, or when the repository is served.
func (ws *writes) wait(w *write, why Why, at *repo) phase {
	switch {
	case ws.retired:
		return ws.refuse(w, ErrRetired)
	case ws.stopped:
		return ws.refuse(w, ErrStopping)
	}
	if why == WhyLease && w.why != WhyLease {
		w.noLease = ws.now
	}
	full := why.counts() && !w.why.counts() &&
		(ws.counted >= ws.cfg.QueueLimit || ws.cfg.QueueBytes > 0 && ws.bytes+w.bytes > ws.cfg.QueueBytes)
	ws.setWhy(w, why)
	deadline := ws.deadline(w)
	if full || deadline <= ws.now {
		return ws.refuse(w, w.tooLate())
	}
	if w.place == nil {
		w.place = ws.waiting.PushBack(w)
	}
	if why.counts() && !w.told {
		w.told = true
		ws.emit(Queued{Write: w.id, Why: why})
	}
	ws.alarm = min(ws.alarm, deadline)
	if at != nil {
		ws.queue(w, at)
	}
	return w.phase
}

// queue has the write asked again when the repository is served.
func (ws *writes) queue(w *write, at *repo) {
	w.at = at
	at.waiters = append(at.waiters, w)
}

// setWhy has the write wait for why, and count towards the limits accordingly.
func (ws *writes) setWhy(w *write, why Why) {
	if w.why.counts() {
		ws.counted--
		ws.bytes -= w.bytes
	}
	if w.why = why; why.counts() {
		ws.counted++
		ws.bytes += w.bytes
	}
}

// leave ends the wait of a write, if it waits.
func (ws *writes) leave(w *write) {
	ws.setWhy(w, "")
	if w.place != nil {
		ws.waiting.Remove(w.place)
		w.place = nil
	}
	if w.at != nil {
		w.at.waiters = slices.DeleteFunc(w.at.waiters, func(o *write) bool { return o == w })
		ws.intents.queueFlush(w.at)
		w.at = nil
	}
}

func (ws *writes) deadline(w *write) time.Duration {
	switch w.why {
	case WhyLease:
		return w.noLease + ws.cfg.LeaseWait
	case WhyProposal, WhyWatermark:
		return w.begun + max(ws.cfg.QueueTimeout, ledgerWait)
	}
	return w.begun + ws.cfg.QueueTimeout
}

// tooLate is why a write is rejected that may not wait any longer.
func (w *write) tooLate() error {
	switch w.why {
	case WhyLease:
		return ErrNoLease
	case WhyFenced, WhyUnreachable:
		return fmt.Errorf("%w: %w", ErrQueued, w.obstacle)
	}
	return ErrQueued
}

// serve lets the writes go on that wait for the repository.
func (ws *writes) serve(r *repo) {
	waiters := r.waiters
	r.waiters = nil
	for _, w := range waiters {
		w.at = nil
		ws.advance(w)
	}
}

// rejectWaiting rejects every write that waits, when the instance stops.
func (ws *writes) rejectWaiting() {
	for e := ws.waiting.Front(); e != nil; e = ws.waiting.Front() {
		w := e.Value.(*write)
		ws.enter(w, ws.refuse(w, ErrStopping))
	}
}

func everyWrite(*write) bool { return true }

// reconsider asks again the writes that fn picks from the ones that wait for no repository.
func (ws *writes) reconsider(fn func(*write) bool) {
	for _, w := range ws.pick(func(w *write) bool { return w.at == nil && fn(w) }) {
		if w.place != nil && w.at == nil {
			ws.advance(w)
		}
	}
}

// expire rejects the writes that have waited long enough.
func (ws *writes) expire() {
	ws.alarm = never
	for _, w := range ws.pick(everyWrite) {
		if at := ws.deadline(w); at <= ws.now {
			ws.enter(w, ws.refuse(w, w.tooLate()))
		} else {
			ws.alarm = min(ws.alarm, at)
		}
	}
}

// pick lists waiting writes, in the order in which they began to wait. The list
// is valid until the next pick.
func (ws *writes) pick(fn func(*write) bool) []*write {
	ws.scratch = ws.scratch[:0]
	for e := ws.waiting.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*write); fn(w) {
			ws.scratch = append(ws.scratch, w)
		}
	}
	return ws.scratch
}
