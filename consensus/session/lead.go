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
	"praefect/consensus/settings"
	"praefect/fsm/condition"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// term is a term in which this instance leads.
type term struct {
	member.Leadership
	s     *Session
	wake  chan struct{} // holds 1
	ended chan struct{}

	mu           sync.Mutex
	grantor      *lease.Grantor
	received     map[string]health.Received                     // by instance id
	refusals     map[state.Incarnation]map[string]time.Duration // who found the port refusing, and when
	pauseReports map[state.Incarnation]routing.WritePauseReport
	reports      map[state.Incarnation]settings.Report // the settings of each instance
	probe        []state.Incarnation
	silent       map[state.Incarnation]time.Duration // since when each of probe is
	gone         map[state.Incarnation]bool          // as an operator says
	goneBy       map[state.Incarnation]string        // which one, and why
	// dirty tells that something has come in, since the last decision, that decisions depend on.
	dirty    bool
	news     chan struct{}     // closed when there is something to tell the instances
	evidence map[string]string // by what was decided what is proposed, until it is told
	running  *run              // the switchover under way
	last     *run              // the one before

	// only lead:
	memory    elector.Memory
	watermark state.Index
	decided   decided
	proposing chan answer  // for the answer to what is under way; nil while nothing is
	cutOver   bool         // what is under way is the fence of the switchover
	told      *state.State // up to which changes of who serves what were told
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
		case <-time.After(lastTry):
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
		grantor: lease.NewGrantor(lease.Election{
			Term: own.Term, Since: own.Since, Self: s.node.ID(), Length: s.node.View().LeaseLength(),
		}),
		received: make(map[string]health.Received), refusals: make(map[state.Incarnation]map[string]time.Duration),
		pauseReports: make(map[state.Incarnation]routing.WritePauseReport), reports: make(map[state.Incarnation]settings.Report),
		turnedDown: make(map[string]turnedDown), gone: make(map[state.Incarnation]bool), goneBy: make(map[state.Incarnation]string), evidence: make(map[string]string), told: s.node.View(),
	}
	s.mu.Lock()
	s.leading = t
	s.mu.Unlock()
	t.run(ctx, started)
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
	for {
		if own, leads := t.s.node.Leading(); !leads || own != t.Leadership {
			return
		}
		began := t.s.cfg.Now()
		calm := t.step(proposal, &proposals, started)
		t.tellChanges(&lines, t.s.node.View())
		wait := tick
		if calm {
			wait = calmTick
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
		if !apart(t.s.cfg.Now()-began, ctx.Done()) {
			return
		}
	}
}

