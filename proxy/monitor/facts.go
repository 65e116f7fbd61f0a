package monitor

import (
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// facts returns the facts of the moment.
func (m *Monitor) facts() condition.Facts {
	facts, view := m.deps.Facts(), m.deps.View()
	facts.Defined = true
	for _, in := range view.Instances {
		facts.Running = append(facts.Running, condition.Running{Name: in.Name, Version: in.Version})
	}
	m.mu.Lock()
	short := m.short
	m.mu.Unlock()
	for i := range view.VirtualStorages {
		facts.VirtualStorages = append(facts.VirtualStorages, m.virtualStorage(view, &view.VirtualStorages[i], short))
	}
	return facts
}

func (m *Monitor) virtualStorage(view *state.State, vs *state.VirtualStorage, short map[string]shortage) condition.VirtualStorage {
	facts := condition.VirtualStorage{
		Name: vs.Name, Copies: m.deps.Copies, Paused: paused(vs.Paused, m.deps.Now()), Conflicts: view.InConflict(vs.Name),
		Short: short[vs.Name].count, ShortExample: short[vs.Name].example,
	}
	if primary, ok := vs.Primary(nil); ok {
		facts.Primary = primary.Name
	}
	reachable := make(map[string]bool, len(vs.Succession))
	for i := range vs.Succession {
		st := &vs.Succession[i]
		found := condition.Storage{
			Name: st.Name, State: st.State, Why: st.Why, Observation: m.deps.Observation(vs.Name, st.Name).WithDisk(st.FilesystemID),
		}
		if m.deps.RejoinsIn != nil {
			if left, known := m.deps.RejoinsIn(vs.Name, st.Name); known {
				found.ReturnsIn = &left
			}
		}
		reachable[st.Name] = found.Reachable
		facts.Storages = append(facts.Storages, found)
	}
	facts.Unavailable = view.Count(vs.Name, func(e *state.Entry) bool {
		for st := range vs.InSync(e) {
			if st.State == state.Serving && reachable[st.Name] {
				return false
			}
		}
		return true
	})
	return facts
}

// paused says how automatic failover is paused now, empty if it is not.
func paused(p *state.Pausing, now time.Time) string {
	switch {
	case p == nil, p.Until != 0 && p.Until <= now.UnixMilli():
		return ""
	case p.Until == 0:
		return "until resume" + by(p.By)
	}
	return "until " + time.UnixMilli(p.Until).UTC().Format(time.RFC3339) + by(p.By)
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return "; " + who
}

// tracked bounds how many repositories are remembered one by one.
const tracked = 10_000

// shortages remembers since when repositories have been in sync on too few storages.
type shortages struct {
	since map[state.Key]time.Time
	// over is since when there are more of them than tracked, by virtual storage.
	over map[string]time.Time
}

// shortage is a lack in one virtual storage for longer than condition.ShortAfter.
type shortage struct {
	count   int
	example string
}

// short tells whether the repository is in sync on fewer storages than it should be.
func short(vs *state.VirtualStorage, e *state.Entry, copies int) bool {
	inSync := 0
	for range vs.InSync(e) {
		inSync++
	}
	return inSync < min(copies, len(vs.Succession))
}

// look looks for the repositories that are short. It does not look at all entries of the
// ledger: it stops when it has found all that there are, or as many as it remembers.
func (s *shortages) look(view *state.State, copies int, now time.Time) map[string]shortage {
	found := make(map[string]shortage)
	next, over := make(map[state.Key]time.Time), make(map[string]time.Time)
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		left := view.Count(vs.Name, func(e *state.Entry) bool { return short(vs, e, copies) })
		sum := shortage{}
		view.Each(vs.Name, func(k state.Key, e *state.Entry) bool {
			if left == 0 || len(next) == tracked {
				return false
			}
			if !short(vs, e, copies) {
				return true
			}
			left--
			since, known := s.since[k]
			if !known {
				since = now
			}
			next[k] = since
			if now.Sub(since) > condition.ShortAfter {
				sum.count++
				if sum.example == "" {
					sum.example = k.RelativePath
				}
			}
			return true
		})
		beyond := left
		if beyond > 0 {
			over[vs.Name] = now
			if since, known := s.over[vs.Name]; known {
				over[vs.Name] = since
			}
			if now.Sub(over[vs.Name]) > condition.ShortAfter {
				sum.count += beyond
			}
		}
		if sum.count > 0 {
			found[vs.Name] = sum
		}
	}
	s.since, s.over = next, over
	return found
}
