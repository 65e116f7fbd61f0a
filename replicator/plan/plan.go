// Package plan owns the decisions of a repair: the next step for one repository, the action for one
// replica, and the time until no late effect can come any more. It promises to be pure, so that
// every schedule of them can be tried. Package replicator and the simulation act on it.
package plan

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// Action is the next step of a repair of a repository.
type Action int

const (
	// Idle: nothing can be done now. Either nothing is wrong, or the repair
	// waits for a storage, and the reconciler finds the repository again
	// when that one can be called.
	Idle Action = iota
	// Wait: something is to be done, and it is too early for it.
	Wait
	// Resolve: account for the in-doubt intents whose bound has passed.
	Resolve
	// Copy: make the targets equal to the primary.
	Copy
	// EndAdvance: account for an advance that was interrupted.
	EndAdvance
)

// Situation is all that a plan depends on. Nothing in it is changed.
type Situation struct {
	VS    *state.VirtualStorage // nil if it is not defined
	Entry *state.Entry          // nil if the repository is clean
	Self  state.Incarnation
	// Backfilling asks for a copy onto the backfilling storages even if the ledger does
	// not say that they are behind: the scan that backfills them has come by.
	Backfilling bool
	// Turn tells that the other instances are asked to close their intents before anything is
	// done, so that these are no reason to wait.
	Turn bool
	// Reachable tells whether a storage can be called, and is the disk that the
	// state speaks of.
	Reachable func(storage string) bool
	// Left is how long an effect of the writes that the in-doubt intent stands for may still
	// come.
	Left func(*state.Doubt) time.Duration
}

// Plan is the next step about one repository.
type Plan struct {
	Action Action
	// Why says so for people, of Idle and Wait; Well tells that nothing
	// is wrong at all.
	Why  string
	Well bool
	// For is the reason for which Idle and Wait wait.
	For Waiting
	// Wait is how long, at most, of Wait; 0 if that is unknown.
	Wait time.Duration
	// Primary is the repository's primary, of ResolveDoubt, Copy and EndAdvance.
	Primary string
	// Doubts are the in-doubt intents to resolve, and RefsOnly tells that equal
	// references prove equal replicas under each of them.
	Doubts   []state.DoubtRef
	RefsOnly bool
	// Witnesses are the in-sync serving storages beside the primary: resolving
	// compares them, and none of them may have commits that the primary lacks.
	Witnesses []string
	// Targets are the storages to make equal to the primary.
	Targets []string
}

// Make decides the next step about one repository. It never names an
// in-sync storage as a target, nor one that an in-doubt intent may still change.
func Make(s Situation) Plan {
	if s.VS == nil {
		return Plan{Action: Idle, Why: "its virtual storage is not defined"}
	}
	early, due, refsOnly, soonest := s.inDoubt()
	if s.Entry != nil && s.Entry.Advancing != "" {
		return s.endAdvance(early, due, soonest)
	}
	targets, absent := s.targets(early)
	switch {
	case len(targets)+len(absent)+len(early)+len(due) > 0:
	case s.Entry != nil && len(s.Entry.Conflicts) > 0:
		return Plan{Action: Idle, Why: "it is in conflict", For: s.idle()}
	default:
		return Plan{Action: Idle, Why: "nothing is wrong", Well: true, For: s.idle()}
	}
	primary, ok := s.VS.Primary(s.Entry)
	switch {
	case !ok:
		return Plan{Action: Idle, Why: "it has no primary", For: s.noSource()}
	case !s.Reachable(primary.Name):
		return Plan{Action: Idle, Why: "its primary cannot be reached", For: Waiting{Reason: SourceAway, Storages: []string{primary.Name}}}
	case !s.Turn && s.writtenByAnother():
		return Plan{Action: Wait, Why: "another instance has marked it", For: s.liveIntent()}
	case len(due) > 0:
		return Plan{Action: Resolve, Primary: primary.Name, Doubts: due, RefsOnly: refsOnly, Witnesses: s.witnesses(primary.Name)}
	case len(targets) > 0:
		return Plan{Action: Copy, Primary: primary.Name, Targets: targets, Witnesses: s.witnesses(primary.Name)}
	case len(early) > 0:
		return Plan{Action: Wait, Why: "a write that ended unseen may still have an effect", Wait: soonest, For: s.doubtBound()}
	}
	return Plan{Action: Idle, Why: "what is behind cannot be reached", For: Waiting{Reason: TargetAway, Storages: absent}}
}

