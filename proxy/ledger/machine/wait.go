package machine

import (
	"container/list"
	"fmt"
	"slices"
	"time"
)

// ledgerWait is how long a write waits at least for its entries in the ledger: for a proposal, and
// until all know of it. It is longer than a lease, after which no instance has to know.
const ledgerWait = 10 * time.Second

// waitingPlace is the place of a write in Machine.waiting; nil if it does not wait.
type waitingPlace = *list.Element

// counts tells whether writes that wait for this count towards the limits: not if they go on by
// themselves in a moment.
func (w Why) counts() bool { return w != "" && w != WhyProposal && w != WhyWatermark }

// wait has a write wait for why, at a repository if it waits for that; or
// rejects it if it may not wait (any longer). A write that waits is asked again by
// advance: by reconsider, or when the repository is served.
func (m *Machine) wait(w *write, why Why, at *repo) {
	switch {
	case m.retired:
		m.reject(w, ErrRetired)
		return
	case m.stopped:
		m.reject(w, ErrStopping)
		return
	}
	if why == WhyLease && w.why != WhyLease {
		w.noLease = m.now
	}
	full := why.counts() && !w.counted &&
		(m.counted >= m.cfg.QueueLimit || m.cfg.QueueBytes > 0 && m.bytes+w.bytes > m.cfg.QueueBytes)
	w.why = why
	deadline := m.deadline(w)
	if full || deadline <= m.now {
		m.reject(w, w.tooLate())
		return
	}
	if w.place == nil {
		w.place = m.waiting.PushBack(w)
	}
	m.countWrite(w, why.counts())
	if w.counted && !w.told {
		w.told = true
		m.emit(Queued{Write: w.id, Why: why})
	}
	m.alarm = min(m.alarm, deadline)
	if at != nil {
		m.queue(w, at)
	}
}

// queue has the write asked again when the repository is served.
func (m *Machine) queue(w *write, at *repo) {
	w.at = at
	at.waiters = append(at.waiters, w)
}

// countWrite has the write count towards the limits, or not.
func (m *Machine) countWrite(w *write, counts bool) {
	switch {
	case counts && !w.counted:
		m.counted++
		m.bytes += w.bytes
	case !counts && w.counted:
		m.counted--
		m.bytes -= w.bytes
	}
	w.counted = counts
}

// leave ends the wait of a write, if it waits.
func (m *Machine) leave(w *write) {
	m.countWrite(w, false)
	if w.place != nil {
		m.waiting.Remove(w.place)
		w.place = nil
	}
	w.why = ""
	if w.at != nil {
		w.at.waiters = slices.DeleteFunc(w.at.waiters, func(o *write) bool { return o == w })
		m.queueFlush(w.at)
		w.at = nil
	}
}

func (m *Machine) deadline(w *write) time.Duration {
	switch w.why {
	case WhyLease:
		return w.noLease + m.cfg.LeaseWait
	case WhyProposal, WhyWatermark:
		return w.begun + max(m.cfg.QueueTimeout, ledgerWait)
	}
	return w.begun + m.cfg.QueueTimeout
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

func everyWrite(*write) bool { return true }

// reconsider asks again the writes that fn picks from the ones that wait for no repository.
func (m *Machine) reconsider(fn func(*write) bool) {
	for _, w := range m.pick(func(w *write) bool { return w.at == nil && fn(w) }) {
		if w.place != nil && w.at == nil {
			m.advance(w)
		}
	}
}

// expire rejects the writes that have waited long enough.
func (m *Machine) expire() {
	m.alarm = never
	for _, w := range m.pick(everyWrite) {
		if at := m.deadline(w); at <= m.now {
			m.reject(w, w.tooLate())
		} else {
			m.alarm = min(m.alarm, at)
		}
	}
}

// pick lists waiting writes, in the order in which they began to wait. The list
// is valid until the next pick.
func (m *Machine) pick(fn func(*write) bool) []*write {
	m.scratch = m.scratch[:0]
	for e := m.waiting.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*write); fn(w) {
			m.scratch = append(m.scratch, w)
		}
	}
	return m.scratch
}
