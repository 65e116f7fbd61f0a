package state

import "pgregory.net/rapid"

// drawRemake draws a command about a replica that cannot be repaired in place.
func (h *history) drawRemake(t *rapid.T, by Incarnation) Command {
	k := Key{vs, h.drawWithIntent(t, by)}
	asOf, storage := h.drawAsOf(t), drawStorage(t)
	if rapid.Bool().Draw(t, "step down") {
		if p, _ := h.state.PrimaryOf(k); p.Name != "" && rapid.Bool().Draw(t, "primary") {
			storage = p.Name
		}
		return Command{StepDown: &StepDown{Key: k, Storage: storage, AsOf: asOf}}
	}
	if e := h.state.Entry(k); e != nil && len(e.Behind) > 0 && rapid.Bool().Draw(t, "behind") {
		storage = e.Behind[0]
	}
	return Command{Remake: &Remake{Key: k, Storage: storage, AsOf: asOf}}
}
