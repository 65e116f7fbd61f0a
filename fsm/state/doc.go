// Package state owns the replicated state and the rules by which commands
// change it.
//
// It promises to be pure: no clock, randomness, I/O, logging or map order, so
// that the same log gives the same State, to the byte of its snapshot, on every
// instance.
//
// Anybody may read a State, from any goroutine; only package fsm applies
// commands to one.
//
// # What it holds
//
// The live incarnations, the virtual storages with their succession, and the
// ledger: the repositories that are not ordinary. An ordinary repository, with
// the same content on every serving storage, has no entry, so that the state
// grows with what is wrong and not with what exists.
//
// # A storage
//
//	define ──▶ filling ──filled──▶ serving ──fence──▶ fenced ──admit──▶ out
//	              ▲                   │  ▲                               │
//	              ├───another disk────┘  └──────────same disk────────────┤
//	              └─────────────────────another disk─────────────────────┘
//
// The first storage of a new virtual storage serves at once: there is nothing
// that it could lack. Whatever becomes serving goes to the end of the
// succession, so that storages which serve never change their order. A storage
// that becomes filling becomes behind for the whole ledger: a scan copies the
// ordinary repositories onto it, repair does the others. (The commands for
// fencing, admitting and draining come with failover.)
//
// # A repository
//
//	ordinary ──open──▶ open or solo ──close, clean──▶ ordinary, or behind
//	                        │
//	                        └──close, dirty, or retire──▶ dirty ──settle──▶
//
// Behind and the marks are independent: Wrote adds to Behind, InSync and Settle
// account for it. An entry without marks and without Behind is removed.
//
// # Invariants
//
// Check states them all. Those that others rely on:
//
//   - A storage in sync for a repository (serving or fenced, and not behind)
//     has every write that was acknowledged. Wrote makes everything behind
//     that is not known to agree; only InSync and Settle vouch, and only if
//     nobody touched the entry since they looked and nobody else may write.
//   - A live mark is of a live incarnation: Retire makes those of the retired
//     one dirty, and no command of it is applied afterwards.
//   - A dirty mark goes by Settle only, which names it by its index.
//   - Epochs, indices and incarnations only rise.
//
// # How failures end
//
//   - A proposer that does not learn the answer repeats its batch: the request
//     id is remembered for the next AnswersKept batches, and later its number
//     keeps the ledger commands from being applied again.
//   - A proposer that dies is retired by its next incarnation; what it left
//     under way is dirty, and is settled by comparison.
//   - A command that may not be applied is refused, as a value; the others of
//     its batch are applied. A refused command has changed nothing.
//   - A log entry that cannot be decoded stops the process (package fsm):
//     skipping it would let the instances differ.
//   - A broken log, whose indices do not rise, panics.
package state
