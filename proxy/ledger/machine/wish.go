package machine

import (
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
func (is *intents) heed() {
	for _, key := range is.wishKeys() {
		if w := is.wishes[key]; w.until > is.now && !is.stands(key, w) {
			w.until = is.now
			is.wishes[key] = w
			is.endWish(key)
		}
	}
	for _, key := range is.view.Wishes() {
		e := is.view.Entry(key)
		if e == nil || e.Wish == nil || e.Wish.Incarnation == is.incarnation || is.stands(key, is.wishes[key]) {
			continue
		}
		before := is.wishes[key]
		before.at = e.Wish.At
		if is.now >= before.again {
			bound := time.Duration(e.Wish.BoundMillis) * time.Millisecond
			before.until, before.again = is.now+bound, is.now+2*bound
			is.alarm = min(is.alarm, before.until)
		}
		is.wishes[key] = before
		if r := is.repos[key]; r != nil && r.idle != nil && is.heeded(key) {
			is.closeEarly(func(o *repo) bool { return o == r })
		}
	}
}

// wishKeys are the repositories of wishes in their order, so that the same events give the
// same effects.
func (is *intents) wishKeys() []state.Key {
	return slices.SortedFunc(maps.Keys(is.wishes), state.Key.Compare)
}

// stands tells whether the view still has the wish.
func (is *intents) stands(key state.Key, w wished) bool {
	e := is.view.Entry(key)
	return e != nil && e.Wish != nil && e.Wish.At == w.at
}

// heeded tells whether writes of the repository wait for another instance's repair.
// (▲ machine-wish-unheeded)
func (is *intents) heeded(key state.Key) bool {
	w, ok := is.wishes[key]
	return ok && is.now < w.until
}

// endWish lets the writes go on that waited for a wish. The record of it stays until another one
// may be heeded.
func (is *intents) endWish(key state.Key) {
	if r := is.repos[key]; r != nil {
		is.resumeWaiters(r)
	}
}

// endWishes ends the wishes whose time is over, and forgets the ones that do not count any more.
func (is *intents) endWishes() {
	for _, key := range is.wishKeys() {
		w := is.wishes[key]
		if w.until > is.now {
			is.alarm = min(is.alarm, w.until)
			continue
		}
		is.endWish(key)
		if w.again <= is.now && !is.stands(key, w) {
			delete(is.wishes, key)
		}
	}
}
