package state

import (
	"cmp"
	"slices"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// Index is the index of an entry of the Raft log. It orders every change of
// the State; 0 means "none".
type Index uint64

// Incarnation names one life of one instance process. It is the Index of the
// Register command that announced it: unique, rising, never used again.
type Incarnation uint64

// State is the replicated state at one Index. It is immutable: Apply returns a
// new State that shares its unchanged parts, so that any number of readers use
// one without a lock. The zero value is the state before the first command.
type State struct {
	// Index is the index of the last command applied.
	Index Index
	// ClusterID is the random id that the first command of the log brought.
	ClusterID string
	// Replaced are the ids of the clusters that this one replaces, by recoveries.
	Replaced []string
	// LeaseMillis is the length of a lease as the first registration fixed it; 0
	// stands for DefaultLease. See LeaseLength.
	LeaseMillis int64
	// InstanceHistory holds the last changes of the instances, oldest first, at most
	// HistoryLength.
	InstanceHistory []Change
	// Losses are the last acceptances of losses, oldest first, at most LossesKept; LossesDropped
	// counts the older ones.
	Losses        []AcceptedLoss
	LossesDropped uint64
	// Level is the feature level of the state, 0 for 1. See FeatureLevel.
	Level int
	// Instances are the live incarnations, by rising Incarnation. An
	// incarnation that is not here is retired, and its commands are refused.
	Instances []Instance
	// VirtualStorages are sorted by name.
	VirtualStorages []VirtualStorage

	// ledger holds the repositories that are listed in the ledger, by Key.appendTo. An
	// entry is read through sweeps.
	ledger *iradix.Tree[*Entry]
	sweeps sweeps
	// wishes are the keys of the entries that may have a wish, sorted.
	wishes []Key
	// tally counts the entries that are alike.
	tally tally
	// answers remembers the answers to recent requests.
	answers answers
}

// Instance is one live incarnation of a praefect process.
type Instance struct {
	Incarnation Incarnation `json:"incarnation"`
	// ID is the random id kept in the instance's data directory.
	ID string `json:"id"`
	// Name is the operator's label for it.
	Name string `json:"name"`
	// Address is where clients reach it, for display and forwarding.
	Address string `json:"address,omitempty"`
	// RaftAddress is where its peers reach it.
	RaftAddress string `json:"raft_address,omitempty"`
	// Version is the version of the program.
	Version string `json:"version,omitempty"`
	// Level is the feature level of the program, 0 for 1. See FeatureLevel.
	Level int `json:"level,omitempty"`
	// Number is the number of the last batch with ledger commands applied.
	Number uint64 `json:"number"`
}

// VirtualStorage is the agreed part of one virtual storage.
type VirtualStorage struct {
	Name string `json:"name"`
	// Epoch starts at 1 and rises whenever a role is taken away or given: when
	// a storage begins or ceases to serve, and when a fence ends.
	Epoch uint64 `json:"epoch"`
	// Succession is the order in which storages become primary.
	Succession []Storage `json:"succession"`
	// Paused is set while automatic failover is to wait.
	Paused *Pausing `json:"paused,omitempty"`
	// History holds the last changes, oldest first, at most HistoryLength.
	History []Change `json:"history,omitempty"`
}

// Pausing says on whose request automatic failover waits, why and for how long.
// It is immutable.
type Pausing struct {
	// Until is when it ends by itself, Unix milliseconds; 0 is never.
	Until int64  `json:"until,omitempty"`
	Why   string `json:"why,omitempty"`
	By    string `json:"by,omitempty"`
}

// HistoryLength bounds VirtualStorage.History.
const HistoryLength = 200

// StorageState is the use that the cluster makes of a storage.
type StorageState string

// The states of a storage.
const (
	// Serving storages are read, and are destinations of writes.
	Serving StorageState = "serving"
	// Fenced storages are no destination, but keep their place: a repository
	// whose first in-sync storage is fenced has no primary.
	Fenced StorageState = "fenced"
	// Out storages are neither read nor written; they fall behind.
	Out StorageState = "out"
	// Backfilling storages are new, or have another disk: they fall behind while a
	// scan copies every repository onto them.
	Backfilling StorageState = "backfilling"
)

// Storage is the agreed part of one storage of a virtual storage.
type Storage struct {
	Name  string       `json:"name"`
	State StorageState `json:"state"`
	// Why tells why the storage is fenced or out: WhyDead, WhyDrained or, only
	// fenced, WhySwitchover.
	Why string `json:"why,omitempty"`
	// FilesystemID is the id of the disk that the state speaks of; empty
	// until the storage was first reached.
	FilesystemID string `json:"filesystem_id,omitempty"`
	// Since is the index at which Standing or FilesystemID last changed.
	Since Index `json:"since"`
	// New is true from the definition of the storage until it first serves:
	// a repository that only such a storage has was never ours to remove.
	New bool `json:"new,omitempty"`
	// Uncompared is set while the storage is backfilling and not every replica that it
	// came with was compared: nothing on it is overwritten or removed.
	Uncompared Uncompared `json:"uncompared,omitempty"`
	// FencedEpoch is the epoch that its last fence raised; 0 if never fenced.
	FencedEpoch uint64 `json:"fenced_epoch,omitempty"`
}

// Change is one line of a virtual storage's history, for people.
type Change struct {
	Index Index  `json:"index"`
	Epoch uint64 `json:"epoch"`
	Time  int64  `json:"time"` // Unix milliseconds, as the proposer had it
	// What is empty for a change of the state of Storage, and otherwise names the event
	// of the virtual storage, a repository or an instance: one of the
	// constants below.
	What    string `json:"what,omitempty"`
	Storage string `json:"storage,omitempty"`
	// RelativePath is set for a change of one repository, Instance for one of an
	// instance.
	RelativePath string       `json:"relative_path,omitempty"`
	Instance     string       `json:"instance,omitempty"`
	To           StorageState `json:"to,omitempty"` // empty: it was removed
	Why          string       `json:"why,omitempty"`
	By           string       `json:"by,omitempty"` // the requester
}

// Events of a virtual storage as a whole, or of one of its repositories.
const (
	ChangePaused  = "paused"
	ChangeResumed = "resumed"
	// ChangeLossAccepted: Storage's replica of a repository counts, and data that only other
	// replicas have is lost.
	ChangeLossAccepted = "loss accepted"
	// ChangeDiffers: the verification found Storage's replica of a repository different from
	// the primary's, or damaged, and the ledger had no reason for that.
	ChangeDiffers = "differs"
	// ChangeRemade: copies onto Storage's replica of a repository failed, and it is made
	// again from nothing.
	ChangeRemade = "replica made again"
	// ChangeSteppedDown: Storage's replica of a repository took no writes, and the next
	// in-sync storage is the repository's primary.
	ChangeSteppedDown = "stepped down"
	// ChangeConflict: Storage's replica of a repository has data that the primary lacks;
	// ChangeConflictEnded: it has no longer.
	ChangeConflict      = "in conflict"
	ChangeConflictEnded = "conflict ended"
	// ChangeRecovered: the cluster began again from one instance.
	ChangeRecovered = "recovered"
)

// Events of an instance.
const (
	ChangeAdded   = "added"
	ChangeRemoved = "removed from the cluster"
	ChangeRetired = "retired"
)

// Key names a repository.
type Key struct {
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
}

// Compare orders keys by virtual storage, then path.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.VirtualStorage, other.VirtualStorage), cmp.Compare(k.RelativePath, other.RelativePath))
}

