package state

// Result is the answer to one command.
type Result struct {
	// Index is where the command was applied or refused.
	Index Index `json:"index"`
	// Refusal is nil if the command was applied.
	Refusal *Refusal `json:"refusal,omitempty"`
	// Incarnation answers Register.
	Incarnation Incarnation `json:"incarnation,omitempty"`
}

// Refusal says why a command was refused; it is an error value for callers.
type Refusal struct {
	Reason Reason `json:"reason"`
	// Detail names the obstacle, for people.
	Detail string `json:"detail"`
}

// Reason is the closed list of why a command is refused.
type Reason string

// The reasons of a refusal.
const (
	RefusedRetired    Reason = "retired"      // the incarnation is not live
	RefusedOutOfOrder Reason = "out-of-order" // a newer batch was applied before
	RefusedUnknown    Reason = "unknown"      // no such virtual storage, storage, intent
	RefusedInvalid    Reason = "invalid"      // the command contradicts itself
	RefusedNotPrimary Reason = "not-primary"  // the named primary is not, or was fenced
	RefusedNoIntent   Reason = "no-intent"    // the proposer has no live intent
	RefusedChanged    Reason = "changed"      // the entry changed after the named index
	RefusedBusy       Reason = "busy"         // another live incarnation has an intent
	RefusedInUse      Reason = "in-use"       // primary, or the only one not behind
	RefusedNoProof    Reason = "no-proof"     // nothing proves the process gone
	RefusedCluster    Reason = "cluster"      // another cluster's id, or none yet
	RefusedDrained    Reason = "drained"      // only an operator returns the storage
	RefusedTerm       Reason = "term"         // decided by the leader of another term
	RefusedEpoch      Reason = "epoch"        // the virtual storage is at another epoch
	RefusedState      Reason = "state"        // the storage's state does not allow it
	RefusedLast       Reason = "last"         // no other storage would serve
	RefusedLevel      Reason = "level"        // a live instance does not know that much
	RefusedConflict   Reason = "conflict"     // the replica has data that the primary lacks
)

// Error implements error.
func (r *Refusal) Error() string { return "refused (" + string(r.Reason) + "): " + r.Detail }
