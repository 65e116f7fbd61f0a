package sim

import (
	"errors"
	"slices"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/consensus/settings"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// electorSettings are the shipped ones, but for the length of a schedule.
var electorSettings = elector.Settings{
	Failover: true, WarmUp: 500 * time.Millisecond, MassWindow: 200 * time.Millisecond,
	ReturnAfter: 500 * time.Millisecond, ReturnAfterMax: 4 * time.Second, FlapWindow: 10 * time.Second,
	ProbeAfter: 300 * time.Millisecond, RetireAfter: 4 * time.Second, AdmitWait: 500 * time.Millisecond,
}

// reportAge is how old a report may be.
const reportAge = 300 * time.Millisecond

// electing is the leader's knowledge beyond its table of leases.
type electing struct {
	memory       elector.Memory
	received     map[string]health.Received
	pauseReports map[state.Incarnation]routing.WritePauseReport
	refused      map[string]refusals // by the instance that found out
	probe        []state.Incarnation
	silent       map[state.Incarnation]time.Duration // since when each of probe is
	gone         map[state.Incarnation]bool          // as an operator says
	running      []*elector.Operation
	reports      map[state.Incarnation]settings.Report
}

// refusals are the incarnations whose Raft port an instance found refusing.
type refusals struct {
	at   time.Duration
	incs []state.Incarnation
}

func newElecting() electing {
	return electing{
		received: make(map[string]health.Received), pauseReports: make(map[state.Incarnation]routing.WritePauseReport),
		refused: make(map[string]refusals), reports: make(map[state.Incarnation]settings.Report),
		gone: make(map[state.Incarnation]bool),
	}
}

func (e *electing) heard(now time.Duration, m *lease.ToLeader) {
	e.received[m.InstanceID] = health.Received{At: now, Reports: m.Reports}
	e.refused[m.InstanceID] = refusals{now, m.Refused}
	if m.Report != nil {
		e.reports[m.Incarnation] = *m.Report
	}
	delete(e.pauseReports, m.Incarnation)
	for _, h := range m.PauseReports {
		e.pauseReports[m.Incarnation] = h
	}
}

func (e *electing) pauses(now time.Duration) []lease.WritePause {
	var pauses []lease.WritePause
	for _, op := range e.running {
		if h, ok := op.WritePauses(now); ok {
			pauses = append(pauses, h)
		}
	}
	return pauses
}

func (l *leader) counts() map[health.Name]health.Count {
	return health.CountReports(l.in.now(), reportAge, l.voters(), l.electing.received)
}

// members are the ids of all members of the cluster, away or not.
func (l *leader) members() []string {
	var ids []string
	for _, s := range l.in.raft.config.servers {
		ids = append(ids, l.in.w.instances[s.index].id)
	}
	return ids
}

// voters are the ids of the members that vote.
func (l *leader) voters() []string {
	var ids []string
	for _, i := range l.in.raft.config.voters() {
		ids = append(ids, l.in.w.instances[i].id)
	}
	return ids
}

// mayLease are the incarnations that are registered, and whether each may get a lease.
func (l *leader) mayLease() map[state.Incarnation]bool {
	members, view := l.members(), l.in.raft.view
	may := make(map[state.Incarnation]bool, len(view.Instances))
	for _, known := range view.Instances {
		may[known.Incarnation] = !l.electing.gone[known.Incarnation] && slices.Contains(members, known.ID)
	}
	return may
}

// elect decides about storages and instances as long as the term lasts.
func (l *leader) elect(t *task) {
	in, w := l.in, l.in.w
	configured := elector.Configured{VirtualStorage: virtualStorage, Storages: in.file}
	for l.leading() {
		now := in.now()
		refused := make(map[state.Incarnation]int)
		for _, peer := range w.instances {
			if r := l.electing.refused[peer.id]; now-r.at < reportAge {
				for _, inc := range r.incs {
					refused[inc]++
				}
			}
		}
		d := elector.Decide(elector.Input{
			Settings: electorSettings, Configured: []elector.Configured{configured},
			Now: now, Wall: time.UnixMilli(w.wall().Milliseconds()), Started: in.started,
			Self: in.ledger.inc, View: in.raft.view, Leases: l.grantor, Counts: l.counts(), Refusals: refused,
			Members: l.members(), Gone: l.electing.gone, Silent: in.session.silentSince(now),
			Reports: l.reports(),
		}, l.electing.memory)
		l.electing.memory, l.electing.silent = d.Memory, d.Silent
		if !slices.Equal(l.electing.probe, d.Probe) {
			l.electing.probe = d.Probe
			l.soon()
		}
		w.cov.Alarms += len(d.Alarms)
		l.bar(d.Commands, true)
		t.pause() // between the decision and the proposal
		if len(d.Commands) > 0 {
			w.check.admits(l, d.Commands)
			w.decides(in.raft.view, d.Commands)
			_, err := in.raft.proposeAs(t, l.term, in.ledger.inc, d.Commands...)
			if err != nil {
				w.cov.UnknownOutcomes++
			}
			// While the outcome is not known the entry may still come, as in session.answered.
			if err == nil || errors.Is(err, errNotProposed) {
				l.bar(d.Commands, false)
			}
		}
		t.sleep(w.between(10*time.Millisecond, 60*time.Millisecond))
	}
}

// bar keeps incarnations that are being retired from getting a lease.
func (l *leader) bar(commands []state.Command, barred bool) {
	for _, c := range commands {
		if c.Retire != nil {
			l.grantor.Bar(c.Retire.Incarnation, barred)
		}
	}
}

func (l *leader) moment() elector.Moment {
	return elector.Moment{
		Now: l.in.now(), View: l.in.raft.view, Counts: l.counts(), Leases: l.grantor, PauseReports: l.electing.pauseReports,
	}
}

// operate carries out an operator's request.
func (l *leader) operate(t *task, r elector.Request) {
	w := l.in.w
	op, already, err := elector.Begin(r, l.moment())
	w.tracef("%s: %s %s: already %v, %v", l.in.name, r.Verb, r.Storage, already, err)
	if err != nil || already {
		return
	}
	running := &op
	l.electing.running = append(l.electing.running, running)
	defer func() {
		l.electing.running = slices.DeleteFunc(l.electing.running, func(o *elector.Operation) bool { return o == running })
	}()
	m := l.moment()
	for l.leading() {
		next, cmd, _, err := running.Step(m)
		if next.Phase != running.Phase {
			w.tracef("%s: %s of %s is at %s", l.in.name, r.Verb, r.Storage, next.Phase)
			w.cov.WritePauses += btoi(next.Phase == elector.PauseWrites)
			passed := next.Passes(m.View)
			if next.Phase == elector.CutOver && w.setup.disks && w.chance(0.2) && len(passed) > 0 {
				w.swapDisk(w.storage(passed[0]))
			}
			l.soon()
		}
		*running = next
		if err != nil {
			w.tracef("%s: %s of %s ends: %v", l.in.name, r.Verb, r.Storage, err)
			return
		}
		if next.Phase == elector.ResumeWrites {
			w.cov.Promotions += btoi(r.Verb == elector.Promote)
			w.cov.Drains += btoi(r.Verb == elector.Drain)
			return
		}
		var fenced *state.Result
		if cmd != nil {
			t.pause()
			results, err := l.in.raft.proposeAs(t, l.term, l.in.ledger.inc, *cmd)
			if err != nil {
				return // the next leader finds the fence, or not
			}
			fenced = &results[0]
			if fenced.Refusal == nil && cmd.Drain != nil {
				return
			}
		} else {
			t.sleep(w.between(5*time.Millisecond, 30*time.Millisecond))
		}
		m = l.moment()
		m.Fenced = fenced
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