// IntentKind says which operations may be under way under an intent.
type IntentKind string

// The kinds of an intent. Open may become primary-only, never back.
const (
	// Open: a write that votes may be under way.
	Open IntentKind = "open"
	// PrimaryOnly: a write that does not vote may be under way.
	PrimaryOnly IntentKind = "primary-only"
)

// Intent says that one incarnation may have a write of the repository under way
// (Kind is set), or that a write of it ended without full account (InDoubt is
// set), or both.
type Intent struct {
	Incarnation Incarnation `json:"incarnation"`
	// Kind is empty when only InDoubt is left.
	Kind IntentKind `json:"kind,omitempty"`
	Scope
	// InDoubt is the doubt that a write left which ended without full account; only ResolveDoubt
	// removes it.
	InDoubt *Doubt `json:"in_doubt,omitempty"`
}

// Scope bounds the possible effects of the writes under an intent, and their duration.
type Scope struct {
	// BoundMillis is how long after the end of their process an effect of
	// them may still come, in milliseconds.
	BoundMillis int64 `json:"bound_ms,omitempty"`
	// RefsOnly is true while every write under the intent is of a method that
	// changes refs only, so that equal checksums prove equal replicas.
	RefsOnly bool `json:"refs_only,omitempty"`
	// Targets are the storages that they may change, sorted; one may have been removed since.
	Targets []string `json:"targets,omitempty"`
}

// Doubt is left by a write that ended without full account.
type Doubt struct {
	// At is the index of the last command that made it; with the incarnation
	// it names the in-doubt intent.
	At Index `json:"at"`
	Scope
}

// Entry is the ledger's record of one repository that it lists. It is
// immutable.
type Entry struct {
	// Intents are sorted by incarnation, one each.
	Intents []Intent `json:"intents,omitempty"`
	// Behind are the storages that miss an acknowledged write, sorted.
	Behind []string `json:"behind,omitempty"`
	// Deleted tells that storages which are behind must remove the repository
	// if its primary does not have it.
	Deleted bool `json:"deleted,omitempty"`
	// Conflicts are, of the storages in Behind, the ones that have data which the
	// primary lacks, sorted by storage.
	Conflicts []Conflict `json:"conflicts,omitempty"`
	// Advancing is the source of the Advance under way, empty if none is: the
	// primary is being copied onto, and is not written to.
	Advancing string `json:"advancing,omitempty"`
	// Wish asks the other instances to let a repair have its turn; nil for none.
	Wish *Wished `json:"wish,omitempty"`
	// Changed is the index of the last command that touched the entry.
	Changed Index `json:"changed"`

	// shrunk is the index at which a storage in sync last became behind, or after
	// it. It is no part of the agreed state: a snapshot does not carry it.
	shrunk Index
}

// VirtualStorage returns the virtual storage of that name, or nil. The virtual storage
// must not be changed.
func (s *State) VirtualStorage(name string) *VirtualStorage {
	i, found := slices.BinarySearchFunc(s.VirtualStorages, name, func(v VirtualStorage, name string) int {
		return strings.Compare(v.Name, name)
	})
	if !found {
		return nil
	}
	return &s.VirtualStorages[i]
}
