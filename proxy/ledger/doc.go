// Package ledger carries out what package machine decides about the writes and
// repairs of this instance: it keeps time, proposes commands, wakes who waits,
// and tells the leader how far the routing is. It promises that no write is let
// pass before its intent and its account are applied and known to every instance
// that may read, that an intent closes only when every RPC under it has ended, and
// that nothing is declared in sync while a write of this instance could be
// under way. The proxy calls Begin for every write; the replicator calls Repair
// for every repository that it repairs.
//
// # The gate
//
// A repair holds the gate of its repository through a Ticket. An optimistic
// ticket (hold=false) lets new writes pass and is spoiled by the first one:
// what was copied may miss it, so nothing can be declared in sync any more. A
// holding ticket keeps new writes waiting, within Config.HoldTimeout and
// Config.HoldLimit. Either kind keeps them waiting while `mark-in-sync` or `resolve-doubt`
// is being committed.
//
// # What happens if we die
//
// The intents of this incarnation stay in the replicated state. The next
// incarnation of the instance retires this one, or the leader does, which turns
// them into in-doubt intents; the replicator resolves those once nothing of them can
// have an effect any more. Nothing here needs to be saved.
package ledger