// apart keeps repeated events gap apart, given the time since it happened last. It
// reports false if ended was closed while it waited. While little happens no timer is needed.
func apart(since time.Duration, ended <-chan struct{}) bool {
	if since >= gap {
		return true
	}
	pause := time.NewTimer(gap - since)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ended:
		return false
	}
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
	members := t.s.node.Members()
	voters := votersOf(members)
	t.mu.Lock()
	defer t.mu.Unlock()
	// ▲ lease-old-witnesses: Nothing comes in while mu is held: whatever ask is granted below came
	// in before this instant, from which the leader counts, and before the own term was read, which
	// makes the leader a witness.
	now, view := t.s.cfg.Now(), t.s.node.View()
	if t.s.node.Term() != t.Term {
		return false
	}
	t.grantor.Voters(voters)
	t.grantor.Live(now, t.mayLease(view, members))
	t.grantor.Committed(now, view.Index)
	// ▲ session-grants-beside-other-cluster: A leader that has met another cluster keeps its own
	// from serving.
	barred := t.s.cfg.Barred() != ""
	news := !barred && len(t.grantor.Grant(now, view.Index)) > 0
	if t.grantor.Waits() {
		t.grantor.Ask()
		news = true
	}
	if w := t.grantor.Watermark(now); w != t.watermark {
		t.watermark, news = w, true
	}
	// Most steps only renew leases: while all is calm, time alone brings nothing to decide
	// before run would look by itself.
	if calm = t.decided.calm && !t.dirty && t.running == nil && t.decided.view == view && now-t.decided.at < calmTick; calm {
		t.tell(news)
		return true
	}
	t.dirty = false
	counts := health.CountReports(now, t.s.cfg.ReportAge, voters, t.received)
	if t.proposing == nil {
		d := elector.Decide(elector.Input{
			Settings: t.s.cfg.Failover, Configured: t.s.cfg.Configured, Now: now, Wall: time.Now(), Started: started,
			Self: t.s.node.Incarnation(), View: view, Leases: t.grantor, Counts: counts, Refusals: t.refused(now),
			Reports: t.reports, Unclaimed: t.s.unclaimed,
			Members: t.s.members(), Gone: t.gone, Silent: t.s.silentSince(now),
		}, t.memory)
		t.memory = d.Memory
		t.sayWho(d.Commands)
		commands, refused := t.allowed(now, d.Commands)
		t.bar(commands, true)
		t.noteEvidence(now, view, commands)
		t.raise(slices.Concat(d.Alarms, refused), d.Rejoining)
		if !slices.Equal(d.Probe, t.probe) {
			t.probe, news = d.Probe, true
		}
		t.silent = d.Silent
		t.propose(ctx, proposals, commands)
	}
	if t.advance(ctx, proposals, elector.Moment{Now: now, View: view, Counts: counts, Leases: t.grantor, PauseReports: t.pauseReports}) {
		news = true
	}
	t.tell(news)
	calm = t.proposing == nil && t.running == nil && len(t.silent) == 0 && len(t.probe) == 0 &&
		t.grantor.Settled(now) && !health.AnyDead(counts)
	t.decided = decided{at: now, view: view, calm: calm}
	return calm
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

// members are the ids of all members of the cluster.
func (s *Session) members() []string {
	var ids []string
	for _, m := range s.node.Members() {
		ids = append(ids, m.ID)
	}
	return ids
}

// voters are the ids of the instances that vote.
func (s *Session) voters() []string { return votersOf(s.node.Members()) }

func votersOf(members []member.Member) []string {
	var ids []string
	for _, m := range members {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// idsOf are the ids of the members, nil if none are known.
func idsOf(members []member.Member) map[string]bool {
	if len(members) == 0 {
		return nil
	}
	ids := make(map[string]bool, len(members))
	for _, m := range members {
		ids[m.ID] = true
	}
	return ids
}

// mayLease are the incarnations that are registered, and whether each may get a lease.
// Caller holds mu.
func (t *term) mayLease(view *state.State, members []member.Member) map[state.Incarnation]bool {
	ids := idsOf(members)
	may := make(map[state.Incarnation]bool, len(view.Instances))
	for _, in := range view.Instances {
		may[in.Incarnation] = !t.gone[in.Incarnation] && (ids == nil || ids[in.ID])
	}
	return may
}

// bar keeps instances that are being retired from getting a lease meanwhile.
// Caller holds mu.
func (t *term) bar(commands []state.Command, barred bool) {
	for _, c := range commands {
		if c.Retire != nil {
			t.grantor.Bar(c.Retire.Incarnation, barred)
		}
	}
}

// refused counts the instances that lately found the port of an incarnation refusing.
func (t *term) refused(now time.Duration) map[state.Incarnation]int {
	counts := make(map[state.Incarnation]int)
	for inc, by := range t.refusals {
		for _, at := range by {
			if now-at <= lately {
				counts[inc]++
			}
		}
	}
	return counts
}

// raise publishes the alarms of a decision, and which storages rejoin when.
func (t *term) raise(alarms []condition.Raised, rejoining map[health.Name]time.Duration) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.alarms, t.s.rejoining = alarms, rejoining
}
