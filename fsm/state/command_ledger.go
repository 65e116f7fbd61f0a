package state

// OpenIntent opens an intent on repositories for the batch's incarnation; on an intent that is
// already live it widens the intent to cover both. Backfilling storages become
// behind, so that no write goes unnoticed by the scan that backfills them.
type OpenIntent struct {
	VirtualStorage string     `json:"virtual_storage"`
	Paths          []string   `json:"paths"`
	Kind           IntentKind `json:"kind"`
	Scope
}

// CloseIntent ends the incarnation's live intent of each repository; InDoubt tells that
// a write under it ended without full account. Doubt is the possible effect of such
// writes, if that is less than the scope of the intent; nil: all of that.
type CloseIntent struct {
	VirtualStorage string   `json:"virtual_storage"`
	Paths          []string `json:"paths"`
	InDoubt        bool     `json:"in_doubt,omitempty"`
	Doubt          *Scope   `json:"doubt,omitempty"`
}

// DeletedChange is the effect of a MarkBehind on Entry.Deleted.
type DeletedChange string

// The effects of a MarkBehind on Entry.Deleted.
const (
	DeletedKeep  DeletedChange = ""
	DeletedSet   DeletedChange = "set"   // before the effect of a delete
	DeletedClear DeletedChange = "clear" // once a write after a delete has succeeded
)

// MarkBehind accounts for a write before its effect: every storage of the virtual
// storage becomes behind that is not named in Agreeing, in sync and serving.
type MarkBehind struct {
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

// MarkInSync says that Storages are equal to the repository's primary, as of an
// index at or after the proposer's own intent. When no storage is left behind,
// Entry.Deleted ends.
type MarkInSync struct {
	Key
	Storages []string `json:"storages"`
	// AsOf is the index of the last change of the entry that the proposer knew
	// of when it began.
	AsOf Index `json:"as_of"`
}

// DoubtRef names an in-doubt intent.
type DoubtRef struct {
	Incarnation Incarnation `json:"incarnation"`
	At          Index       `json:"at"`
}

// ResolveDoubt removes the named in-doubt intents: the storages in Equal were compared
// with the authority and found equal, every other one becomes behind. One that
// was behind before stays so; MarkInSync ends that.
type ResolveDoubt struct {
	Key
	Doubts []DoubtRef `json:"doubts"`
	// Authority is the repository's primary; or, with PrimaryLacks, another
	// in-sync serving storage that has the repository while the primary does
	// not: resolving never deletes, and Entry.Deleted ends.
	Authority    string   `json:"authority"`
	PrimaryLacks bool     `json:"primary_lacks,omitempty"`
	Equal        []string `json:"equal,omitempty"`
	AsOf         Index    `json:"as_of"`
}

// AcceptLoss is an operator's decision about a repository: the replica on Storage counts.
// It is not behind from here on, every other storage is, and Entry.Deleted ends. In-doubt
// intents stay: their writes may still happen, and ResolveDoubt compares with the new authority
// once they cannot any more.
//
// It is refused while any live intent is on the entry, and while an in-doubt copy (a repair's, or an Advance) onto
// Storage, or a removal there, may still have an effect. Storage must be serving; only
// where no storage is in sync it may also be fenced or out. Then the repository
// stays unavailable until that storage serves again, on the disk that it had;
// with another one it is behind like all others.
type AcceptLoss struct {
	Key
	Storage string `json:"storage"`
	// Ended are the in-doubt intents whose bound has passed by the proposer's clock: none
	// of them has an effect any more.
	Ended []DoubtRef `json:"ended,omitempty"`
	// By names the operator and the reason, for the history.
	By string `json:"by,omitempty"`
	// GivenUp and NotCompared are for the AcceptedLoss, as the proposer found the other replicas.
	GivenUp     []Conflict `json:"given_up,omitempty"`
	NotCompared []string   `json:"not_compared,omitempty"`
}
