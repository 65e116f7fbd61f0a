package state

import (
	"fmt"
	"slices"
)

func (c *Register) invalid() string {
	if why := badText("the description of the instance", c.Name, c.Address, c.RaftAddress, c.Version, c.ClusterID); why != "" {
		return why
	}
	if why := badLease(c.LeaseMillis); why != "" {
		return why
	}
	if c.Level < 0 {
		return "the feature level is negative"
	}
	return badName("instance id", c.ID)
}

func (c *Register) apply(t *transition) *Refusal {
	inc := Incarnation(t.index)
	switch {
	case max(1, c.Level) < t.next.FeatureLevel(): // ▲ TestRegister_tooOld: it could not apply the commands proposed from now on
		return refuse(RefusedLevel, "the cluster is at feature level %d, and this version of the program knows %d: "+
			"install the version that the other instances run", t.next.FeatureLevel(), max(1, c.Level))
	case t.next.Instance(inc) != nil:
		return refuse(RefusedInvalid, "a batch registers one instance")
	case t.next.ClusterID == "" && c.ClusterID == "":
		return refuse(RefusedCluster, "the first instance brings the id of the cluster")
	case t.next.ClusterID == "":
		t.next.ClusterID, t.next.LeaseMillis = c.ClusterID, c.LeaseMillis
	case c.ClusterID != "" && c.ClusterID != t.next.ClusterID:
		return refuse(RefusedCluster, "this is cluster %q, not %q", t.next.ClusterID, c.ClusterID)
	}
	// Indices rise, so that the new one is the last.
	t.next.Instances = append(slices.Clone(t.next.Instances), Instance{
		Incarnation: inc,
		ID:          c.ID,
		Name:        c.Name,
		Address:     c.Address,
		RaftAddress: c.RaftAddress,
		Version:     c.Version,
		Level:       c.Level,
	})
	return nil
}

func (c *Retire) invalid() string {
	if c.Incarnation == 0 {
		return "no incarnation"
	}
	switch c.Proof {
	case ProofSuccessor:
	case ProofRefused, ProofOperator, ProofSilent:
		if c.Successor != 0 {
			return fmt.Sprintf("a successor, but the proof is %q", c.Proof)
		}
	default:
		return fmt.Sprintf("no proof %q", c.Proof)
	}
	return badText("by", c.By)
}

// apply removes the incarnation. From here on no command of it is applied, so that its
// intents name all operations that it left under way; they become in doubt.
func (c *Retire) apply(t *transition) *Refusal {
	if c.Incarnation == t.proposer {
		return refuse(RefusedInvalid, "incarnation %d would retire itself", c.Incarnation)
	}
	gone := t.next.Instance(c.Incarnation)
	if gone == nil {
		return refuse(RefusedUnknown, "incarnation %d is not live", c.Incarnation)
	}
	if c.Proof == ProofSuccessor {
		successor := t.next.Instance(c.Successor)
		if successor == nil || successor.ID != gone.ID || successor.Incarnation <= gone.Incarnation {
			return refuse(RefusedNoProof, "%d is no later live incarnation of the instance of %d", c.Successor, c.Incarnation)
		}
	}
	t.next.Instances = slices.DeleteFunc(slices.Clone(t.next.Instances), func(in Instance) bool {
		return in.Incarnation == c.Incarnation
	})
	if c.Proof != ProofSuccessor { // a restart is no event for people
		t.noteInstance(Change{What: ChangeRetired, Instance: gone.Name, Why: string(c.Proof), By: c.By})
	}
	t.endWishes(c.Incarnation) // ▲ state-wish-outlives
	t.sweep(sweep{retired: c.Incarnation})
	return nil
}

func (c *Record) invalid() string {
	if c.What != ChangeAdded && c.What != ChangeRemoved {
		return fmt.Sprintf("nothing to record is called %q", c.What)
	}
	return firstOf(badName("instance", c.Instance), badText("by", c.By))
}

func (c *Record) apply(t *transition) *Refusal {
	t.noteInstance(Change{What: c.What, Instance: c.Instance, By: c.By})
	return nil
}
