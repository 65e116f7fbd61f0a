// Package ledger keeps this instance's side of the replicated ledger: which
// repositories it has marked, which writes are in flight, and who holds the
// gate of a repository. It promises that no write is forwarded before its mark
// and its account (`wrote`) are applied, that a mark closes only when every RPC
// under it has ended, and that nothing is declared in sync while a write of
// this instance could be under way. The proxy calls Begin for every write; the
// replicator calls Repair for every repository that it repairs.
//
// # The life of a mark
//
//	Begin ──► Prepare ──────────► End ──► (lingers) ──► close
//	 │          │ open + wrote      │                      │
//	 │          │ in one batch      │ RPC did not end      │ clean: entry loses the mark
//	 │ waits    │                   ▼                      │ dirty: settled by a repair
//	 │ for the  └ nothing to commit if the mark is live, wide enough,
//	 │ gate       and every other storage is behind already
//
// A mark is kept for a few seconds after the last write (Config.Linger), so a
// busy repository pays for it once. From the moment a close is proposed the
// mark counts as closed: a write that comes then waits for the close and opens
// a new one, so that the two never overtake each other.
//
// # The gate
//
// A repair holds the gate of its repository through a Ticket. An optimistic
// ticket (hold=false) lets new writes pass and is spoiled by the first one:
// what was copied may miss it, so nothing can be declared in sync any more. A
// holding ticket keeps new writes waiting, within Config.HoldTimeout and
// Config.HoldLimit. Either kind keeps them waiting while `in-sync` or `settle`
// is being committed.
//
// # What happens if we die
//
// The marks of this incarnation stay in the replicated state. The next
// incarnation of the instance retires this one, which turns them into dirty
// marks; the replicator settles those once nothing of them can have an effect
// any more. Nothing here needs to be saved.
package ledger
