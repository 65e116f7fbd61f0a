package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// term is a term in which this instance leads.
type term struct {
	member.Leadership
	s     *Session
	wake  chan struct{} // holds 1
	ended chan struct{}

	mu    sync.Mutex
	known *elector.Term // of the instances; guarded by mu
	// dirty tells that something has come in, since the last decision, that decisions depend on.
	dirty    bool
	news     chan struct{}     // closed when there is something to tell the instances
	evidence map[string]string // facts behind each proposal, until its change is told
	running  *run              // the switchover under way
	last     *run              // the one before

	// only lead:
	decided   decided
	proposing chan answer  // for the answer to the proposal under way; nil without one
	cutOver   bool         // the proposal under way is the fence of the switchover
	told      *state.State // the view up to which changes of roles were told
	// refusals of the state, by command, and until when it is not asked again
	turnedDown map[string]turnedDown
}

// lead leads whenever this instance does.
func (s *Session) lead(ctx context.Context) {
	started := s.cfg.Now()
	for ctx.Err() == nil {
		changed := s.node.LeadershipChanged()
		if own, leads := s.node.Leading(); leads {
			s.leadTerm(ctx, own, started)
			continue
		}
		select {
		case <-changed:
		case <-time.After(untilNext(elector.CalmRest)):
		case <-ctx.Done():
		}
	}
}

// term returns the term in which this instance leads, nil if it does not.
func (s *Session) term() *term {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading
}

// decided is when a term decided last, by which view, and whether no decision waited then for a
// short time to pass.
type decided struct {
	at   time.Duration
	view *state.State
	calm bool
}

func (s *Session) leadTerm(ctx context.Context, own member.Leadership, started time.Duration) {
	t := &term{
		Leadership: own, s: s, wake: make(chan struct{}, 1), ended: make(chan struct{}), news: make(chan struct{}),
		known: elector.NewTerm(lease.Election{
			Term: own.Term, Since: own.Since, Self: s.node.ID(), Length: s.node.View().LeaseLength(),
		}, s.cfg.ReportAge, lately),
		turnedDown: make(map[string]turnedDown), evidence: make(map[string]string), told: s.node.View(),
	}
	s.mu.Lock()
	s.leading = t
	s.mu.Unlock()
	t.run(ctx, started)
	s.node.Affirm(false)
	s.mu.Lock()
	s.leading, s.alarms, s.rejoining = nil, nil, nil
	s.mu.Unlock()
	close(t.ended)
	t.drop()
}

