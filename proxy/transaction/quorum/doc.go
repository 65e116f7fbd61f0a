// Package quorum decides on the votes that the storages of one write cast. It promises to be pure:
// no goroutine, lock, clock or I/O. Its driver is package transaction; the simulation is the other
// caller.
//
// # A round
//
// A write has several rounds of votes, one after the other: its change is prepared, then committed,
// and so on for each thing that the write changes. In each round a storage casts one vote, the hash
// of its intended change, and waits for the answer.
//
//	primary votes ─▶ others vote the same ─▶ all are there, or the grace is over
//	                                        ─▶ Account{agreeing} ─▶ the ledger has all others as behind
//	                                        ─▶ Reply{commit} to the agreeing storages
//
// The primary is always needed, and its vote decides. A storage that votes otherwise, or too late,
// is out: its votes are answered with abort, in this round and in every later one, because it lacks
// the changes of the others. So the storages that are in have always cast the same number of votes.
//
// The grace is a quarter of the time that the write has taken so far, within bounds; it counts from
// the vote of the primary. A storage that lives, and was in time so far, is waited for longer
// (VoteTimeout): git may wait there for a lock. Hurry says which storages are given the grace alone.
//
// # Too few votes
//
// A quorum is the primary, a majority of the destinations, and Copies in all. With fewer votes the
// write waits for storages that may yet vote: longer than git waits for any lock, and longer than a
// hanging storage goes unnoticed (VoteTimeout). Then the setting decides: the write goes on with the
// agreeing storages (Account.Short says so), or it is aborted. It is aborted in any case if a
// majority agrees on another hash than the primary's.
//
// # A primary that cannot write
//
// git that cannot write, because the disk is full or a lock was left, tells the client itself, and
// the call ends with its last vote. Alike at all storages that says that there was nothing to be
// changed. If another storage is ready to make the change, the write is aborted: nothing has
// changed anywhere, and the storage that could write does not fall behind the primary that could
// not. PrimaryFailed says so, and the proxy has such a primary step down.
//
// # Storages of different releases
//
// While storages are upgraded one by one, the same change may have different hashes: a release, and
// the git that it runs, choose the input of a hash. OtherRelease are the storages that run another
// release than the primary. An equal vote of such a storage counts like any other. A vote that no
// storage of the primary's release has cast says nothing about the change: the storage is left out,
// which is neither a vote against the primary nor a missing vote, because a majority is then one of
// the remaining storages. Copies are not fewer because of that: a primary that is alone with its
// release has too few votes, and the setting decides as below.
//
// # Two writes that wait for each other
//
// Storages lock the references of a write before they vote that it is prepared, and unlock them
// before they vote that it is committed. Two writes that took their locks in opposite order at two
// storages would wait permanently: each has the vote of a storage that the other waits for. Contend
// finds them. In a circle of three or more there are always two such writes, because two writes
// conflict at every storage or at none. One of them gives its locks up and takes them again later (see
// Run); if that is not possible, it is aborted.
package quorum