// endAdvance decides the next step about a repository that is being advanced.
func (s Situation) endAdvance(early []*state.Doubt, due []state.DoubtRef, soonest time.Duration) Plan {
	var primary state.Storage
	for st := range s.VS.InSync(s.Entry) {
		primary = *st
		break
	}
	switch {
	case primary.State != state.Serving:
		return Plan{Action: Idle, Why: "it has no primary", For: s.noSource()}
	case !s.Reachable(primary.Name):
		return Plan{Action: Idle, Why: "its primary cannot be reached", For: Waiting{Reason: SourceAway, Storages: []string{primary.Name}}}
	case s.Entry.HasLive(): // another instance, or another step of this one, advances it
		return Plan{Action: Wait, Why: "it is being advanced", For: Waiting{Reason: Advance, Storages: []string{s.Entry.Advancing}}}
	case len(early) > 0:
		return Plan{Action: Wait, Why: "a copy that ended unseen may still have an effect", Wait: soonest, For: s.doubtBound()}
	}
	return Plan{Action: EndAdvance, Primary: primary.Name, Doubts: due, Witnesses: s.witnesses(primary.Name)}
}

// inDoubt divides the in-doubt intents into the ones whose bound has not passed, with the
// shortest time left, and the ones that can be resolved.
func (s Situation) inDoubt() (early []*state.Doubt, due []state.DoubtRef, refsOnly bool, soonest time.Duration) {
	refsOnly = true
	if s.Entry == nil {
		return nil, nil, refsOnly, 0
	}
	for i := range s.Entry.Intents {
		intent := &s.Entry.Intents[i]
		if intent.InDoubt == nil {
			continue
		}
		if left := s.Left(intent.InDoubt); left > 0 { // ▲ plan-resolve-before-bound: an effect may still come, after the comparison
			early = append(early, intent.InDoubt)
			if soonest == 0 || left < soonest {
				soonest = left
			}
			continue
		}
		due = append(due, state.DoubtRef{Incarnation: intent.Incarnation, At: intent.InDoubt.At})
		refsOnly = refsOnly && intent.InDoubt.RefsOnly
	}
	return early, due, refsOnly, soonest
}

// targets are the storages to be copied to now. Absent are the ones that would be
// if they could be called. One that an intent in early may still change is
// neither: a late effect must not meet a fresh copy. (▲ plan-copy-under-late-effect)
//
// A storage that is backfilling gets a copy of its own, after the serving ones: it may
// take hours, for which no other one is to stay behind.
func (s Situation) targets(early []*state.Doubt) (now, absent []string) {
	var backfilling []string
	for i := range s.VS.Succession {
		st := &s.VS.Succession[i]
		due := false
		switch st.State {
		case state.Serving:
			due = s.Entry.IsBehind(st.Name) // ▲ plan-copy-onto-in-sync: nothing is ever copied onto one in sync
		case state.Backfilling:
			due = s.Backfilling || s.Entry.IsBehind(st.Name)
		}
		switch {
		case keeps(st, s.Entry): // ▲ TestPlan_keeps: what it has may be nowhere else
		case !due || slices.ContainsFunc(early, func(d *state.Doubt) bool { return slices.Contains(d.Targets, st.Name) }):
		case !s.Reachable(st.Name):
			absent = append(absent, st.Name)
		case st.State == state.Backfilling:
			backfilling = append(backfilling, st.Name)
		default:
			now = append(now, st.Name)
		}
	}
	if len(now) == 0 {
		now = backfilling
	}
	return now, absent
}

// writtenByAnother reports whether another live incarnation has a live intent:
// every finding of now would be refused.
func (s Situation) writtenByAnother() bool {
	return s.Entry != nil && slices.ContainsFunc(s.Entry.Intents, s.anothers)
}

// anothers tells whether it is another incarnation's live intent.
func (s Situation) anothers(m state.Intent) bool { return m.Kind != "" && m.Incarnation != s.Self }

func (s Situation) witnesses(primary string) []string {
	var names []string
	for st := range s.VS.InSync(s.Entry) {
		if st.State == state.Serving && st.Name != primary {
			names = append(names, st.Name)
		}
	}
	return names
}
