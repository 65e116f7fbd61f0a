package admin

import "praefect/fsm/state"

// ExplainRequest asks for everything that is known of one repository.
type ExplainRequest struct {
	// VirtualStorage may be empty if there is one only.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	RelativePath   string `json:"relative_path"`
}

// ExplainResponse tells it, as the answering instance sees it.
type ExplainResponse struct {
	Schema int `json:"schema"`
	// Instance is the name of the instance that answered.
	Instance       string `json:"instance"`
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	// Index is that of the replicated state by which it answers.
	Index  state.Index `json:"index"`
	Routes Routes      `json:"routes"`
	// Entry is the ledger's entry of the repository; nil if it is clean.
	Entry *Entry `json:"entry"`
	// Storages are the storages of the virtual storage, in the order of the succession.
	Storages []Replica `json:"storages"`
	// Existence is the answer of an in-sync storage to whether it has the repository.
	Existence Existence `json:"existence"`
	// Jobs are the repair jobs of it; if JobsError is set they cannot be read now.
	Jobs      []Job  `json:"jobs"`
	JobsError string `json:"jobs_error,omitempty"`
	// WaitsFor says why its repair waits; nil if it does not.
	WaitsFor *Waiting `json:"waits_for,omitempty"`
	// Changes are the last ones of the repository, of its virtual storage and storages, and
	// of the instances that have an intent, oldest first.
	Changes []Event `json:"changes"`
}

// Routes are the decisions of the answering instance's router.
type Routes struct {
	Reads  ReadRoute  `json:"reads"`
	Writes WriteRoute `json:"writes"`
	// Leased tells that the instance may route writes, and that its reads are up to date.
	Leased bool `json:"leased"`
}

// ReadRoute tells where reads go.
type ReadRoute struct {
	// Storages are the storages that a read may go to; a later one is tried if the ones before it
	// fail.
	Storages []string `json:"storages"`
	// Rule is any-in-sync, primary-only or primary-first.
	Rule string `json:"rule"`
	// Why says so for people.
	Why string `json:"why"`
	// Refused is the error for a client if no storage can answer.
	Refused string `json:"refused,omitempty"`
}

// WriteRoute tells where writes go.
type WriteRoute struct {
	Primary string `json:"primary"`
	// Others are the destinations that vote beside the primary.
	Others []string `json:"others"`
	Votes  bool     `json:"votes"`
	// Mute is the storage that cannot vote, because of which no write is voted on; Eventual
	// tells that the settings want none to be.
	Mute     string `json:"mute,omitempty"`
	Eventual bool   `json:"eventual,omitempty"`
	Epoch    uint64 `json:"epoch"`
	// Paused tells that writes wait for a switchover.
	Paused bool   `json:"paused,omitempty"`
	Why    string `json:"why"`
	// Waits is the first reason for which a write that comes now waits, empty if there is none.
	Waits string `json:"waits,omitempty"`
	// Refused is why there is no destination now.
	Refused string `json:"refused,omitempty"`
}

// Entry is the entry of a repository in the ledger.
type Entry struct {
	Intents []Intent `json:"intents"`
	Behind  []string `json:"behind"`
	// Deleted tells that storages which are behind must remove the repository.
	Deleted bool `json:"deleted,omitempty"`
	// Advancing is the storage from which the primary is being copied onto.
	Advancing string           `json:"advancing,omitempty"`
	Conflicts []state.Conflict `json:"conflicts,omitempty"`
	// Changed is the index of its last change.
	Changed state.Index `json:"changed"`
}

// InstanceLife is the stage of an incarnation's life.
type InstanceLife string

// The stages of an incarnation's life.
const (
	// LifeLive: it is registered, and is the last one of its instance.
	LifeLive InstanceLife = "live"
	// LifeReplaced: its instance has started again; it is about to be retired.
	LifeReplaced InstanceLife = "replaced"
	// LifeRetired: nothing of it is applied any more.
	LifeRetired InstanceLife = "retired"
)

// Intent stands for the writes that one incarnation may have under way, or has left.
type Intent struct {
	// Instance is its name, empty if it is retired.
	Instance    string            `json:"instance,omitempty"`
	Incarnation state.Incarnation `json:"incarnation"`
	Life        InstanceLife      `json:"life"`
	// LeaseMillis is the remaining time of its lease, 0 if it has none; nil if the leader could
	// not be asked.
	LeaseMillis *int64 `json:"lease_ms,omitempty"`
	// Kind is open or primary-only of a live intent; empty if only doubt is left.
	Kind string `json:"kind,omitempty"`
	// Targets are the storages that it may change, and BoundMillis for how long after the
	// end of its process it may.
	Targets     []string `json:"targets,omitempty"`
	BoundMillis int64    `json:"bound_ms,omitempty"`
	// InDoubt is the doubt that a write of an unknown outcome left.
	InDoubt *state.Doubt `json:"in_doubt,omitempty"`
}

// Replica is one storage as far as it concerns a repository.
type Replica struct {
	Storage string             `json:"storage"`
	State   state.StorageState `json:"state"`
	Why     string             `json:"why,omitempty"`
	// Role is primary, in-sync, behind or, beside these, not-serving.
	Role string `json:"role"`
	// InDoubt tells that a write of an unknown outcome may have changed it, Conflict that it has
	// content that the primary lacks, Removes that the repository is to be removed there.
	InDoubt   bool `json:"in_doubt,omitempty"`
	Conflict  bool `json:"conflict,omitempty"`
	Removes   bool `json:"removes,omitempty"`
	Reachable bool `json:"reachable"`
	// Error says why it is slow or not reachable.
	Error string `json:"error,omitempty"`
}

// Existence is an answer to whether there is a repository.
type Existence struct {
	// Storage is the one that was asked last.
	Storage string `json:"storage,omitempty"`
	// Exists is nil if no storage could tell, which Error explains.
	Exists *bool  `json:"exists"`
	Error  string `json:"error,omitempty"`
}
