package admin

import (
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// Schema is the version of the responses as JSON. It rises when a field changes its meaning or
// goes; a new field alone does not raise it. The messages of the service need none.
const Schema = 1

// StatusRequest asks how the virtual storages are.
type StatusRequest struct {
	// VirtualStorage limits the answer to one; empty for all.
	VirtualStorage string `json:"virtual_storage,omitempty"`
}

// StatusResponse tells how they are, as the answering instance sees them.
type StatusResponse struct {
	Schema int `json:"schema"`
	// Instance is the name of the instance that answered.
	Instance string `json:"instance"`
	// Leader is the name of the leader, empty if the instance knows of none.
	Leader string `json:"leader"`
	// OwnView tells that the instance knows of no leader: the others may have
	// agreed on something newer, and nothing can be written here for long.
	OwnView         bool             `json:"own_view,omitempty"`
	VirtualStorages []VirtualStorage `json:"virtual_storages"`
	Level
	// Health is the worst of Conditions, which are the conditions of the whole cluster, the worst
	// first.
	Health     condition.Health      `json:"health"`
	Conditions []condition.Condition `json:"conditions"`
}

// VirtualStorage is one virtual storage in a StatusResponse.
type VirtualStorage struct {
	Name string `json:"name"`
	// Primary is the storage that takes the writes of every repository which
	// the ledger does not list; empty if none does.
	Primary string `json:"primary"`
	Epoch   uint64 `json:"epoch"`
	// Paused tells that automatic failover is switched off for now, Pause how.
	Paused bool   `json:"paused"`
	Pause  *Pause `json:"pause,omitempty"`
	// Health is the worst of the conditions of the virtual storage and of the cluster's.
	Health condition.Health `json:"health"`
	// Conflicts is how many repositories have replicas of which neither contains the
	// other.
	Conflicts int `json:"conflicts"`
	// Unavailable is how many of the repositories that the ledger lists have no in-sync storage
	// that serves and is reachable.
	Unavailable int       `json:"unavailable_repositories"`
	Storages    []Storage `json:"storages"`
}

// Pause is an operator's word that there is to be no automatic failover.
type Pause struct {
	// Until is when it ends by itself; nil if it does not.
	Until *time.Time `json:"until,omitempty"`
	Why   string     `json:"why,omitempty"`
	By    string     `json:"by,omitempty"`
}

// Storage is one storage in a StatusResponse, in the order of succession.
type Storage struct {
	Name  string             `json:"name"`
	State state.StorageState `json:"state"`
	// Why tells why a storage is fenced or out.
	Why string `json:"why,omitempty"`
	// Reachable tells that the answering instance can send requests to it.
	Reachable bool `json:"reachable"`
	// Slow tells that it is reachable but fails its health checks.
	Slow bool `json:"slow,omitempty"`
	// Votes tells that the answering instance's connection to it has, or last had,
	// a backchannel, without which no write to it is voted on.
	Votes bool `json:"votes"`
	// Version and GitVersion are the versions of Gitaly and git on it, when the answering instance
	// last reached it.
	Version    string `json:"version,omitempty"`
	GitVersion string `json:"git_version,omitempty"`
	// Error says why it is slow or not reachable.
	Error string `json:"error,omitempty"`
	// Since is when it became reachable or unreachable.
	Since *time.Time `json:"since,omitempty"`
	// Behind is how many repositories miss acknowledged writes on it.
	Behind int `json:"behind"`
	// Backfilling is how far the backfilling of a storage is that is being backfilled.
	Backfilling *Backfilling `json:"backfilling,omitempty"`
}

// Backfilling is how far a scan is that copies every repository onto a storage.
type Backfilling struct {
	// Total is how many repositories it looks at, as counted at its start.
	Total int `json:"total"`
	// Done is how many of them it has dealt with, Left how many it has put off.
	Done int `json:"done"`
	Left int `json:"left,omitempty"`
}

// HistoryRequest asks for the changes of the virtual storages.
type HistoryRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// After limits the answer to changes after this index, for a caller that follows them.
	After state.Index `json:"after,omitempty"`
	// Limit is how many changes at most, the newest; 0, or more than MaxPage, is
	// MaxPage.
	Limit int `json:"limit,omitempty"`
}

