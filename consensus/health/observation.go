package health

import (
	"time"
)

// Observation has the facts that one instance knows about its way to one storage.
type Observation struct {
	VirtualStorage, Storage string
	// Reachable tells that there is a verified connection, to the disk
	// FilesystemID; Slow that it answers late or badly.
	Reachable, Slow bool
	FilesystemID    string
	// Agreed is the disk that the replicated state speaks of, empty if it does
	// not know one yet.
	Agreed string
	// Refused tells that nothing listens there: the connection was lost, or
	// there was none, and the attempt to make another one was refused or reset.
	Refused bool
	// Silent tells that nothing was heard for too long.
	Silent bool
	// Err explains why the storage is not well.
	Err error
}

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
func Reports(all []Observation, d Doubts) []Report {
	if d.Late > d.Limit || len(all) > 1 && !anyReachable(all) {
		return nil
	}
	reports := make([]Report, 0, len(all))
	for _, e := range all {
		reports = append(reports, e.report())
	}
	return reports
}

func anyReachable(all []Observation) bool {
	for _, e := range all {
		if e.Reachable {
			return true
		}
	}
	return false
}

func (e Observation) report() Report {
	r := Report{VirtualStorage: e.VirtualStorage, Storage: e.Storage}
	if e.Err != nil {
		r.Why = e.Err.Error()
	}
	switch {
	case e.Reachable && e.Agreed != "" && e.FilesystemID != e.Agreed:
		// ▲ health-other-disk, state-admit-other-disk: another disk is another storage: what it
		// held is gone
		r.Status, r.FilesystemID, r.Why = Dead, e.FilesystemID, "it has another disk"
	case e.Reachable && e.Slow:
		r.Status, r.FilesystemID = Slow, e.FilesystemID
	case e.Reachable:
		r.Status, r.FilesystemID = Well, e.FilesystemID
	case e.Refused || e.Silent:
		r.Status = Dead
	}
	return r
}
