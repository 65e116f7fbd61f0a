// Package reachability has the facts about the ways to the storages, by which an instance reports the health
// of each one to the leader.
package reachability

// Observation has the facts that one instance knows about its way to one storage.
type Observation struct {
	VirtualStorage, Storage string
	// Generation names the connection; it is another one for every connection, 0 if there is none.
	Generation uint64
	// Reachable tells that there is a verified connection, to the disk
	// FilesystemID; Slow that it answers late or badly.
	Reachable, Slow bool
	FilesystemID    string
	// Agreed is the disk that the replicated state speaks of, empty if it does
	// not know one yet. The session knows it, the connections do not.
	Agreed string
	// Refused tells that nothing listens there: the connection was lost, or
	// there was none, and the attempt to make another one was refused or reset.
	Refused bool
	// Silent tells that nothing was heard for too long.
	Silent bool
	// Err explains why the storage is not well.
	Err error
}
