package health

import (
	"time"

	"praefect/fsm/reachability"
)

// Doubts are the facts that make an instance doubt itself.
type Doubts struct {
	// Late is by how much its own timers were late lately.
	Late time.Duration
	// Limit is how late they may be.
	Limit time.Duration
}

// Reports makes the reports of one instance. They are nil if it has reason to
// doubt itself: its timers run late, or it lost every storage at once, of
// several.
func Reports(all []reachability.Observation, d Doubts) []Report {
	if d.Late > d.Limit || len(all) > 1 && !anyReachable(all) {
		return nil
	}
	reports := make([]Report, 0, len(all))
	for _, e := range all {
		reports = append(reports, reportOn(e))
	}
	return reports
}

func anyReachable(all []reachability.Observation) bool {
	for _, e := range all {
		if e.Reachable {
			return true
		}
	}
	return false
}

// reportOn makes the report of one observation.
func reportOn(e reachability.Observation) Report {
	r := Report{VirtualStorage: e.VirtualStorage, Storage: e.Storage}
	if e.Err != nil {
		r.Why = e.Err.Error()
	}
	switch {
	case e.Reachable && e.Agreed != "" && e.FilesystemID != e.Agreed:
		// ▲ health-other-disk, state-admit-other-disk: another disk is another storage: what it
		// held is gone
		r.Status, r.FilesystemID, r.Why = Dead, e.FilesystemID, "it has another disk"
	case e.Slow():
		r.Status, r.FilesystemID = Slow, e.FilesystemID
	case e.Reachable:
		r.Status, r.FilesystemID = Well, e.FilesystemID
	case e.Refused || e.Silent:
		r.Status = Dead
	}
	return r
}