// HistoryResponse tells it, oldest first. The cluster remembers the last
// state.HistoryLength changes of each virtual storage.
type HistoryResponse struct {
	Schema   int     `json:"schema"`
	Instance string  `json:"instance"`
	Changes  []Event `json:"changes"`
}

// Event is one change in a HistoryResponse.
type Event struct {
	VirtualStorage string      `json:"virtual_storage"`
	Index          state.Index `json:"index"`
	Epoch          uint64      `json:"epoch"`
	Time           time.Time   `json:"time"`
	// Change is the storage's new state, or names another event.
	Change string `json:"change"`
	// Storage is empty if the change is one of the whole virtual storage.
	Storage string `json:"storage,omitempty"`
	// RelativePath is set for a change of one repository, Instance for one of an
	// instance; then VirtualStorage is empty.
	RelativePath string `json:"relative_path,omitempty"`
	Instance     string `json:"instance,omitempty"`
	Why          string `json:"why,omitempty"`
	By           string `json:"by,omitempty"`
}

// DatalossRequest asks for the repositories of which some storage misses an
// acknowledged write. Its answer comes in pages.
type DatalossRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// RelativePath limits the answer to the repositories of that path.
	RelativePath string `json:"relative_path,omitempty"`
	// After is the last repository of the page before; nil for the first page.
	After *state.Key `json:"after,omitempty"`
	// Limit bounds the page; 0, or more than MaxPage, is MaxPage.
	Limit int `json:"limit,omitempty"`
}

// DatalossResponse is one page of them, by virtual storage and path.
type DatalossResponse struct {
	Schema       int          `json:"schema"`
	Repositories []Repository `json:"repositories"`
	// More tells that there is another page.
	More bool `json:"more,omitempty"`
}

// Repository is one repository in a DatalossResponse.
type Repository struct {
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	// Available tells that a storage that is in sync for it serves and is
	// reachable: it can be read, and nothing is lost.
	Available bool `json:"available"`
	// Behind are the storages that miss an acknowledged write.
	Behind []string `json:"behind"`
	// Conflicts are the ones of them with content that the primary lacks, with both sides
	// as they were when they were compared. Nothing is copied onto them before
	// AcceptLoss names the storage that counts.
	Conflicts []state.Conflict `json:"conflicts,omitempty"`
}

// QueueListRequest asks for replication jobs. Its answer comes in pages.
type QueueListRequest struct {
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// RelativePath limits the answer to the repositories of that path.
	RelativePath string `json:"relative_path,omitempty"`
	// State limits the answer to ready, in_progress, failed or dead jobs.
	State string `json:"state,omitempty"`
	// After is the id of the last job of the page before.
	After int64 `json:"after,omitempty"`
	// Limit bounds the page; 0, or more than MaxPage, is MaxPage.
	Limit int `json:"limit,omitempty"`
}

// QueueListResponse is one page of them, by rising id.
type QueueListResponse struct {
	Schema int   `json:"schema"`
	Jobs   []Job `json:"jobs"`
	// More tells that there may be another page.
	More bool `json:"more,omitempty"`
}

// Job is one replication job: a repository that may need repair.
type Job struct {
	ID             int64  `json:"id"`
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	// Target names the storages that were behind when the job was made, with
	// commas between.
	Target string `json:"target"`
	// State is ready, in_progress, failed or dead.
	State string `json:"state"`
	// Attempt is how often it was begun.
	Attempt int    `json:"attempt"`
	Reason  string `json:"reason,omitempty"`
	// Error is why the last attempt failed.
	Error string `json:"error,omitempty"`
	// WaitsFor says why the repair waits, as far as the answering instance knows; nil if only for
	// its time.
	WaitsFor *Waiting  `json:"waits_for,omitempty"`
	Created  time.Time `json:"created"`
	// NotBefore is when a waiting job is due.
	NotBefore time.Time `json:"not_before"`
}

// MaxPage is the most repositories or jobs that one answer holds; with paths
// of usual length it stays far below gRPC's limit of 4 MiB.
const MaxPage = 1000
