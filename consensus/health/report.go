package health

import "praefect/fsm/state"

// Status is the state in which an instance finds a storage.
type Status string

// The statuses of a storage.
const (
	// Unknown: there is no evidence, or none that the instance trusts.
	Unknown Status = ""
	// Well: there is a verified connection to the agreed disk.
	Well Status = "well"
	// Slow: it answers, but late or badly. It is never failed over for that.
	Slow Status = "slow"
	// Dead: nothing listens there, or it was silent for too long, or it has
	// another disk than the agreed one.
	Dead Status = "dead"
)

// Report is the judgement of one instance about one storage.
type Report struct {
	VirtualStorage string `json:"virtual_storage"`
	Storage        string `json:"storage"`
	Status         Status `json:"status,omitempty"`
	// Why explains it, for people.
	Why string `json:"why,omitempty"`
	// FilesystemID is the disk behind the present connection, empty if there
	// is none.
	FilesystemID string `json:"filesystem_id,omitempty"`
	// ConnectedAt is an index that the instance had applied before it made the
	// present connection; 0 if there is none.
	ConnectedAt state.Index `json:"connected_at,omitempty"`
}
