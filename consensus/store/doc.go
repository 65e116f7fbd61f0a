// Package store has the data directory of an instance: the Raft log and the values beside it, the
// snapshots, and the identity of the instance.
//
// Open locks the directory and reads every file, and is refused if one of them cannot be read. A Guard watches
// each call to the log. After the first error, or a call that takes longer than Config.StoreTimeout,
// no call is made any more: a failed fsync is never retried.
//
// While no process has the directory, Inspect, SetAside and Rename serve the commands of operators.
// A recovery writes the new content beside the present one (Disk.Prepare) and then replaces it
// (Disk.SwapIn); FinishRecovery ends one that died.
//
// # The data directory
//
//	lock           held while a process has the directory, by flock
//	instance.json  the random id, whether a log was ever begun, its founders, the
//	               id of the cluster
//	raft.db        log, term and vote (raft-boltdb, each append synced)
//	snapshots/     the last three
//
// A file that cannot be read is an error that names the directory; nothing is ever wiped. The id is
// random, so that a lost directory cannot come back under the former name and vote a second time.
package store
