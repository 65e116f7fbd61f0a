package lease

import (
	"maps"
	"slices"
	"time"

	"praefect/fsm/state"
)

// Election is the election with which a Grantor begins.
type Election struct {
	// Term is the leader's, Since an instant at or after its election, by the
	// leader's clock.
	Term  uint64
	Since time.Duration
	// Self is the leader's instance id.
	Self string
	// Length is that of a lease before any margin: the same in every term.
	Length time.Duration
}

// Grantor is the leader's side, for one term. It is fed with every message of an
// instance, its own included, and asked for the message to each.
type Grantor struct {
	Election
	voters   []string // ids
	question uint64
	// echoes are, by instance id, the last question that it answered in our term.
	echoes map[string]uint64
	// holders are all instances that were heard of in this term.
	holders map[state.Incarnation]*holder
	// barred are being retired.
	barred map[state.Incarnation]bool
	// live are the incarnations that are registered, and whether each may get a lease; nil
	// if that was never told.
	live map[state.Incarnation]bool
	// commits are the committed indices with their times, oldest first.
	commits []commit
	// mark never falls.
	mark state.Index
}

// holder is the knowledge of a Grantor about one instance.
type holder struct {
	id       string
	received time.Duration
	applied  state.Index
	stopped  bool

	// ask is its latest ask that is not granted, 0 if there is none. It came
	// when the latest question was number askedAt, and the asker has vouched for
	// our term beside it.
	ask     uint64
	askedAt uint64
	vouched bool

	granted    uint64 // the latest ask that was granted
	grantIndex state.Index
	until      time.Duration // when the last grant has ended by our count
}

type commit struct {
	at    time.Duration
	index state.Index
}

// NewGrantor returns the Grantor of a term, which has granted nothing yet.
func NewGrantor(e Election) *Grantor {
	return &Grantor{
		Election: e, echoes: make(map[string]uint64),
		holders: make(map[state.Incarnation]*holder), barred: make(map[state.Incarnation]bool),
	}
}

// ends is when a lease that is granted now has ended everywhere: its holder
// counts from before, and stops earlier.
func (g *Grantor) ends(now time.Duration) time.Duration {
	return now + g.Length + Margin(g.Length) // ▲ lease-ends-early, lease-without-margin: the leader outwaits the lease by the margin
}

// settled is when nothing that former leaders have granted is left.
func (g *Grantor) settled() time.Duration { return g.ends(g.Since) }

// Settled tells whether every lease of a former leader has ended.
func (g *Grantor) Settled(now time.Duration) bool { return now >= g.settled() }

// Voters sets the voters, by instance id.
func (g *Grantor) Voters(ids []string) { g.voters = slices.Clone(ids) }

// Ask makes a new question and returns its number. An ask that came before it is
// granted when a majority has answered it.
func (g *Grantor) Ask() uint64 {
	g.question++
	return g.question
}

// Committed sets the index that the leader has applied now. Views that are older than
// the index that was committed a lease ago are too old.
func (g *Grantor) Committed(now time.Duration, index state.Index) {
	if n := len(g.commits); n > 0 && g.commits[n-1].index == index {
		return
	}
	g.commits = append(g.commits, commit{now, index})
	// The last one at or before now-Length is the measure of views.
	keep := 0
	for i, c := range g.commits {
		if c.at <= now-g.Length {
			keep = i
		}
	}
	g.commits = slices.Delete(g.commits, 0, keep)
}

// needed is the index that a view must have to deserve a lease now.
func (g *Grantor) needed(now time.Duration) state.Index {
	var index state.Index
	for _, c := range g.commits {
		if c.at <= now-g.Length {
			index = c.index
		}
	}
	return index
}

// Received takes a message of an instance. A message of another term than ours
// vouches for nothing, but its report on its view counts.
func (g *Grantor) Received(now time.Duration, m *ToLeader) {
	h := g.holders[m.Incarnation]
	if h == nil {
		h = &holder{id: m.InstanceID}
		g.holders[m.Incarnation] = h
	}
	h.received = now
	h.applied = max(h.applied, m.Applied)
	if m.Stopping {
		// It gave the lease back before it said so.
		h.stopped, h.until, h.ask = true, 0, 0
	}
	if m.Term == g.Term {
		g.echoes[m.InstanceID] = max(g.echoes[m.InstanceID], min(m.Echo, g.question))
	}
	if m.AskNumber > max(h.ask, h.granted) && !h.stopped {
		h.ask, h.askedAt, h.vouched = m.AskNumber, g.question, false
	}
	if m.AskNumber == h.ask && m.Term == g.Term {
		h.vouched = true // the term was read after the ask was made
	}
}

// Bar keeps an incarnation that is being retired from getting a lease, or lets it
// again: it had none when that was decided, and is to have none when it is
// applied.
func (g *Grantor) Bar(inc state.Incarnation, barred bool) {
	g.barred[inc] = barred
}

