package steps

import (
	"slices"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// resolve accounts for the in-doubt intents whose bound has passed: storages that are proven equal
// to the authority stay in sync, all others become behind. No effect of it changes a replica.
func (s *Step) resolve(r Result) Effect {
	if s.plan = r.Plan; s.plan.Action != plan.Resolve {
		return s.over(nil) // it changed meanwhile; the next step sees how
	}
	s.resolution = repair.Resolution{Doubts: s.plan.Doubts, Authority: s.plan.Primary}
	return s.try(Look{Storages: []string{s.plan.Primary}}, func(r Result) Effect {
		if len(r.Has) > 0 {
			return s.compare(s.plan.Witnesses)
		}
		return s.try(Look{Storages: s.plan.Witnesses}, s.kept)
	})
}

// kept takes the witnesses that have a repository which the primary lacks. ▲ steps-resolve-deletes:
// Resolving never deletes: a replica that any of them has becomes the authority. A witness that cannot
// be asked may have it, so that nothing is resolved.
func (s *Step) kept(r Result) Effect {
	switch {
	case len(r.Has) > 0:
		s.resolution.Authority, s.resolution.PrimaryLacks = r.Has[0], true
		return s.compare(r.Has[1:])
	case s.plan.RefsOnly: // all lack it
		return s.compared(Result{Equal: s.plan.Witnesses})
	}
	return s.compared(Result{})
}

// compare looks for replicas that are like the authority's, if equal references prove it.
func (s *Step) compare(storages []string) Effect {
	if !s.plan.RefsOnly {
		return s.compared(Result{})
	}
	return s.try(Compare{Authority: s.resolution.Authority, Storages: storages}, s.compared)
}

func (s *Step) compared(r Result) Effect {
	s.resolution.Equal = r.Equal
	return s.try(ResolveDoubt{Resolution: s.resolution}, s.done)
}

// advanced accounts for an advance that is over: storages that are proven equal to the primary stay
// in sync.
func (s *Step) advanced(r Result) Effect {
	ending := repair.Ending{Doubts: s.plan.Doubts}
	var others []string
	for st := range r.VS.InSync(r.Entry) {
		switch {
		case ending.Primary == "":
			ending.Primary = st.Name
		case st.State == state.Serving:
			others = append(others, st.Name)
		}
	}
	end := func(r Result) Effect {
		ending.Equal = r.Equal
		return s.try(EndAdvance{Ending: ending}, s.done)
	}
	if len(others) == 0 {
		return end(Result{})
	}
	return s.try(Look{Storages: []string{ending.Primary}}, func(r Result) Effect {
		if len(r.Has) > 0 {
			return s.try(Compare{Authority: ending.Primary, Storages: others}, end)
		}
		return s.try(Look{Storages: others}, func(r Result) Effect {
			has := func(name string) bool { return slices.Contains(r.Has, name) }
			return end(Result{Equal: slices.DeleteFunc(slices.Clone(others), has)})
		})
	})
}
