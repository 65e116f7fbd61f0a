package replicator

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// action is what a repair of a repository does next.
type action int

const (
	// actRest: nothing can be done now. Either nothing is wrong, or what is
	// wrong waits for a storage, and the reconciler finds the repository again
	// when that one can be called.
	actRest action = iota
	// actWait: something is to be done, and it is too early for it.
	actWait
	// actSettle: account for the dirty marks whose bound has passed.
	actSettle
	// actCopy: make the targets equal to the primary.
	actCopy
)

// situation is all that a plan depends on. Nothing in it is changed.
type situation struct {
	vs    *state.VirtualStorage // nil if it is not defined
	entry *state.Entry          // nil if the repository is ordinary
	self  state.Incarnation
	// filling asks for a copy onto the filling storages even if the ledger does
	// not say that they are behind: the scan that fills them has come by.
	filling bool
	// reachable tells whether a storage can be called, and is the disk that the
	// state speaks of.
	reachable func(storage string) bool
	// left is how long an effect of what the dirty mark stands for may still
	// come.
	left func(*state.Dirty) time.Duration
}

// plan is what to do next about one repository.
type plan struct {
	action action
	// why says so for people, of actRest and actWait; well tells that nothing
	// is wrong at all.
	why  string
	well bool
	// wait is how long, at most, of actWait; 0 if nobody can tell.
	wait time.Duration
	// primary is the repository's primary, of actSettle and actCopy.
	primary string
	// marks are the dirty marks to settle, and refsOnly tells that equal
	// checksums prove equal replicas under each of them.
	marks    []state.DirtyRef
	refsOnly bool
	// witnesses are the in-sync serving storages beside the primary: settling
	// compares them, and none of them may have what the primary lacks.
	witnesses []string
	// targets are the storages to make equal to the primary.
	targets []string
}

// makePlan decides what to do next about one repository. It never names an
// in-sync storage as a target, nor one that a dirty mark may still change.
func makePlan(s situation) plan {
	if s.vs == nil {
		return plan{action: actRest, why: "its virtual storage is not defined"}
	}
	early, due, refsOnly, soonest := s.dirty()
	targets, absent := s.targets(early)
	if len(targets)+len(absent)+len(early)+len(due) == 0 {
		return plan{action: actRest, why: "nothing is wrong", well: true}
	}
	primary, ok := s.vs.Primary(s.entry)
	switch {
	case !ok:
		return plan{action: actRest, why: "it has no primary"}
	case !s.reachable(primary.Name):
		return plan{action: actRest, why: "its primary cannot be reached"}
	case s.markedByAnother():
		return plan{action: actWait, why: "another instance has marked it"}
	case len(due) > 0:
		return plan{action: actSettle, primary: primary.Name, marks: due, refsOnly: refsOnly, witnesses: s.witnesses(primary.Name)}
	case len(targets) > 0:
		return plan{action: actCopy, primary: primary.Name, targets: targets, witnesses: s.witnesses(primary.Name)}
	case len(early) > 0:
		return plan{action: actWait, why: "a write that ended unseen may still have an effect", wait: soonest}
	}
	return plan{action: actRest, why: "what is behind cannot be reached"}
}

// dirty divides the dirty marks into those whose bound has not passed, with the
// shortest time left, and those that can be settled.
func (s situation) dirty() (early []*state.Dirty, due []state.DirtyRef, refsOnly bool, soonest time.Duration) {
	refsOnly = true
	if s.entry == nil {
		return nil, nil, refsOnly, 0
	}
	for i := range s.entry.Marks {
		mark := &s.entry.Marks[i]
		if mark.Dirty == nil {
			continue
		}
		if left := s.left(mark.Dirty); left > 0 {
			early = append(early, mark.Dirty)
			if soonest == 0 || left < soonest {
				soonest = left
			}
			continue
		}
		due = append(due, state.DirtyRef{Incarnation: mark.Incarnation, At: mark.Dirty.At})
		refsOnly = refsOnly && mark.Dirty.RefsOnly
	}
	return early, due, refsOnly, soonest
}

// targets are the storages to be copied to now. Absent are those that would be
// if they could be called. One that a mark in early may still change is
// neither: a late effect must not meet a fresh copy.
func (s situation) targets(early []*state.Dirty) (now, absent []string) {
	for i := range s.vs.Succession {
		st := &s.vs.Succession[i]
		due := false
		switch st.Standing {
		case state.Serving:
			due = s.entry.IsBehind(st.Name)
		case state.Filling:
			due = s.filling || s.entry.IsBehind(st.Name)
		}
		switch {
		case !due || slices.ContainsFunc(early, func(d *state.Dirty) bool { return slices.Contains(d.Targets, st.Name) }):
		case s.reachable(st.Name):
			now = append(now, st.Name)
		default:
			absent = append(absent, st.Name)
		}
	}
	return now, absent
}

// markedByAnother reports whether another live incarnation has a live mark:
// whatever were found out now would be refused.
func (s situation) markedByAnother() bool {
	return s.entry != nil && slices.ContainsFunc(s.entry.Marks, func(m state.Mark) bool {
		return m.Kind != "" && m.Incarnation != s.self
	})
}

func (s situation) witnesses(primary string) []string {
	var names []string
	for st := range s.vs.InSync(s.entry) {
		if st.Standing == state.Serving && st.Name != primary {
			names = append(names, st.Name)
		}
	}
	return names
}
