// Package state owns the replicated state and the rules by which commands
// change it.
//
// It promises to be pure: no clock, randomness, I/O, logging or map order, so
// that the same log gives the same State, to the byte of its snapshot, on every
// instance.
//
// Any goroutine may read a State; only package fsm applies commands to one.
//
// # What it holds
//
// The live incarnations, the virtual storages with their succession, and the ledger: the list of
// repositories that are not clean. A clean repository, with the same content on every serving
// storage, has no entry, so that the state grows with the number of faults and not with the number
// of repositories.
//
// # A storage
//
//	define ──▶ backfilling ──backfilled──▶ serving ──fence──▶ fenced ──admit──▶ out (dead)
//	              ▲                 │ ▲ ▲               │                │ │ drain, undrain
//	              ├──another disk───┘ │ └───────admit───┤                │ ▼
//	              ├───────────────────┼──another disk───┘                │ out (drained)
//	              │                   └────────────same disk─────────────┤
//	              └────────────────────────another disk──────────────────┘
//
// The first storage of a new virtual storage serves at once: there is nothing that it could lack. A
// storage that becomes serving goes to the end of the succession, and so does a storage whose fence
// ends, so that storages which serve never change their order. A storage that becomes backfilling
// becomes behind for the whole ledger: a scan copies the clean repositories onto it, repair does
// the others.
//
// # The primary
//
// The primary of a repository is its first in-sync storage, provided that it serves. To give the
// role to another one takes two commands. Fence takes it from the present holders: no write that
// was routed to them earlier counts any more, and because they keep their places, no other storage
// is primary yet. Then the leader waits until every instance has applied the fence, or its lease
// must have ended. Admit moves the fenced ones to the end: the next storage in the succession is
// primary.
//
// Both name the epoch at which they were decided, so that of two decisions about one
// state only one is applied; and Admit, like Retire, names the Raft term in which its
// leader waited: the table of leases which it has seen run out was its own.
//
// A leader that dies between the two leaves a complete state. The storages are fenced since an
// index that every instance must have applied, and Storage.Why tells how the fence ends: WhyDead
// and WhyDrained as out, WhySwitchover as serving.
//
// A fence does not touch intents. A write on a fenced storage ends at its instance, which accounts
// for it; a storage that was fenced after a write's epoch counts as behind in MarkBehind even if it
// serves again; and no repair declares a fenced storage in sync.
//
// # A repository
//
//	clean ──open──▶ open or primary-only ──close, clean──▶ clean, or behind
//	                        │
//	                        └──close, in doubt, or retire──▶ in doubt ──resolve──▶
//
// Behind and the intents are independent: MarkBehind adds to Behind, MarkInSync and ResolveDoubt
// account for it. An entry without intents and without Behind is removed.
//
// A repository that is in sync nowhere is unavailable: the storage with its latest writes is out,
// or lost. It heals when that storage returns; or an operator accepts the loss and names the
// storage that counts. AcceptLoss leaves in-doubt intents, because their writes may still have
// effects, on the chosen storage too.
//
// # Invariants
//
// Of each state, as Check finds them:
//
//	I1  Each set is sorted and names nothing twice; names are text.
//	I2  Nothing is of an index or epoch to come.
//	I3  The cluster has an id, and one length of leases.
//	I4  A virtual storage is never without a storage that serves, so that an
//	    clean repository is always in sync somewhere.
//	I5  A storage is fenced or out for a reason that fits, and fenced at an epoch; it
//	    is New only until it serves.
//	I6  An entry says something, and of storages that there are. Only the targets of an
//	    intent may have been removed: an operation that it began on them goes on.
//	I7  A live intent is of a live incarnation: Retire makes the intents of the retired one
//	    in doubt, and no command of it is applied afterwards.
//	I8  An in-doubt intent is named by an index not later than the last change.
//	I14 A storage in conflict is behind; one that is uncompared is backfilling.
//
//	I14 Every live incarnation knows the feature level of the state (level.go).
//
// Of each change, as the property tests find them:
//
//	I9   Epochs, indices and incarnations only rise. The epoch rises with each role
//	     that is given or taken: a virtual storage has one primary an epoch (P1).
//	I10  Storages that serve never change their order, and one that is fenced keeps
//	     its place among them until Admit.
//	I11  A storage in sync for a repository (serving or fenced, and not behind) has
//	     every write that was acknowledged (P3). MarkBehind makes every storage behind that
//	     is not known to agree; only MarkInSync and ResolveDoubt take it back, and only if
//	     the entry has not changed since they looked and no other instance may write.
//	I12  An in-doubt intent goes by ResolveDoubt only, which names it by its index.
//	I13  An applied MarkBehind was made on the repository's primary, and no fence of it
//	     came between the write's epoch and here.
//
// # How failures end
//
//   - A proposer that does not learn the answer repeats its batch: the request
//     id is remembered for the next AnswersKept batches, and later its number
//     keeps the ledger commands from being applied again.
//   - A proposer that dies is retired, by its next incarnation or upon other proof; its unfinished
//     writes are in doubt, and are resolved by comparison.
//   - A leader loses its term: its command is refused if it reaches the log by way of another
//     leader, and the other leader decides again.
//   - A command that may not be applied is refused, as a value; the others of
//     its batch are applied. A refused command has changed nothing.
//   - A log entry that cannot be decoded stops the process (package fsm):
//     skipping it would let the instances differ. One of a higher feature level
//     takes the instance out of the cluster, with an error that says so.
//   - A broken log, whose indices do not rise, panics.
package state
