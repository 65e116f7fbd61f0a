package machine

import "slices"

// counts are the figures of one virtual storage that a pause asks for.
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
// count: a switchover waits for writes alone, and needs repairs.
func (m *Machine) count(r *repo) {
	marked := (r.live || r.busy) && r.guard == nil
	switch {
	case marked && !r.counted:
		r.counts.intents++
	case !marked && r.counted:
		r.counts.intents--
	}
	r.counted = marked
}

// prepares keeps the write in the figures of the writes that were sent and have had no vote
// decided. After a promotion they go on with the new primary, so that no pause waits for them; but
// a storage that leaves takes the writes with it whose client gets its status.
func (m *Machine) prepares(w *write) {
	preparing := w.route.Votes && (w.forwarded || w.clearing) && !w.registered
	if preparing == w.preparing {
		return
	}
	w.preparing = preparing
	at := storageName{w.keys[0].VirtualStorage, w.first}
	if preparing {
		m.preparing[at]++
	} else if m.preparing[at]--; m.preparing[at] == 0 {
		delete(m.preparing, at)
	}
}

// report tells the leader the news.
func (m *Machine) report() {
	pauseReports := m.reported.PauseReports
	if len(m.pauses) > 0 || len(pauseReports) > 0 {
		pauseReports = nil
		for _, h := range m.pauses {
			c := m.countsOf(h.VirtualStorage)
			preparing := m.preparing[storageName{h.VirtualStorage, h.Leaving}] // of no storage: none
			pauseReports = append(pauseReports, WritePauseReport{ID: h.ID, Applied: true, InFlight: c.inFlight + preparing, Intents: c.intents})
		}
	}
	if m.view.Index == m.reported.Applied && slices.Equal(pauseReports, m.reported.PauseReports) {
		return
	}
	m.reported = Report{Applied: m.view.Index, PauseReports: pauseReports}
	m.emit(m.reported)
}
