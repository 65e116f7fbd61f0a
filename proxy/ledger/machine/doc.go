// Package machine decides what becomes of the writes and repairs of one
// instance: which may pass, where they go, what is committed before them, what
// is told to whom when they end. It promises to be pure: no goroutine, lock,
// clock or I/O, so that the same events give the same effects; what is out of
// its hands (a proposal, an RPC, the passing of time) leaves as an effect and
// comes back as an event. Its driver is package ledger; simulations are the
// other caller.
//
// # How it is driven
//
//	now, Event ──Step──▶ []Effect          Next: when to Step a Tick at the latest
//
// Times are time.Duration since boot, by the clock of the leases. Effects are to
// be carried out in their order; the slice is valid until the next Step.
//
// # A write
//
//	       ┌────────────── turned back: lease lost, fence, hold, connection gone ◀──┐
//	       ▼                                                                        │
//	Begin ─▶ waiting ─▶ registered, routed ─▶ proposing ─▶ watermark ─▶ Forward ────┤
//	             │                                                        │         │
//	             │ 10 s, 2 s without a lease, too many, nowhere to go     │      NotSent
//	             ▼                                                        ▼
//	          Reject                                      Ended ─▶ (take a delete back) ─▶ Finish
//
// With a warm intent all of it, from Begin to Forward, is one Step.
//
// A write that votes is forwarded to several storages, and has nothing in the
// ledger before its first vote, as nothing of it has happened by then:
//
//	Forward ─▶ Vote ─▶ registered, routed again ─▶ proposing ─▶ watermark ─▶ Released ─▶ Vote … ─▶ Ended
//	             │            │                        ▲
//	             │            └─ gate, hold, fence     └─ its intent, and that whoever does not agree is behind
//	             └─▶ Released with an error: nothing of the round may happen
//
// A write waits for: the gate of its repository (a repair), an advice to hold
// its virtual storage (a switchover), a lease, a primary that serves and can be
// reached. It is counted as in flight, and its view is read, in the one Step
// that lets it pass. What is then committed for it (an intent, and that the other
// storages are behind) may take a while, and so may the wait until every leased
// instance knows: all that let it pass is asked again at the Forward.
//
// # A repository
//
// This instance has at most one proposal under way for a repository: intent,
// account, verdict of a repair or close. So none can overtake another, and what
// comes meanwhile waits for the answer and looks at the state that it left.
//
// # What ends badly
//
//   - A fence is applied: the writes on that storage are doomed in the Step
//     that sees it, and only then is the index reported as applied.
//   - A proposal without an answer: the intent counts as live, and as in doubt; the
//     account of a repair's verdict counts as lost, so that the next write
//     accounts anew.
//   - Our incarnation is retired: everything is doomed or rejected.
package machine
