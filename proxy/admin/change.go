package admin

import (
	"time"

	"praefect/fsm/state"
)

// Change is the head of every request that changes something.
type Change struct {
	// RequestID names the wanted change: random, made once by the caller that wants it, kept over
	// every repetition.
	RequestID string `json:"request_id"`
	// By is, from a client, the name of the caller, unchecked. A Control gets text for the history
	// that names the change and the caller, such as "operator: promote gitaly-2 (alice@desk): new
	// kernel".
	By string `json:"by,omitempty"`
	// Why is the reason that was given. By contains it.
	Why string `json:"why,omitempty"`
}

// Done answers a change that has nothing else to say.
type Done struct {
	Schema int `json:"schema"`
	// Instance is the name of the instance that answered the client.
	Instance  string `json:"instance"`
	RequestID string `json:"request_id"`
	// Already tells that things were as wanted before, and nothing was changed.
	Already bool `json:"already,omitempty"`
	// Note tells people the consequences, if they are not plain.
	Note string `json:"note,omitempty"`
}

func (d *Done) head() *Done { return d }

// SwitchRequest asks for a switchover: Promote or Drain.
type SwitchRequest struct {
	Change
	// VirtualStorage may be empty if only one has the storage; a Control gets it
	// filled in.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// Storage is the one to promote or to drain.
	Storage string `json:"storage"`
	// Epoch, if not 0, is the epoch that the virtual storage must have: that of the plan that was
	// looked at. Otherwise the request is Refused.
	Epoch uint64 `json:"epoch,omitempty"`
	// Force does not wait for dead storages: neither for repositories that only
	// a dead storage could copy, nor for the consent of a dead primary. It
	// never skips the fence.
	Force bool `json:"force,omitempty"`
	// DryRun plans, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// TimeoutMillis bounds the time until the cut-over; 0 is the instance's default.
	TimeoutMillis int64 `json:"timeout_ms,omitempty"`
}

// Timeout is TimeoutMillis as a duration.
func (r SwitchRequest) Timeout() time.Duration {
	return time.Duration(r.TimeoutMillis) * time.Millisecond
}

// Plan describes a switchover, as seen before its first step.
type Plan struct {
	VirtualStorage string `json:"virtual_storage"`
	Epoch          uint64 `json:"epoch"`
	// Primary is the present primary, empty if there is none. Successor is the primary afterwards.
	Primary   string `json:"primary"`
	Successor string `json:"successor"`
	// Fenced are the storages that are fenced on the way.
	Fenced []string `json:"fenced"`
	// Already tells that there is nothing to do.
	Already bool `json:"already,omitempty"`
	// Behind is how many repositories the successor misses writes of now. Clients
	// write to Busy of them: each keeps its present primary until it is repaired.
	Behind int `json:"behind"`
	Busy   int `json:"busy"`
	// InDoubt is how many repositories have a write with an unknown outcome.
	InDoubt int `json:"in_doubt"`
	// Serving is how many storages serve afterwards, Copies how many must have a
	// write according to the settings.
	Serving int `json:"serving_after"`
	Copies  int `json:"copies"`
	// Unavailable is how many repositories of the virtual storage have no in-sync storage that
	// serves now. A switchover does not change that.
	Unavailable int `json:"unavailable_repositories"`
	// InFlight is how many writes are under way at the instances that said so.
	InFlight int `json:"in_flight"`
	// PauseMillis is how long new writes wait at most.
	PauseMillis int64 `json:"pause_ms"`
	// Warnings are for people, one sentence each.
	Warnings []string `json:"warnings,omitempty"`
}

// Stage is a step of a switchover.
type Stage string

// The stages in their order. Until StageFence nothing has changed, and the
// switchover can be given up; from then on it is carried to its end, by the
// next leader if need be.
const (
	StagePlan         Stage = "plan"
	StageCatchUp      Stage = "catch-up"      // repositories are copied to the successor
	StagePauseWrites  Stage = "pause-writes"  // new writes wait, running ones end
	StageFence        Stage = "fence"         // the cut-over has begun
	StageAdmit        Stage = "admit"         // every instance knows of the fence
	StageResumeWrites Stage = "resume-writes" // the successor is primary
)

// CutOver tells that it is too late to give up.
func (s Stage) CutOver() bool { return s == StageFence || s == StageAdmit || s == StageResumeWrites }

