package health

import (
	"time"

	"praefect/fsm/state"
)

// Name names a storage.
type Name struct{ VirtualStorage, Storage string }

// Received is the last report of one instance, and when it came in by the
// leader's clock.
type Received struct {
	At      time.Duration
	Reports []Report
	// For is for how long it counts, if that is longer than for others: an idle instance repeats
	// seldom that all is well.
	For time.Duration
}

// Counts tells whether the report counts now, if others do for so long.
func (r Received) Counts(now, age time.Duration) bool { return now-r.At <= max(age, r.For) }

// Count is the result of counting the reports on one storage.
type Count struct {
	// Dead tells that a majority of all voters call it dead.
	Dead bool
	// Why is the reason in one of the reports.
	Why string
	// Disks counts the voters with a connection, by the disk behind it.
	Disks map[string]int
	// connected are, of the voters that call it well, the indices of their
	// connections.
	connected []state.Index
	disk      string
	voters    int
}

// WellSince tells whether a majority of all voters call the storage well, over
// connections made after they had applied the index: the effects of a connection
// before the index is over.
func (c Count) WellSince(index state.Index) bool {
	n := 0
	for _, at := range c.connected {
		if at >= index {
			n++
		}
	}
	return n > c.voters/2
}

// Agreed tells whether a majority of all voters see one and the same disk.
func (c Count) Agreed() bool { return len(c.Disks) == 1 && c.Disks[c.disk] > c.voters/2 }

// Disk is the disk that voters see, empty if none sees one or they differ.
func (c Count) Disk() string {
	if len(c.Disks) == 1 {
		return c.disk
	}
	return ""
}

// CountReports counts the reports of the voters that are not older than age, or than
// Received.For. A voter that said
// nothing, or nothing lately, has no say; the voter is counted all the same, so
// that two of three decide although the third is silent, and one alone never
// does.
func CountReports(now, age time.Duration, voters []string, received map[string]Received) map[Name]Count {
	counts := make(map[Name]Count)
	dead := make(map[Name]int)
	for _, id := range voters {
		b, ok := received[id]
		if !ok || !b.Counts(now, age) {
			continue
		}
		for _, r := range b.Reports {
			name := Name{r.VirtualStorage, r.Storage}
			c := counts[name]
			c.voters = len(voters)
			if r.FilesystemID != "" {
				if c.Disks == nil {
					c.Disks = make(map[string]int)
				}
				c.Disks[r.FilesystemID]++
				c.disk = r.FilesystemID
			}
			switch r.Status {
			case Dead:
				dead[name]++
				c.Why = r.Why
			case Well:
				c.connected = append(c.connected, r.ConnectedAt)
			}
			c.Dead = dead[name] > len(voters)/2
			counts[name] = c
		}
	}
	return counts
}

// AnyDead tells whether a majority calls any storage dead.
func AnyDead(counts map[Name]Count) bool {
	for _, c := range counts {
		if c.Dead {
			return true
		}
	}
	return false
}
