package verdict

import "praefect/fsm/state"

// Opinion is what an instance thinks of a storage.
type Opinion string

// The opinions.
const (
	// Unknown: there is no evidence, or none that the instance trusts.
	Unknown Opinion = ""
	// Well: there is a verified connection to the agreed disk.
	Well Opinion = "well"
	// Slow: it answers, but late or badly. It is never failed over for that.
	Slow Opinion = "slow"
	// Dead: nothing listens there, or it was silent for too long, or it has
	// another disk than the agreed one.
	Dead Opinion = "dead"
)

// Report is one instance's opinion of one storage.
type Report struct {
	VirtualStorage string  `json:"virtual_storage"`
	Storage        string  `json:"storage"`
	Opinion        Opinion `json:"opinion,omitempty"`
	// Why explains it, for people.
	Why string `json:"why,omitempty"`
	// FilesystemID is the disk behind the present connection, empty if there
	// is none.
	FilesystemID string `json:"filesystem_id,omitempty"`
	// ConnectedAt is an index that the instance had applied before it made the
	// present connection; 0 if there is none.
	ConnectedAt state.Index `json:"connected_at,omitempty"`
}
