package state

import "pgregory.net/rapid"

// drawFirstCopy draws a command of the comparison of what storages came with.
func (h *history) drawFirstCopy(t *rapid.T, by Incarnation) Command {
	v := h.state.VirtualStorage(vs)
	switch die(t, 2, "first copy") {
	case 0:
		name := drawStorage(t)
		if s := v.Storage(name); s != nil {
			return compared(s)
		}
		return Command{Compared: &Compared{VirtualStorage: vs, Storage: name}}
	case 1:
		k := Key{vs, h.drawPath(t, func(e *Entry) bool { return e == nil })}
		source := drawStorage(t)
		if e := h.state.Entry(k); e != nil && e.Advancing != "" {
			source = ""
		} else if found := v.names(func(s *Storage) bool { return s.Uncompared == UncomparedFounding }); len(found) > 0 {
			source = found[0]
		}
		c := &Advance{Key: k, Source: source, Scope: Scope{BoundMillis: 5}}
		if p, _ := h.state.PrimaryOf(k); p.Name != "" {
			c.Targets = []string{p.Name}
		}
		return Command{Advance: c}
	case 2:
		k := Key{vs, h.drawPath(t, func(e *Entry) bool { return e.Live(by) != nil && e.Advancing != "" })}
		c := &EndAdvance{Key: k, Equal: drawStorages(t), AsOf: h.drawAsOf(t), Primary: "p"}
		if p, _ := h.state.PrimaryOf(k); p.Name != "" {
			c.Primary = p.Name
		}
		if e := h.state.Entry(k); e != nil {
			for _, m := range e.Intents {
				if m.InDoubt != nil {
					c.Doubts = append(c.Doubts, DoubtRef{m.Incarnation, m.InDoubt.At})
				}
			}
		}
		return Command{EndAdvance: c}
	}
	k := Key{vs, h.drawWithIntent(t, by)}
	c := &MarkConflict{Key: k, AsOf: h.drawAsOf(t)}
	storages := drawStorages(t)
	if e := h.state.Entry(k); e != nil && len(e.Behind) > 0 && rapid.Bool().Draw(t, "behind") {
		storages = e.Behind[:1]
	}
	for _, s := range storages {
		c.Conflicts = append(c.Conflicts, Conflict{Storage: s})
	}
	return Command{MarkConflict: c}
}
