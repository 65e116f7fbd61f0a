package machine

import (
	"container/list"

	"praefect/fsm/state"
)

// intents has the records of the repositories, and the intents of this instance on them. It alone
// proposes, has idle intents linger, and closes them.
type intents struct {
	*facts
	repos        map[state.Key]*repo
	toFlush      []*repo // looked at before the Step ends
	proposals    map[ProposalID]*proposal
	lastProposal ProposalID
	lingering    *list.List // of *repo with an idle intent, the longest idle first
	closing      bool       // a proposal of closes is under way
	wishes       map[state.Key]wished
	counts       map[string]*counts // by virtual storage
}

// get returns the record of a repository, made if need be. The caller that makes it queues a flush
// of it, or keeps it busy.
func (is *intents) get(key state.Key) *repo {
	r := is.repos[key]
	if r == nil {
		r = &repo{key: key, counts: is.countsOf(key.VirtualStorage)}
		is.repos[key] = r
	}
	return r
}

// queueFlush has the repository looked at before the Step ends.
func (is *intents) queueFlush(r *repo) {
	if r.flush == none {
		r.flush = park
		is.toFlush = append(is.toFlush, r)
	}
}

// resumeWaiters has every write that waits for the repository look again before the Step ends.
func (is *intents) resumeWaiters(r *repo) {
	is.queueFlush(r)
	r.flush = serve
}

// park puts a repository with nothing under way among the lingering ones, or
// forgets it if it has no intent.
func (is *intents) park(r *repo) {
	is.count(r)
	// Writes that wait for another instance's repair do not keep the intent that it waits for.
	waits := len(r.waiters) > 0 && !(r.intent != absent && is.heeded(r.key))
	if r.writes > 0 || r.guard != nil || r.busy || waits || r.idle != nil {
		return
	}
	if r.intent == absent {
		delete(is.repos, r.key)
		return
	}
	r.since = is.now
	r.prompt = r.prompt || is.stopped || is.paused(r.key.VirtualStorage) || is.heeded(r.key)
	// Reads go to the primary while the intent is primary-only. Writes that vote do not
	// need that, and must not keep it for longer than the writes did that do not vote.
	r.prompt = r.prompt || r.kind == state.PrimaryOnly && r.retryAt == 0 && is.now-r.aloneAt >= is.cfg.Linger
	if (r.prompt || r.inDoubt) && r.retryAt == 0 { // a repair waits for that close, or a switchover
		r.idle = is.lingering.PushFront(r)
	} else {
		r.idle = is.lingering.PushBack(r)
	}
}

// unpark takes a repository out of the lingering ones.
func (is *intents) unpark(r *repo) {
	if r.idle != nil {
		is.lingering.Remove(r.idle)
		r.idle, r.prompt, r.retryAt = nil, false, 0
	}
}

// closeEarly closes the idle intents that fn picks, before they have lingered.
func (is *intents) closeEarly(fn func(*repo) bool) {
	var next *list.Element
	for e := is.lingering.Front(); e != nil; e = next {
		next = e.Next()
		if r := e.Value.(*repo); fn(r) && !r.prompt {
			r.prompt, r.retryAt = true, 0
			is.lingering.MoveToFront(e)
		}
	}
}

// counts are the figures of one virtual storage that a pause asks for.
type counts struct {
	inFlight int // writes registered
	intents  int // repositories covered by an intent for writes, or perhaps so
}

func (is *intents) countsOf(virtualStorage string) *counts {
	c := is.counts[virtualStorage]
	if c == nil {
		c = &counts{}
		is.counts[virtualStorage] = c
	}
	return c
}

// count keeps the repository in the figures. The intent of a repair does not
// count: a switchover waits for writes alone, and needs repairs.
func (is *intents) count(r *repo) {
	covered := (r.intent != absent || r.busy) && r.guard == nil
	switch {
	case covered && !r.counted:
		r.counts.intents++
	case !covered && r.counted:
		r.counts.intents--
	}
	r.counted = covered
}
