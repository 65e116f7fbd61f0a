package state

// CommandVersion is the version of a batch that every program knows.
const CommandVersion = 1

// Batch is one entry of the log: commands of one proposer, applied in order,
// each of which ends as applied or refused on its own.
type Batch struct {
	// Version is the first byte of the encoding: the feature level that the batch
	// needs (Needs). A program that does not know it cannot apply the batch, and
	// must not skip it.
	Version int `json:"-"`
	// RequestID is random; repeating it repeats the answers.
	RequestID string `json:"id"`
	// Incarnation is the proposer. Every command needs a live one, but Register,
	// which has none yet.
	Incarnation Incarnation `json:"inc,omitempty"`
	// Number rises by batch within an incarnation. A batch whose number is not
	// higher than the last one applied has its ledger commands refused: one
	// that was delayed must not undo a newer one.
	Number uint64 `json:"n,omitempty"`
	// Time is the proposer's wall clock, Unix milliseconds, for display only.
	Time int64 `json:"t,omitempty"`
	// Term, if not 0, is the Raft term in which the proposer led when it decided:
	// a conclusion of a leader from its own table of leases must not be applied by way of
	// another leader. The batch is refused if its entry is of another term.
	Term uint64 `json:"term,omitempty"`
	// EntryTerm is the term of the log's entry; package fsm knows it from there.
	EntryTerm uint64    `json:"-"`
	Commands  []Command `json:"c"`
}

// Command is a union: exactly one field is set.
type Command struct {
	Register             *Register             `json:"register,omitempty"`
	Retire               *Retire               `json:"retire,omitempty"`
	Define               *Define               `json:"define,omitempty"`
	RemoveVirtualStorage *RemoveVirtualStorage `json:"remove_virtual_storage,omitempty"`
	Rejoin               *Rejoin               `json:"rejoin,omitempty"`
	Fence                *Fence                `json:"fence,omitempty"`
	Admit                *Admit                `json:"admit,omitempty"`
	Drain                *Drain                `json:"drain,omitempty"`
	Undrain              *Undrain              `json:"undrain,omitempty"`
	Refill               *Refill               `json:"refill,omitempty"`
	Pause                *Pause                `json:"pause,omitempty"`
	Resume               *Resume               `json:"resume,omitempty"`
	Open                 *OpenIntent           `json:"open,omitempty"`
	Close                *CloseIntent          `json:"close,omitempty"`
	MarkBehind           *MarkBehind           `json:"mark_behind,omitempty"`
	MarkInSync           *MarkInSync           `json:"mark_in_sync,omitempty"`
	ResolveDoubt         *ResolveDoubt         `json:"resolve_doubt,omitempty"`
	AcceptLoss           *AcceptLoss           `json:"accept_loss,omitempty"`
	Record               *Record               `json:"record,omitempty"`
	Raise                *Raise                `json:"raise,omitempty"`

	Compared     *Compared     `json:"compared,omitempty"`
	Advance      *Advance      `json:"advance,omitempty"`
	EndAdvance   *EndAdvance   `json:"end_advance,omitempty"`
	MarkConflict *MarkConflict `json:"mark_conflict,omitempty"`
	MarkDoubt    *MarkDoubt    `json:"mark_doubt,omitempty"`
	Wish         *Wish         `json:"wish,omitempty"`

	Remake   *Remake   `json:"remake,omitempty"`
	StepDown *StepDown `json:"step_down,omitempty"`
}

// one returns the command that is set, nil unless exactly one is.
func (c *Command) one() command {
	var set command
	n := 0
	for _, f := range []struct {
		set bool
		cmd command
	}{
		{c.Register != nil, c.Register},
		{c.Retire != nil, c.Retire},
		{c.Define != nil, c.Define},
		{c.RemoveVirtualStorage != nil, c.RemoveVirtualStorage},
		{c.Rejoin != nil, c.Rejoin},
		{c.Fence != nil, c.Fence},
		{c.Admit != nil, c.Admit},
		{c.Drain != nil, c.Drain},
		{c.Undrain != nil, c.Undrain},
		{c.Refill != nil, c.Refill},
		{c.Pause != nil, c.Pause},
		{c.Resume != nil, c.Resume},
		{c.Open != nil, c.Open},
		{c.Close != nil, c.Close},
		{c.MarkBehind != nil, c.MarkBehind},
		{c.MarkInSync != nil, c.MarkInSync},
		{c.ResolveDoubt != nil, c.ResolveDoubt},
		{c.AcceptLoss != nil, c.AcceptLoss},
		{c.Record != nil, c.Record},
		{c.Raise != nil, c.Raise},
		{c.Compared != nil, c.Compared},
		{c.Advance != nil, c.Advance},
		{c.EndAdvance != nil, c.EndAdvance},
		{c.MarkConflict != nil, c.MarkConflict},
		{c.MarkDoubt != nil, c.MarkDoubt},
		{c.Wish != nil, c.Wish},
		{c.Remake != nil, c.Remake},
		{c.StepDown != nil, c.StepDown},
	} {
		if f.set {
			set, n = f.cmd, n+1
		}
	}
	if n != 1 {
		return nil
	}
	return set
}

// Register announces a new incarnation of an instance; Result.Incarnation
// names it. ClusterID becomes the cluster's when it has none yet, and the first
// registration must bring one; otherwise a different one is refused, and an
// empty one accepted.
type Register struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Address is where clients reach the instance, RaftAddress where its peers do.
	Address     string `json:"address,omitempty"`
	RaftAddress string `json:"raft_address,omitempty"`
	Version     string `json:"version,omitempty"`
	// Level is the feature level of the program, 0 for 1.
	Level     int    `json:"level,omitempty"`
	ClusterID string `json:"cluster_id,omitempty"`
	// LeaseMillis is the length of a lease: the first registration fixes it for
	// ever (0: DefaultLease), that of a later one is ignored.
	LeaseMillis int64 `json:"lease_ms,omitempty"`
}

// Record adds a line to the history of the instances: an action of an operator that is no
// command of the log, such as a change of Raft's members.
type Record struct {
	// What is ChangeAdded or ChangeRemoved, Instance the instance's name.
	What     string `json:"what"`
	Instance string `json:"instance"`
	By       string `json:"by,omitempty"`
}

// Proof names the fact that proves that the process of an incarnation is gone.
type Proof string

// The proofs that an incarnation may be retired by.
const (
	// ProofSuccessor: the next incarnation of the same instance is registered,
	// which can only be once the data directory was free.
	ProofSuccessor Proof = ""
	// ProofRefused: its Raft port refuses connections at two peers, and nothing
	// but the end of the process closes that listener.
	ProofRefused Proof = "refused"
	// ProofOperator: an operator says so.
	ProofOperator Proof = "operator"
	// ProofSilent: no instance has heard of it for long.
	ProofSilent Proof = "silent"
)

// Retire ends an incarnation for ever: its commands are refused from here on
// and its intents become in doubt. It needs proof that the process is gone. A proposer with
// another proof than ProofSuccessor first waits until the incarnation's lease must have ended, and
// says in which term it waited (Batch.Term).
type Retire struct {
	Incarnation Incarnation `json:"incarnation"`
	Proof       Proof       `json:"proof,omitempty"`
	// Successor is the incarnation of ProofSuccessor, otherwise 0.
	Successor Incarnation `json:"successor"`
	// By says for the history which operator wants it, and why, of ProofOperator.
	By string `json:"by,omitempty"`
}
