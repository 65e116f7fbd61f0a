// Package ledger carries out the decisions of package machine about the writes and repairs of this
// instance: it keeps time, proposes commands, wakes waiting calls, and tells the leader which index
// this instance routes by.
//
// It promises that no write is forwarded before its intent and its account are applied and known to
// every instance that may read; that an intent closes only when every RPC under it has ended; and
// that nothing is declared in sync while a write of this instance could be under way. The proxy
// calls Begin for every write; the replicator calls LockForRepair for every repository that it repairs.
//
// # The repair lock
//
// A repair holds the repair lock of its repository through a Guard. An optimistic guard
// (pause=false) admits new writes and is invalidated by the first one: the copy may miss that write, so
// that nothing can be declared in sync any more. A pausing guard makes new writes wait, within
// Config.QueueTimeout and Config.QueueLimit. Either kind makes them wait while `mark-in-sync` or
// `resolve-doubt` is being committed.
//
// # When the process dies
//
// The intents of this incarnation stay in the replicated state. The next incarnation of the
// instance, or the leader, retires this one, which turns them into in-doubt intents; the replicator
// resolves them once their writes can have no effect any more. Nothing here needs to be saved.
package ledger
