package state

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

// AcceptLoss is an operator's verdict on a repository: what Storage has is what
// counts. It is not behind from here on, every other storage is, and
// Entry.Deleted ends. Dirty marks stay: what they speak of may still happen, and
// Settle compares with the new authority once it cannot any more.
//
// It is refused while any live mark is on the entry. Storage must be serving; only
// where no storage is in sync it may also be fenced or out. Then the repository
// stays unavailable until that storage serves again, on the disk that it had;
// with another one it is behind like all others.
type AcceptLoss struct {
	Key
	Storage string `json:"storage"`
}
