package state

// CommandVersion is the version of the command encoding that this program
// writes. A batch with another one stops the process that should apply it.
const CommandVersion = 1

// Batch is one entry of the log: commands of one proposer, applied in order,
// each of which ends as applied or refused on its own.
type Batch struct {
	// Version is the first byte of the encoding.
	Version int `json:"-"`
	// RequestID is random; repeating it repeats the answers.
	RequestID string `json:"id"`
	// Incarnation is the proposer. Ledger commands and Retire need a live one;
	// Register has none yet.
	Incarnation Incarnation `json:"inc,omitempty"`
	// Number rises by batch within an incarnation. A batch whose number is not
	// higher than the last one applied has its ledger commands refused: one
	// that was delayed must not undo a newer one.
	Number uint64 `json:"n,omitempty"`
	// Time is the proposer's wall clock, Unix milliseconds, for display only.
	Time     int64     `json:"t,omitempty"`
	Commands []Command `json:"c"`
}

// Command is a union: exactly one field is set.
type Command struct {
	Register *Register `json:"register,omitempty"`
	Retire   *Retire   `json:"retire,omitempty"`
	Define   *Define   `json:"define,omitempty"`
	Return   *Return   `json:"return,omitempty"`
	Open     *OpenMark `json:"open,omitempty"`
	Close    *Close    `json:"close,omitempty"`
	Wrote    *Wrote    `json:"wrote,omitempty"`
	InSync   *InSync   `json:"in_sync,omitempty"`
	Settle   *Settle   `json:"settle,omitempty"`
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
		{c.Return != nil, c.Return},
		{c.Open != nil, c.Open},
		{c.Close != nil, c.Close},
		{c.Wrote != nil, c.Wrote},
		{c.InSync != nil, c.InSync},
		{c.Settle != nil, c.Settle},
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
	ID        string `json:"id"`
	Name      string `json:"name"`
	Address   string `json:"address,omitempty"`
	Version   string `json:"version,omitempty"`
	ClusterID string `json:"cluster_id,omitempty"`
}

// Retire ends an incarnation for ever: its commands are refused from here on
// and its marks become dirty. It needs proof that the process is gone.
type Retire struct {
	Incarnation Incarnation `json:"incarnation"`
	// Successor proves it by the next incarnation of the same instance, which
	// can only have been registered after the data directory was free.
	Successor Incarnation `json:"successor"`
}

// Define makes the set of storages of a virtual storage. For a new virtual
// storage the first one serves and the others are filling; later a new storage
// is filling and goes to the end. A storage that is not listed is removed,
// which is refused while it is the primary or while it is the only one that is
// not behind for any repository.
type Define struct {
	VirtualStorage string   `json:"virtual_storage"`
	Storages       []string `json:"storages"`
}

// Return reports a storage that was reached, with the id of its disk.
//   - The first id of a storage is recorded.
//   - The same id again brings an out (dead) storage back to serving; a
//     drained one is refused.
//   - Another id means another disk: the storage becomes filling, or begins to
//     anew, which is refused while it is the primary or fenced.
//   - Filled, if not 0, claims that the filling which began at that index
//     (Storage.Since) is complete: the storage serves.
//
// Whatever becomes serving goes to the end of the succession; whatever becomes
// filling becomes behind for every repository in the ledger.
type Return struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	FilesystemID   string `json:"filesystem_id"`
	Filled         Index  `json:"filled,omitempty"`
}

// OpenMark marks repositories for the batch's incarnation; on a mark that is
// already live it widens the mark to cover both. Filling storages become
// behind, so that no write goes unnoticed by the scan that fills them.
type OpenMark struct {
	VirtualStorage string   `json:"virtual_storage"`
	Paths          []string `json:"paths"`
	Kind           MarkKind `json:"kind"`
	Scope
}

// Close ends the incarnation's live mark of each repository; Dirty tells that
// a write under it ended without full account.
type Close struct {
	VirtualStorage string   `json:"virtual_storage"`
	Paths          []string `json:"paths"`
	Dirty          bool     `json:"dirty,omitempty"`
}

// DeletedChange is what a Wrote does to Entry.Deleted.
type DeletedChange string

// What a Wrote does to Entry.Deleted.
const (
	DeletedKeep  DeletedChange = ""
	DeletedSet   DeletedChange = "set"   // before the effect of a delete
	DeletedClear DeletedChange = "clear" // once a write after a delete has succeeded
)

// Wrote accounts for a write before its effect: every storage of the virtual
// storage becomes behind that is not named in Agreeing, in sync and serving.
type Wrote struct {
	VirtualStorage string   `json:"virtual_storage"`
	Paths          []string `json:"paths"`
	// Primary is the storage that the write takes for the primary.
	Primary string `json:"primary"`
	// Epoch is the virtual storage's epoch when the write was routed.
	Epoch uint64 `json:"epoch"`
	// Agreeing are the storages that have the write, the primary among them.
	Agreeing []string      `json:"agreeing"`
	Deleted  DeletedChange `json:"deleted,omitempty"`
}

// InSync says that Storages are equal to the repository's primary, as of an
// index at or after the proposer's own mark. When no storage is left behind,
// Entry.Deleted ends.
type InSync struct {
	Key
	Storages []string `json:"storages"`
	// AsOf is the index of the last change of the entry that the proposer knew
	// of when it began.
	AsOf Index `json:"as_of"`
}

// DirtyRef names a dirty mark.
type DirtyRef struct {
	Incarnation Incarnation `json:"incarnation"`
	At          Index       `json:"at"`
}

// Settle removes the named dirty marks: the storages in Equal were compared
// with the authority and found equal, every other one becomes behind. One that
// was behind before stays so; InSync ends that.
type Settle struct {
	Key
	Marks []DirtyRef `json:"marks"`
	// Authority is the repository's primary; or, with PrimaryLacks, another
	// in-sync serving storage that has the repository while the primary does
	// not: settling never deletes, and Entry.Deleted ends.
	Authority    string   `json:"authority"`
	PrimaryLacks bool     `json:"primary_lacks,omitempty"`
	Equal        []string `json:"equal,omitempty"`
	AsOf         Index    `json:"as_of"`
}

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
	// Detail names what stood in the way, for people.
	Detail string `json:"detail"`
}

// Reason is the closed list of why a command is refused.
type Reason string

// The reasons of a refusal.
const (
	RefusedRetired    Reason = "retired"      // the incarnation is not live
	RefusedOutOfOrder Reason = "out-of-order" // a newer batch was applied before
	RefusedUnknown    Reason = "unknown"      // no such virtual storage, storage, mark
	RefusedInvalid    Reason = "invalid"      // the command contradicts itself
	RefusedNotPrimary Reason = "not-primary"  // the named primary is not, or was fenced
	RefusedNoMark     Reason = "no-mark"      // the proposer has no live mark
	RefusedChanged    Reason = "changed"      // the entry changed after the named index
	RefusedBusy       Reason = "busy"         // another live incarnation has a mark
	RefusedInUse      Reason = "in-use"       // primary, or the only one not behind
	RefusedNoProof    Reason = "no-proof"     // nothing proves the process gone
	RefusedCluster    Reason = "cluster"      // another cluster's id, or none yet
	RefusedDrained    Reason = "drained"      // only an operator returns the storage
)

// Error implements error.
func (r *Refusal) Error() string { return "refused (" + string(r.Reason) + "): " + r.Detail }