// run looks at the messages that have come in, and acts on them, until the term ends or ctx does.
func (t *term) run(ctx context.Context, started time.Duration) {
	var proposals sync.WaitGroup
	defer proposals.Wait()
	var lines sync.WaitGroup
	defer lines.Wait()
	defer func() { t.tellChanges(&lines, t.s.node.View()) }()
	proposal, cancel := context.WithCancel(ctx)
	defer cancel()
	var rounds pacer
	for {
		if own, leads := t.s.node.Leading(); !leads || own != t.Leadership {
			return
		}
		calm := t.step(proposal, &proposals, started)
		t.tellChanges(&lines, t.s.node.View())
		wait := tick
		if calm {
			wait = t.lookAgain()
		}
		again := time.NewTimer(wait)
		select {
		case <-t.wake:
		case a := <-t.proposing:
			t.answered(a)
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
		if !rounds.round(t.s.cfg.Now(), ctx.Done()) {
			return
		}
	}
}

// pacer keeps rounds of a loop gap apart, whatever wakes the loop. A few may follow each other
// without a pause if there were none lately: a pause while little happens would be one more wake-up.
type pacer struct {
	began [apartFrom]time.Duration // of the last rounds
	n     int
}

// apartFrom is how many rounds in as many gaps have the next one wait.
const apartFrom = 8

// round begins a round, and reports false if ended was closed while it waited.
func (p *pacer) round(now time.Duration, ended <-chan struct{}) bool {
	since := now - p.began[(p.n+apartFrom-1)%apartFrom]
	if p.n >= apartFrom && now-p.began[p.n%apartFrom] < apartFrom*gap && since < gap {
		pause := time.NewTimer(gap - since)
		defer pause.Stop()
		select {
		case <-pause.C:
			now += gap - since
		case <-ended:
			return false
		}
	}
	p.began[p.n%apartFrom] = now
	p.n++
	return true
}

// untilNext is the time until the next whole multiple of every: parts of an idle instance that look
// at the same moment wake it once.
func untilNext(every time.Duration) time.Duration {
	now := time.Now()
	return now.Truncate(every).Add(every).Sub(now)
}

// look wakes run.
func (t *term) look() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// step grants, decides and proposes. It reports whether all is calm: no decision waits
// for a short time to pass.
func (t *term) step(ctx context.Context, proposals *sync.WaitGroup, started time.Duration) (calm bool) {
	members, voters := t.s.members()
	t.mu.Lock()
	defer t.mu.Unlock()
	// ▲ lease-old-witnesses: Nothing comes in while mu is held: whatever ask is granted below came
	// in before this instant, from which the leader counts, and before the own term was read, which
	// makes the leader a witness.
	now, view := t.s.cfg.Now(), t.s.node.View()
	if t.s.node.Term() != t.Term {
		return false
	}
	// ▲ session-grants-beside-other-cluster: A leader that has met another cluster keeps its own
	// from serving.
	barred := t.s.cfg.Barred() != ""
	granted, asked, risen := t.known.GrantLeases(now, view, members, voters, barred)
	news := len(granted) > 0 || asked || risen
	// Most steps only renew leases: while all is calm, time alone brings nothing to decide
	// before run would look by itself.
	if calm = t.decided.calm && !t.dirty && t.running == nil && t.decided.view == view && now-t.decided.at < t.known.Rest(); calm {
		t.tell(t.becomes(t.known.Stirred(now, view, true)) || news)
		return true
	}
	t.dirty = false
	counts := t.known.Counts(now, voters)
	if t.proposing == nil {
		d, probes := t.known.Decide(elector.Input{
			Settings: t.s.cfg.Failover, Configured: t.s.cfg.Configured, Now: now, Wall: time.Now(), Started: started,
			Self: t.s.node.Incarnation(), View: view, Counts: counts, Unclaimed: t.s.unclaimed, Members: members, Silent: t.s.silentSince(now),
		})
		commands, refused := t.allowed(now, d.Commands)
		t.known.Proposing(commands)
		t.noteEvidence(now, view, commands)
		t.raise(slices.Concat(d.Alarms, refused), d.Rejoining)
		t.propose(ctx, proposals, commands)
		news = news || probes
	}
	if t.advance(ctx, proposals, now, view, counts) {
		news = true
	}
	calm = t.proposing == nil && t.running == nil && t.known.Quiet(now, counts)
	t.tell(t.becomes(t.known.Stirred(now, view, calm)) || news)
	t.decided = decided{at: now, view: view, calm: calm}
	return calm
}

// lookAgain is how long run waits after a step that left no decision waiting.
func (t *term) lookAgain() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known.Rest()
}

// tell has the instances told the news, if there is any. Caller holds mu.
func (t *term) tell(news bool) {
	if news {
		close(t.news)
		t.news = make(chan struct{})
	}
}

// lately is for how long a report counts that an instance made of itself and of others.
const lately = time.Second

// members are the ids of all members of the cluster, and of the voters.
func (s *Session) members() (all, voters []string) {
	for _, m := range s.node.Members() {
		all = append(all, m.ID)
		if m.Voter {
			voters = append(voters, m.ID)
		}
	}
	return all, voters
}

// raise publishes the alarms of a decision, and which storages rejoin when.
func (t *term) raise(alarms []condition.Raised, rejoining map[health.Name]time.Duration) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.alarms, t.s.rejoining = alarms, rejoining
}
