package state

// Define makes the set of storages of a virtual storage. For a new virtual
// storage the first one serves and the others are backfilling; later a new storage
// is backfilling and goes to the end. A storage that is not listed is removed,
// which is refused while it is the primary or fenced, while no other one serves, or
// while it is the only one that is not behind for any repository, or has a replica in
// conflict. Only an operator removes storages: the settings never do.
type Define struct {
	VirtualStorage string   `json:"virtual_storage"`
	Storages       []string `json:"storages"`
	// Was is the set of storages when the proposer decided, none for a new virtual storage. If it is
	// given, the command is refused at any other set.
	Was []string `json:"was,omitempty"`
	// By names the requester, for people.
	By string `json:"by,omitempty"`
}

// RemoveVirtualStorage makes the cluster forget a virtual storage. It is refused while the ledger
// lists any of its repositories, because the knowledge about them would be lost, and while one of
// its storages is fenced.
type RemoveVirtualStorage struct {
	VirtualStorage string `json:"virtual_storage"`
	// Epoch is the virtual storage's epoch when the proposer decided; the command is refused at any
	// other one.
	Epoch uint64 `json:"epoch"`
	// By names the requester, for people.
	By string `json:"by,omitempty"`
}

// Rejoin reports a storage that was reached, with the id of its disk.
//   - The first id of a storage is recorded.
//   - The same id again brings an out (dead) storage back to serving; a
//     drained one is refused.
//   - Another id means another disk: the storage becomes backfilling, or begins to
//     anew, which is refused while it is the primary or fenced, or while no other
//     one serves: then a fence comes first, if there is a storage that could take over.
//   - Backfilled, if not 0, claims that the backfilling which began at that index
//     (Storage.Since) is complete: the storage serves.
//
// A storage that becomes serving goes to the end of the succession; one that becomes
// backfilling becomes behind for every repository in the ledger.
type Rejoin struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	FilesystemID   string `json:"filesystem_id"`
	Backfilled     Index  `json:"backfilled,omitempty"`
}

// Fence takes from storages the right to be written to, before others get it.
// Each keeps its place in the succession, so that a repository whose first in-sync
// storage is fenced has no primary until Admit. Intents stay: writes that are under
// way end by themselves, but no MarkBehind of an earlier epoch counts on the storage.
//
// Each storage must be serving, and another one must serve afterwards. The epoch
// rises once.
type Fence struct {
	VirtualStorage string   `json:"virtual_storage"`
	Storages       []string `json:"storages"`
	// Why tells a later leader how to go on: after WhyDead and WhyDrained the
	// storages are admitted as out, after WhySwitchover as serving.
	Why string `json:"why"`
	// Epoch is the virtual storage's epoch when the proposer decided; the command
	// is refused at any other one.
	Epoch uint64 `json:"epoch"`
	// By names the requester, for people.
	By string `json:"by,omitempty"`
}

// Admit ends fences. Its proposer first waits until every instance has
// applied the fence or its lease must have ended, and says in which term it waited
// (Batch.Term). The storages go to the end of the succession, in the given order;
// the epoch rises once.
type Admit struct {
	VirtualStorage string      `json:"virtual_storage"`
	Storages       []Admission `json:"storages"`
	// Epoch is as in Fence.
	Epoch uint64 `json:"epoch"`
	// By names the requester, for people.
	By string `json:"by,omitempty"`
}

// Admission is the decision about one fenced storage.
type Admission struct {
	Storage string `json:"storage"`
	// As is Out or Serving.
	As StorageState `json:"as"`
	// Why is, for Out, WhyDead or WhyDrained.
	Why string `json:"why,omitempty"`
	// FilesystemID is, for Serving, the id of the disk that the storage has now:
	// with another one than the state knows it becomes backfilling, and behind for every
	// repository in the ledger.
	FilesystemID string `json:"filesystem_id,omitempty"`
}

// Drain keeps a storage that is out (dead) from returning by itself. One that
// serves is fenced and admitted instead.
type Drain struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	By             string `json:"by,omitempty"`
}

// Undrain lets a storage that is out (drained) return by itself: it is out (dead)
// from here on.
type Undrain struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	By             string `json:"by,omitempty"`
}

// Refill begins the backfilling of a storage that is out, or begins it again: its content may be
// that of a backup. It is compared before anything is copied onto it, and serves when it
// has everything.
type Refill struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	By             string `json:"by,omitempty"`
}

// Pause asks for no automatic failover, in place of an earlier request. It changes
// nothing but this request in the state: the leader heeds it, and it alone
// judges time.
type Pause struct {
	// VirtualStorage is empty for all that there are.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// Until is when the pause ends by itself, Unix milliseconds; 0 is never.
	Until int64  `json:"until,omitempty"`
	Why   string `json:"why,omitempty"`
	By    string `json:"by,omitempty"`
}

// Resume ends a pause, if there is one.
type Resume struct {
	// VirtualStorage is empty for all that there are.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	By             string `json:"by,omitempty"`
}
