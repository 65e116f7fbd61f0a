// Package replicator owns the repair of replicas: it finds the storages that are behind, copies the
// missing writes, and declares the storages in sync in the ledger. It promises that only a replica
// that is equal to the primary is declared in sync, that nothing is ever copied onto an in-sync
// storage, and that every difference is found again after any failure. cmd makes one Replicator and
// runs it; the write path calls Enqueue.
//
// # Ledger and queue
//
// The ledger (fsm/state) lists the storages that are behind and the writes that ended in doubt. It
// is complete, and enough to repair from. The queue in Postgres only holds pointers: "look at this
// repository". It may lose jobs, repeat them, or be away; the reconciler compares it with the
// ledger. A job exists while a repair of its repository is possible: a repository that waits for a
// storage that is away has none until the storage is back.
//
// # One repair
//
// plan.Make decides the next step by the view alone. Each step takes the repair lock of the
// repository, opens this instance's intent, decides again under it, acts, and gives the lock back;
// then the next step is decided. Package steps has the order within a step, for this package and the
// simulation.
//
//	       ┌────────────────── plan ◄──────────────────────────┐
//	       │                    │                              │
//	nothing can be      an intent is in doubt   storages are   │
//	done: rest          and due: resolve        behind: copy   │
//	       │                    │                    │         │
//	       │             compare the            primary has it: replicate
//	  too early,         in-sync storages       deleted: remove
//	  or another         with the primary       both lack it: equal
//	  instance's intent:        │               else: look at the others
//	  again later               ▼                    ▼         │
//	                      resolve-doubt         mark-in-sync ──┘
//
// A copy that lasts holds nothing up: beside it the attempt does the steps that become due, in
// further rounds (steps.Step).
//
// A copy never runs before the bound of an in-doubt intent that names its target has
// passed, counted from when this process first saw the intent (firstSeen). The
// intent of a copy carries its targets, and until when the copy may have an effect after
// its caller is gone.
//
// # Writes go first
//
// A repair begins with a guard that admits writes; a write invalidates it, and the copy then only
// shortens the next try. After two invalidated guards, or ten that found a write in flight, writes
// wait (PauseBudget) while the copy is made; a copy that takes longer lets them go on and is
// invalidated. A copy is never cut off for a write: its effect would be unknown. PauseTries pauses in
// vain raise an alarm; the tries go on, further and further apart.
//
// # One storage's trouble
//
// Each storage has room for Workers copies at a time, and for one while copies fail there. A repair
// copies onto the storages that have room, and its job comes back for the rest, later the more
// others wait. So copies that hang at one storage keep no repair of another one waiting, and a
// claim stays one look at the head of the queue.
//
// # Replicas that cannot be repaired in place
//
// After RemakeAfter copies in a row that failed onto a replica, or at once where the
// error says that none will succeed, the replica is removed and copied from nothing.
// plan.Remaking decides, and the state permits it (state.Remake): only where the target
// is behind, nothing is in doubt, and the primary is on another disk. Before, git fsck
// has found no fault in the primary's replica. RemakeLimit bounds how many are made
// again at a time; where copies onto more than RemakeMost replicas of a storage fail,
// none is, and an alarm names the storage.
//
// A primary that takes no writes, while other storages could do them, steps down for the
// next in-sync storage (StepDown), and its replica is removed at once: a copy onto it
// could succeed, and leave the cause of the failed writes. Where more than RemakeMost replicas of a
// storage cannot be written, they stay: the storage is the matter, a full disk for example.
//
// # Each failure's end
//
//   - We die before the intent: nothing happened.
//   - We die under the intent, or a call ends without a status from its storage
//     (cancelled, timed out, connection lost): the intent becomes in doubt. Nothing
//     is copied onto its targets before its bound; then it is resolved, which
//     makes every storage behind that is not proven equal, and they are copied.
//   - A call is answered with an error: its target stays behind, the others go
//     on, the job fails and is tried again with back-off. After Attempts in a
//     row it is dead, stays visible, and is tried once more every DeadRetry, or
//     when a storage comes back. Where a copy onto a replica has failed, its
//     storage does the housekeeping of the replica before the next one: git leaves
//     its locks when it is killed, and Gitaly removes them there.
//   - A proposal has no answer: it was applied or not; the next repair finds out.
//   - We die between the removal of a replica and the copy: the storage is behind
//     and has nothing, and the next repair copies from nothing.
//   - We die after `in-sync` and before the intent is closed: the intent is in doubt,
//     and is resolved by comparison.
//   - The queue is away: repairs wait, writes do not. Up to EnqueueLimit repositories are
//     remembered; when it answers again the reconciler finds the rest. An attempt that cannot be
//     acknowledged comes back when its lease has ended, and the next worker finds nothing to do.
//   - The primary lacks a repository that was not deleted: nothing is removed. If a storage that is
//     not behind has it, resolving makes that one the authority; otherwise the job fails with a
//     text that names the storages that have it.
//
// # Verification
//
// While this instance leads, the verifier compares every replica with its primary's, at a rate
// that is the number of repositories by an interval. A difference for which the ledger has no
// reason, after a second look under the repair lock, is put in doubt, and goes the way of every doubt.
//
// # Backfilling
//
// A storage that is new, or came back with another disk, is backfilled by a scan that needs no
// queue: every repository on each serving storage, every entry of the ledger, and at last the
// repositories that only that storage has. These are removed, unless the storage is new: then they
// were never ours, and an alarm names them. A repository counts as dealt with when the scan has
// declared it in sync, or when the ledger says that the storage is behind. Only then the storage
// serves. A scan that is interrupted begins anew.
package replicator
