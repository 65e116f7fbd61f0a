package steps

import (
	"slices"

	"praefect/fsm/repair"
	"praefect/replicator/plan"
)

// copy begins copies under an intent, if the ledger still calls for them.
func (s *Step) copy(r Result) Effect {
	// ▲ steps-copies-unplanned: The intent names the targets, and they are still behind in its view.
	s.plan = r.Plan
	s.plan.Targets = slices.DeleteFunc(slices.Clone(r.Plan.Targets), func(t string) bool { return !slices.Contains(s.wanted, t) })
	if s.plan.Action != plan.Copy || len(s.plan.Targets) == 0 {
		return s.over(nil) // it changed meanwhile; the next step sees how
	}
	return s.try(Look{Storages: []string{s.plan.Primary}}, func(looked Result) Effect {
		s.found = plan.Finding{Source: len(looked.Has) > 0, Deleted: r.Entry.Deleted}
		if !s.found.Source {
			return s.copies(nil)
		}
		return s.try(Remake{Plan: s.plan}, func(r Result) Effect {
			s.plan.Targets = r.Targets
			return s.copies(r.Again)
		})
	})
}

func (s *Step) copies(again []string) Effect {
	for _, target := range s.plan.Targets {
		s.running[target] = s.round
	}
	return s.do(Copies{Plan: s.plan, Found: s.found, Again: again}, s.done)
}

// awaited takes the ends of copies, or the plan for work that has become due.
func (s *Step) awaited(r Result) Effect {
	if r.Due {
		return s.join(r.Plan)
	}
	equal := s.account(r.Ended)
	if len(equal) == 0 {
		return s.over(nil)
	}
	return s.do(Declare{Round: s.round, Storages: equal}, func(r Result) Effect {
		switch {
		case r.Err == nil:
			s.synced = append(s.synced, equal...)
		case MetWrite(r.Err):
			s.met = r.Err
			s.later = append(s.later, equal...)
		default: // writes wait while the outcome of the conclusion is unknown
			s.faults = append(s.faults, r.Err)
			s.broken = true
		}
		return s.over(nil)
	})
}

// account notes how copies ended, and returns the targets that can be declared.
func (s *Step) account(ended []Copied) (equal []string) {
	for _, c := range ended {
		round := s.running[c.Target]
		delete(s.running, c.Target)
		switch {
		case !c.Ended:
			s.doubtful = append(s.doubtful, c.Target)
			s.faults = append(s.faults, c.Err)
		case c.Err != nil:
			s.faults = append(s.faults, c.Err)
			s.later = append(s.later, c.Target)
		case round != s.round: // ▲ machine-declares-former-round: a write may have passed since it began
			s.met = repair.ErrInvalidated
			s.later = append(s.later, c.Target)
		default:
			equal = append(equal, c.Target)
		}
	}
	return equal
}

// join begins the work that has become due since the copies began, in another round: copies onto
// other targets, or the resolution of a doubt. (▲ replicator-copy-holds-others)
func (s *Step) join(p plan.Plan) Effect {
	p.Targets = slices.DeleteFunc(slices.Clone(p.Targets), s.Begun)
	if s.broken || p.Action != plan.Resolve && (p.Action != plan.Copy || len(p.Targets) == 0) {
		return s.over(nil)
	}
	return s.do(Renew{}, func(r Result) Effect {
		s.wanted, s.round = p.Targets, max(s.round, r.Round)
		if r.Err != nil {
			return s.over(r.Err)
		}
		return s.work(p)
	})
}
