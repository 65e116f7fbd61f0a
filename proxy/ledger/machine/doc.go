// Package machine decides every step of the writes and repairs of one instance: which write is
// admitted, its route, the commands that are committed before it, and how it ends. It promises to
// be pure: no goroutine, lock, clock or I/O, so that the same events give the same effects. An
// action outside of it (a proposal, an RPC, the passing of time) leaves as an effect and its result
// comes back as an event. Its driver is package ledger; the simulation is the other caller.
//
// # How it is driven
//
//	now, Event ──Step──▶ []Effect          Next: when to Step a Tick at the latest
//
// Times are time.Duration since boot, by the clock of the leases. Effects are to
// be carried out in their order; the slice is valid until the next Step.
//
// # Its parts
//
// The facts are what events have brought: view, lease, pauses, connections. Three objects own the
// work: intents (the records of the repositories, proposals, closes), locks (the repairs), and
// writes. Writes may call locks and intents, and locks may call intents, never the other way round:
// an answer to a proposal notes in the records of its repositories that waiting work may go on, and the
// Step visits these records before it ends.
//
// # A write
//
//	       ┌────────────── turned back: lease lost, fence, pause, connection gone ◀─┐
//	       ▼                                                                        │
//	Begin ─▶ waiting ─▶ registered, routed ─▶ proposing ─▶ watermark ─▶ Forward ────┤
//	             │                                                        │         │
//	             │ 10 s, 2 s without a lease, too many, nowhere to go     │      NotSent
//	             ▼                                                        ▼
//	          Reject                                      Ended ─▶ (take a delete back) ─▶ Finish
//
// With a warm intent all of it, from Begin to Forward, is one Step.
//
// A write is in one phase at a time (phase.go). Events and the function of the phase take it on:
//
//	admitting ─admit─▶ sent ─Vote─▶ voting ─decide─▶ sent ─Ended─▶ accounting ─conclude─▶ over
//	        ▲             │                                            └─ cleared ─conclude─▶ over
//	        └── NotSent ──┘
//
// A write that votes is forwarded to several storages, and has nothing in the ledger before its
// first vote, because nothing has changed until then:
//
//	Forward ─▶ Vote ─▶ registered, routed again ─▶ proposing ─▶ watermark ─▶ Allowed ─▶ Vote … ─▶ Ended
//	             │            │                        ▲
//	             │            └─ lock, pause, fence    └─ its intent, and the storages that do not agree as behind
//	             └─▶ Allowed with an error: nothing of the round may happen
//
// A write waits for the repair lock of its repository, for the end of a pause of writes (a
// switchover), for a lease, and for a primary that serves and can be reached. The one Step that
// admits it counts it as in flight and reads its view. Committing its intent and account, and
// waiting for the watermark, take time: every admission condition is therefore checked again at the
// Forward.
//
// # A repository
//
// This instance has at most one proposal under way for a repository: intent, account, conclusion of a
// repair or close. So no proposal can overtake another, and a later one waits for the answer and looks
// at the resulting state.
//
// The intent of this instance on it is absent, certain or unsure (repo.go). No write relies on an
// intent that is unsure: the outcome of a proposal that touches it is not known. The repair that has
// its lock, or waits for it, is waiting, renewing, granted or sealed (guard.go): sealed while its
// conclusion is committed.
//
// # How failures end
//
//   - A fence is applied: the writes on that storage are doomed in the Step
//     that sees it, and only then is the index reported as applied.
//   - A proposal without an answer: the intent counts as live, and as in doubt. After the
//     conclusion of a repair the entries of storages that are behind count as lost, so that the
//     next write proposes its account again.
//   - Our incarnation is retired: everything is doomed or rejected.
package machine
