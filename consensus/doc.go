// Package consensus owns this instance's part in the Raft cluster: its
// identity, its log on disk, and the way of commands into the log.
//
// It promises that a command is answered only when it is durable and applied in
// the instance's own view; that an answer which is not known is never guessed;
// and that an instance whose disk errs or hangs takes itself out.
//
// The command line program opens and runs a Node; proxy and replicator see the
// few methods of it that they declare.
//
// # The life of a node
//
//	Open      lock the data directory, verify and restore what it holds
//	Run       lead ─▶ register ─▶ retire former lives ─▶ ready ─▶ propose
//	ctx ends  finish the batch under way, stop the library, close, unlock
//
// Alone, an instance is a cluster of one in the same code and on the same disk
// format as a larger one; only the network is missing.
//
// # The data directory
//
//	lock           held while a process has the directory, by flock
//	instance.json  the random id, and whether a log was ever begun
//	raft.db        log, term and vote (raft-boltdb, each append synced)
//	snapshots/     the last three
//
// Whatever cannot be read is an error that names the directory; nothing is ever
// wiped or begun anew. The id is random so that a directory which was lost
// cannot come back under the former name and vote a second time.
//
// # A command
//
// Propose queues it; one goroutine gathers what is queued into a batch, gives it
// a request id, the incarnation and the next number, and proposes it. Its end:
//
//   - applied or refused: results, once the view has them;
//   - ErrNotProposed: certainly not in the log (the queue was full, the caller
//     left while it waited, the node is not ready or stops);
//   - ErrUnknown: it may be. The node proposes the batch again under the same
//     request id until it learns the answer, and proposes nothing else before,
//     as a later batch would make the former one's number stale. Only a caller
//     that leaves, or the end of the node, ends without it.
//
// # How failures end
//
//   - The disk errs, or has not answered for Config.StoreTimeout: every
//     goroutine of the library that needs it ends, Run returns the error, and
//     the process must exit. A failed fsync is never retried. What was under
//     way is unknown; the next life finds it in the log, or does not.
//   - The process dies at any point: the next life replays the log, registers
//     as a new incarnation and retires this one, whose marks become dirty.
//   - A second process on the same directory waits for the lock and gives up
//     with an error.
//   - A snapshot fails: it is logged, and the log stays longer.
//   - An entry of the log cannot be decoded: package fsm stops the process.
package consensus
