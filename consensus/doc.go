// Package consensus owns this instance's part in the Raft cluster: its start and its end, the path of
// commands into the log, and its status. The log on disk is in package store, the Raft library in
// package library, the members in package membership.
//
// It promises that a command is answered only when it is durable and applied in
// the instance's own view; that an answer which is not known is never guessed;
// and that an instance whose disk errs or hangs takes itself out.
//
// The command line program opens and runs a Node; proxy, replicator and the
// session see the few methods of it that they declare.
//
// # The life of a node
//
//	Open      lock the data directory, open the port for peers, and, if there is
//	          state or the instance is alone, verify and restore it
//	Run       come to a cluster ─▶ register ─▶ retire former lives ─▶ ready ─▶ propose
//	ctx ends  finish the batch under way, hand leadership over, stop the
//	          library, close the directory, close the port
//
// Alone, an instance is a cluster of one in the same code and on the same disk format as a larger
// one; only the network is missing. It becomes the first of three when it gets a port and peers: it
// takes its address, and the empty instances join.
//
// # A command
//
// Propose queues a command. One goroutine gathers the queue into a batch, gives it a request id,
// the incarnation and the next number, and proposes it, by itself or by way of the leader, one hop.
// Its end:
//
//   - applied or refused: results, once the view of this instance has them;
//   - ErrNotProposed: certainly not in the log (the queue was full, the caller
//     left while it waited, the node is not ready or stops);
//   - ErrUnknown: it may be. The node proposes the batch again under the same request id, to the
//     leader of that moment, until it learns the answer, and proposes nothing else before, because
//     a later batch would make the former one's number stale. Only a caller that leaves, or the end
//     of the node, ends without it.
//
// ProposeAs bypasses the queue: it proposes once, and only into the log of its own term.
//
// # How failures end
//
//   - The disk errs, or has not answered for Config.StoreTimeout: all connections to peers are
//     dropped and none is made any more, so that the others elect another leader; every goroutine
//     of the library that needs the disk ends, Run returns the error, and the process must exit. A
//     failed fsync is never retried. The outcome of the batch under way is unknown; the next life
//     finds it in the log, or does not.
//   - The port for peers refuses connections only when the process has ended, or Run has ended in
//     order: the other instances take that as proof that this incarnation can have no further
//     effect, and retire it.
//   - The cluster retires this incarnation, or removes the instance: Run returns
//     ErrRetired or ErrRemoved, and the process must end.
//   - The quorum is lost: nothing is committed, and every proposal waits.
//   - The process dies at any point: the next life replays the log, registers as a new incarnation
//     and retires this one, whose intents become in-doubt ones.
//   - A second process on the same directory waits for the lock and gives up
//     with an error.
//   - A snapshot fails: it is logged, and the log stays longer.
//   - An entry of the log cannot be decoded: package fsm stops the process.
package consensus
