package sim

import (
	"errors"
	"slices"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/fsm/state"
)

// electorSettings are the shipped ones, but for the length of a schedule.
var electorSettings = elector.Settings{
	Failover: true, WarmUp: 500 * time.Millisecond, MassWindow: 200 * time.Millisecond,
	ReturnAfter: 500 * time.Millisecond, ReturnAfterMax: 4 * time.Second, FlapWindow: 10 * time.Second,
	ProbeAfter: 300 * time.Millisecond, RetireAfter: 4 * time.Second, AdmitWait: 500 * time.Millisecond,
}

// electorSettings are those of this schedule. In calm an instance is heard of less often.
func (w *simulation) electorSettings() elector.Settings {
	s := electorSettings
	if w.setup.rests {
		s.ProbeAfter = time.Second
	}
	return s
}

// reportAge is how old a report may be.
const reportAge = 300 * time.Millisecond

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

// elect decides about storages and instances as long as the term lasts.
func (l *leader) elect(t *task) {
	in, w := l.in, l.in.w
	configured := elector.Configured{VirtualStorage: virtualStorage, Storages: in.file}
	for l.leading() {
		now := in.now()
		l.news, l.decided = false, in.raft.view
		l.learn()
		counts := l.counts()
		d, probes := l.known.Decide(elector.Input{
			Settings: w.electorSettings(), Configured: []elector.Configured{configured},
			Now: now, Wall: time.UnixMilli(w.wall().Milliseconds()), Started: in.started,
			Self: in.ledger.inc, View: in.raft.view, Counts: counts, Members: l.members(), Silent: in.session.holder.SilentSince(now),
		})
		if probes {
			l.soon()
		}
		w.cov.Alarms += len(d.Alarms)
		l.known.Proposing(d.Commands)
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
				l.known.Answered(d.Commands)
			}
		}
		if w.setup.rests {
			l.quiet = len(d.Commands) == 0 && len(l.running) == 0 && l.known.Quiet(now, counts)
			l.judge(l.quiet)
		}
		l.rest(t)
	}
}

func (l *leader) counts() map[health.Name]health.Count {
	return l.known.Counts(l.in.now(), l.voters())
}

func (l *leader) moment(id string) elector.Moment {
	return l.known.Moment(l.in.now(), l.in.raft.view, l.counts(), id)
}

// operate carries out an operator's request.
func (l *leader) operate(t *task, r elector.Request) {
	w := l.in.w
	op, already, err := elector.Begin(r, l.moment(r.ID))
	w.tracef("%s: %s %s: already %v, %v", l.in.name, r.Verb, r.Storage, already, err)
	if err != nil || already {
		return
	}
	running := &op
	l.running = append(l.running, running)
	defer func() {
		l.running = slices.DeleteFunc(l.running, func(o *elector.Operation) bool { return o == running })
	}()
	m := l.moment(r.ID)
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
		m = l.moment(r.ID)
		m.Fenced = fenced
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