// Live tells which incarnations are registered in the leader's view, and whether each may
// get a lease: an instance that was removed, or that an operator calls gone, may not. An
// incarnation that is not registered is forgotten once its lease must have ended.
func (g *Grantor) Live(now time.Duration, live map[state.Incarnation]bool) {
	g.live = live
	for inc := range g.holders {
		if _, ok := live[inc]; !ok && !g.Leased(inc, now) {
			delete(g.holders, inc)
		}
	}
	for inc := range g.barred {
		if _, ok := live[inc]; !ok && g.holders[inc] == nil {
			delete(g.barred, inc)
		}
	}
}

// may tells whether the incarnation may get a lease.
func (g *Grantor) may(inc state.Incarnation) bool {
	return !g.barred[inc] && (g.live == nil || g.live[inc])
}

// Grant grants the leases that can be granted now. applied is the index that the leader
// itself has applied, an entry of its own term included. The caller has read now,
// and then that its own term still is Term (▲ driver-grants-before-own-entry), after the last
// message was Received. It returns the incarnations that have a new grant.
func (g *Grantor) Grant(now time.Duration, applied state.Index) []state.Incarnation {
	var granted []state.Incarnation
	for _, inc := range slices.Sorted(maps.Keys(g.holders)) {
		h := g.holders[inc]
		if h.ask == 0 || !g.may(inc) || !g.witnessed(h) || h.applied < g.needed(now) { // ▲ lease-for-the-hung, lease-for-the-removed: a view older than what was committed a lease ago gets none
			continue
		}
		h.granted, h.ask = h.ask, 0
		h.grantIndex, h.until = applied, g.ends(now)
		granted = append(granted, inc)
	}
	return granted
}

// witnessed tells whether a majority of the voters have shown to be in our term
// after the ask was made (▲ lease-old-witnesses, lease-without-witnesses): the leader itself, the
// asker, and every voter that answered a question that was asked after the ask came in.
func (g *Grantor) witnessed(h *holder) bool {
	count := 0
	for _, id := range g.voters {
		if id == g.Self || id == h.id && h.vouched || g.echoes[id] > h.askedAt {
			count++
		}
	}
	return count > len(g.voters)/2
}

// Waits tells whether an ask waits for witnesses, so that a question is due.
func (g *Grantor) Waits() bool {
	for _, h := range g.holders {
		if h.ask != 0 && h.askedAt == g.question && !g.witnessed(h) {
			return true
		}
	}
	return false
}

// Fill writes the answers of the Grantor to an instance into a message.
func (g *Grantor) Fill(now time.Duration, inc state.Incarnation, m *FromLeader) {
	m.Term, m.Question, m.Watermark = g.Term, g.question, g.Watermark(now)
	if h := g.holders[inc]; h != nil && h.granted > 0 {
		m.GrantFor, m.GrantIndex, m.LeaseMillis = h.granted, h.grantIndex, g.Length.Milliseconds()
	}
}

// Leased tells whether the incarnation may hold a lease now, of this leader or a
// former one (▲ lease-new-leader-skips-wait): until every lease of a former leader has ended,
// every instance may, retired and removed ones too.
func (g *Grantor) Leased(inc state.Incarnation, now time.Duration) bool {
	h := g.holders[inc]
	if h != nil && h.stopped {
		return false
	}
	return now < g.settled() || h != nil && now < h.until
}

// LastReceived tells when the incarnation was last heard of, and whether it ever was
// in this term.
func (g *Grantor) LastReceived(inc state.Incarnation) (time.Duration, bool) {
	if h := g.holders[inc]; h != nil {
		return h.received, true
	}
	return 0, false
}

// Watermark returns an index that every instance which may hold a lease has
// applied, and acts by. It never falls: an instance that gets a lease later has a later view.
func (g *Grantor) Watermark(now time.Duration) state.Index {
	g.mark = max(g.mark, g.appliedByLeased(now))
	return g.mark
}

func (g *Grantor) appliedByLeased(now time.Duration) state.Index {
	if now < g.settled() {
		return 0 // ▲ lease-new-leader-skips-wait: until then any instance may hold a lease of a former leader, heard of or not
	}
	var index state.Index
	if n := len(g.commits); n > 0 {
		index = g.commits[n-1].index
	}
	for inc, h := range g.holders {
		if g.Leased(inc, now) { // ▲ lease-idle-not-waited-for: an idle instance may have a request in a moment
			index = min(index, h.applied)
		}
	}
	return index
}

// AppliedByAll tells whether every instance that may hold a lease has applied
// the index, and acts by it.
func (g *Grantor) AppliedByAll(index state.Index, now time.Duration) bool {
	return g.Watermark(now) >= index
}
