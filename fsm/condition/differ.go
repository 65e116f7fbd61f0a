package condition

import (
	"fmt"
	"time"

	"praefect/fsm/state"
)

// DifferedWithin is for how long a difference that was found and repaired stays a condition.
const DifferedWithin = 24 * time.Hour

// Differing returns the conditions that follow from the findings of verifications, which are in the
// history: for each virtual storage one about replicas that are not repaired yet, and one about
// those that are.
func Differing(view *state.State, now time.Time) []Raised {
	var raised []Raised
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		var open, repaired []state.Change // the newest one last
		for _, c := range vs.History {
			entry := view.Entry(state.Key{VirtualStorage: vs.Name, RelativePath: c.RelativePath})
			switch {
			case c.What != state.ChangeDiffers:
			case entry.HasDoubt() || entry.IsBehind(c.Storage):
				open = append(open, c)
			case now.Sub(time.UnixMilli(c.Time)) < DifferedWithin:
				repaired = append(repaired, c)
			}
		}
		about := func(name Name, list []state.Change, what string) {
			if len(list) == 0 {
				return
			}
			last := list[len(list)-1]
			raised = append(raised, Raised{Name: name, VirtualStorage: vs.Name, Text: fmt.Sprintf(
				"the verification found %d replicas of %s different without a reason in the ledger, such as %s on %s (%s); %s; list: praefectctl history -virtual-storage %s",
				len(list), vs.Name, last.RelativePath, last.Storage, last.Why, what, vs.Name)})
		}
		about(ReplicaDiffers, open, "they are being repaired")
		about(ReplicaDiffered, repaired, "they are repaired")
	}
	return raised
}
