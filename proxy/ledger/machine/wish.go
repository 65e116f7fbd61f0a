package machine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"praefect/fsm/state"
)

// wished is another instance's wish to have a turn at a repository, by this one's clock.
type wished struct {
	at state.Index // the wish that it is
	// until is when it is not heeded any more; again is before when no other one is.
	until, again time.Duration
}

// heed takes the wishes in the view: lingering intents are closed, and new writes wait.
// ▲ machine-wish-for-ever: A wish is heeded for its bound, by this instance's own clock, and then
// no other one for as long: so that writes never wait longer, whether or not the instance that
// wished takes its wish back.
func (m *Machine) heed() {
	for _, key := range m.wishKeys() {
		if w := m.wishes[key]; w.until > m.now && !m.stands(key, w) {
			w.until = m.now
			m.wishes[key] = w
			m.endWish(key)
		}
	}
	for _, key := range m.view.Wishes() {
		e := m.view.Entry(key)
		if e == nil || e.Wish == nil || e.Wish.Incarnation == m.incarnation || m.stands(key, m.wishes[key]) {
			continue
		}
		before := m.wishes[key]
		before.at = e.Wish.At
		if m.now >= before.again {
			bound := time.Duration(e.Wish.BoundMillis) * time.Millisecond
			before.until, before.again = m.now+bound, m.now+2*bound
			m.alarm = min(m.alarm, before.until)
		}
		m.wishes[key] = before
		if r := m.repos[key]; r != nil && r.idle != nil && m.heeded(key) {
			m.closeEarly(func(o *repo) bool { return o == r })
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.guards)) {
		m.granted(m.guards[id])
	}
}

// wishKeys are the repositories of m.wishes in their order, so that the same events give the
// same effects.
func (m *Machine) wishKeys() []state.Key {
	return slices.SortedFunc(maps.Keys(m.wishes), func(a, b state.Key) int {
		return cmp.Or(cmp.Compare(a.VirtualStorage, b.VirtualStorage), cmp.Compare(a.RelativePath, b.RelativePath))
	})
}

// stands tells whether the view still has the wish.
func (m *Machine) stands(key state.Key, w wished) bool {
	e := m.view.Entry(key)
	return e != nil && e.Wish != nil && e.Wish.At == w.at
}

// heeded tells whether writes of the repository wait for another instance's repair.
// (▲ machine-wish-unheeded)
func (m *Machine) heeded(key state.Key) bool {
	w, ok := m.wishes[key]
	return ok && m.now < w.until
}

// endWish lets the writes go on that waited for a wish. The record of it stays until another one
// may be heeded.
func (m *Machine) endWish(key state.Key) {
	if r := m.repos[key]; r != nil {
		m.resumeWaiters(r)
	}
}

// endWishes ends the wishes whose time is over, and forgets the ones that do not count any more.
func (m *Machine) endWishes() {
	for _, key := range m.wishKeys() {
		w := m.wishes[key]
		if w.until > m.now {
			m.alarm = min(m.alarm, w.until)
			continue
		}
		m.endWish(key)
		if w.again <= m.now && !m.stands(key, w) {
			delete(m.wishes, key)
		}
	}
}

// wish proposes a repair's wish, and answers when no other instance has a live intent on the
// repository.
func (m *Machine) wish(e Wish) {
	m.ask(e.Guard, func(t *guard) {
		if m.view.Entry(t.repo.key) == nil {
			m.done(t, nil, nil) // a scan comes by: no instance has an intent
			return
		}
		cmd := state.Command{Wish: &state.Wish{Key: t.repo.key, BoundMillis: e.Bound.Milliseconds()}}
		t.wished = true
		m.propose([]*repo{t.repo}, []state.Command{cmd}, func(a Answer) {
			if a.Err != nil {
				m.done(t, nil, a.Err)
				return
			}
			if refusal := a.Results[0].Refusal; refusal != nil {
				t.wished = false
				if refusal.Reason == state.RefusedUnknown {
					m.done(t, nil, ErrInvalidated) // the fault that it was to repair is repaired
					return
				}
				m.done(t, nil, refusal)
				return
			}
			t.turn = true
			m.granted(t)
		})
	})
}

// granted answers a guard whose wish the other instances have fulfilled.
func (m *Machine) granted(t *guard) {
	if !t.turn || m.view.Entry(t.repo.key).LiveBeside(m.incarnation) != 0 {
		return
	}
	t.turn = false
	m.done(t, nil, nil)
}

// unwish takes a wish back, when its repair is over. If that fails the wish ends with its
// bound.
func (m *Machine) unwish(t *guard) {
	if !t.wished || t.repo.busy || m.stopped || m.retired {
		return
	}
	m.propose([]*repo{t.repo}, []state.Command{{Wish: &state.Wish{Key: t.repo.key}}}, func(Answer) {})
}
