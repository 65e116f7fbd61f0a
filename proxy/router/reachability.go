package router

import "praefect/fsm/state"

// Reachability is this instance's knowledge of its connection to one storage.
type Reachability struct {
	// OK is true while a verified connection exists.
	OK bool
	// FilesystemID is the id of the disk behind that connection. A storage is
	// used only while it is the one that the view speaks of: another disk under
	// the same name holds other data.
	FilesystemID string
	// Backchannel tells that the storage can vote over that connection.
	Backchannel bool
	// Stalled tells that nothing is heard over that connection for now.
	Stalled bool
	// Outstanding counts the requests under way on the connection.
	Outstanding int64
	// Why tells people why OK is false.
	Why error
}

// ReachabilityOf tells how the storages of one virtual storage can be reached.
type ReachabilityOf func(storage string) Reachability

// usable tells whether requests may go to s over the connection r: it leads to
// the disk that the view speaks of. (▲ router-other-disk)
func usable(s *state.Storage, r Reachability) bool {
	return r.OK && r.FilesystemID == s.FilesystemID
}
