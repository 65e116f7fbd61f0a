package machine

import "slices"

// counts are the figures of one virtual storage that a hold asks for.
type counts struct {
	inFlight int // writes registered
	intents  int // repositories covered by an intent for writes, or perhaps so
}

func (m *Machine) countsOf(virtualStorage string) *counts {
	c := m.counts[virtualStorage]
	if c == nil {
		c = &counts{}
		m.counts[virtualStorage] = c
	}
	return c
}

// count keeps the repository in the figures. The intent of a repair does not
// count: a switchover waits for nobody who could write, and needs repairs.
func (m *Machine) count(r *repo) {
	marked := (r.live || r.busy) && r.ticket == nil
	switch {
	case marked && !r.counted:
		r.counts.intents++
	case !marked && r.counted:
		r.counts.intents--
	}
	r.counted = marked
}

// report tells the leader what is new.
func (m *Machine) report() {
	holding := m.reported.Holding
	if len(m.holds) > 0 || len(holding) > 0 {
		holding = nil
		for _, h := range m.holds {
			c := m.countsOf(h.VirtualStorage)
			holding = append(holding, HoldReport{ID: h.ID, Applied: true, InFlight: c.inFlight, Intents: c.intents})
		}
	}
	if m.view.Index == m.reported.Applied && slices.Equal(holding, m.reported.Holding) {
		return
	}
	m.reported = Report{Applied: m.view.Index, Holding: holding}
	m.emit(m.reported)
}