// Progress is where a switchover is.
type Progress struct {
	Stage Stage `json:"stage"`
	// Plan comes with the first one.
	Plan *Plan `json:"plan,omitempty"`
	// Behind is how many repositories the successor still misses writes of.
	Behind int `json:"behind,omitempty"`
	// InFlight is how many writes have not ended yet.
	InFlight int `json:"in_flight,omitempty"`
	// Waiting are the names of the instances that are waited for.
	Waiting []string `json:"waiting,omitempty"`
}

// SwitchResponse is how a switchover ended, or its plan.
type SwitchResponse struct {
	Done
	Plan   Plan `json:"plan"`
	DryRun bool `json:"dry_run,omitempty"`
	// Epoch and Primary are the epoch and the primary of the virtual storage afterwards.
	Epoch   uint64 `json:"epoch"`
	Primary string `json:"primary"`
	// TookMillis is the time from the request to the end, PausedMillis that from
	// the pause to its end: how long a write can have waited.
	TookMillis   int64 `json:"took_ms"`
	PausedMillis int64 `json:"paused_ms"`
}

// UndrainRequest lets a drained storage return.
type UndrainRequest struct {
	Change
	VirtualStorage string `json:"virtual_storage,omitempty"` // as in SwitchRequest
	Storage        string `json:"storage"`
}

// RefillRequest has a storage backfilled that is out of use.
type RefillRequest struct {
	Change
	VirtualStorage string `json:"virtual_storage,omitempty"` // as in SwitchRequest
	Storage        string `json:"storage"`
	// DryRun looks whether it may be, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// RefillResponse describes the backfilling of a storage, or the one that would begin.
type RefillResponse struct {
	Done
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	// State is that of the storage before, and Sources are the storages that serve.
	State   state.StorageState `json:"state"`
	Sources []string           `json:"sources"`
	// Behind is how many repositories in the ledger the storage is known to miss writes of.
	Behind int  `json:"behind"`
	DryRun bool `json:"dry_run,omitempty"`
}

// PauseRequest switches automatic failover off.
type PauseRequest struct {
	Change
	// VirtualStorage is the one, or empty for all.
	VirtualStorage string `json:"virtual_storage,omitempty"`
	// ForMillis is for how long, by the leader's clock; 0 is until Resume.
	ForMillis int64 `json:"for_ms,omitempty"`
}

// For is ForMillis as a duration.
func (r PauseRequest) For() time.Duration { return time.Duration(r.ForMillis) * time.Millisecond }

// ResumeRequest switches automatic failover on.
type ResumeRequest struct {
	Change
	// VirtualStorage is the one, or empty for all.
	VirtualStorage string `json:"virtual_storage,omitempty"`
}

// PauseResponse tells which virtual storages were paused or resumed.
type PauseResponse struct {
	Done
	VirtualStorages []string `json:"virtual_storages"`
	// Until is when automatic failover goes on by itself; nil if it does not.
	Until *time.Time `json:"until,omitempty"`
}

// AcceptLossRequest declares a replica the right one: content that only the others have is given
// up. It is Refused while a write may be under way.
type AcceptLossRequest struct {
	Change
	VirtualStorage string `json:"virtual_storage"`
	RelativePath   string `json:"relative_path"`
	Storage        string `json:"storage"`
}

// RetryRequest makes dead replication jobs ready, and failed ones that are due later.
type RetryRequest struct {
	Change
	VirtualStorage string `json:"virtual_storage,omitempty"` // empty for all
	RelativePath   string `json:"relative_path,omitempty"`   // empty for all
}

// RetryResponse tells how many jobs became ready.
type RetryResponse struct {
	Done
	Retried int `json:"retried"`
}

// AddRequest lets an instance join.
type AddRequest struct {
	Change
	// Name is the instance's name in its own settings.
	Name string `json:"name"`
	// Addr is the host:port of its Raft port.
	Addr string `json:"addr"`
}

// RemoveRequest takes an instance out of the cluster.
type RemoveRequest struct {
	Change
	// Name is the instance's name or its id.
	Name string `json:"name"`
	// Force removes it though the rest may then have no quorum.
	Force bool `json:"force,omitempty"`
}

// RetireRequest says that the process of an instance is gone.
type RetireRequest struct {
	Change
	// Name is the instance's name or its id.
	Name string `json:"name"`
}

// TransferRequest hands over leadership.
type TransferRequest struct {
	Change
	// Name is the name or id of the instance to lead; empty is any other one.
	Name string `json:"name,omitempty"`
}
