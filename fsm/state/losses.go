package state

import (
	"fmt"
	"slices"
)

// LossesKept bounds State.Losses.
const LossesKept = 1000

// AcceptedLoss is the record of one AcceptLoss: the audit trail of the replicas that operators gave
// up. It lives in the replicated state, because an acceptance never waits for Postgres, and because
// snapshots and a recovery keep it. It is immutable.
type AcceptedLoss struct {
	Index Index `json:"index"`
	// Time is when the entry was proposed, Unix milliseconds.
	Time int64 `json:"time"`
	Key
	// Storage is the one whose replica counts since.
	Storage string `json:"storage"`
	// Behind are the storages that missed an acknowledged write before.
	Behind []string `json:"behind,omitempty"`
	// GivenUp tells for each other storage how its replica differed; Conflict.Primary is the chosen
	// storage. NotCompared are the storages that could not be asked: data that only they have is
	// not known.
	GivenUp     []Conflict `json:"given_up,omitempty"`
	NotCompared []string   `json:"not_compared,omitempty"`
	// By names the operator and the reason.
	By string `json:"by,omitempty"`
}

// badGivenUp describes the fault of a command's list of replicas that are given up.
func badGivenUp(givenUp []Conflict, notCompared []string) string {
	names := slices.Clone(notCompared)
	for i := range givenUp {
		names = append(names, givenUp[i].Storage)
		if why := givenUp[i].bad(); why != "" {
			return why
		}
	}
	return badNames("storage", names)
}

// noteLoss adds a record. Of the oldest only the number is kept once there are LossesKept.
func (t *transition) noteLoss(l AcceptedLoss) {
	l.Index, l.Time = t.index, t.time
	losses := append(slices.Clone(t.next.Losses), l)
	extra := max(0, len(losses)-LossesKept)
	t.next.Losses = losses[extra:]
	t.next.LossesDropped += uint64(extra)
}

// checkLosses checks that the records have an end, and an order.
func (s *State) checkLosses() error {
	if len(s.Losses) > LossesKept {
		return fmt.Errorf("%d accepted losses", len(s.Losses))
	}
	last := Index(0)
	for i := range s.Losses {
		l := &s.Losses[i]
		if l.Index < last || l.Index > s.Index {
			return fmt.Errorf("the accepted losses go back at index %d", l.Index)
		}
		if why := firstOf(l.Key.bad(), badName("storage", l.Storage), badGivenUp(l.GivenUp, l.NotCompared)); why != "" {
			return fmt.Errorf("accepted loss of index %d: %s", l.Index, why)
		}
		last = l.Index
	}
	return nil
}
