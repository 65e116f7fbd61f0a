// Package elector decides, at the leader, which storages may serve: it defines
// what the operator has configured, fails over what is dead, lets return what is
// well again, moves roles when an operator asks, and retires instances that are
// gone. It promises to decide purely (Decide and Operation are functions of
// values; the loop of package session fetches those and carries out the answers),
// never to admit a successor before every instance that may hold a lease has
// applied the fence, and to propose nothing that the replicated state would have
// to refuse for reasons that the leader could have seen. Package session drives
// it, and the simulation.
//
// # A failover
//
//	dead by a majority ─▶ Fence ─▶ applied by all, or their leases have ended ─▶ Admit
//
// If the leader dies in between, the next one finds the fence in the state and
// goes on: Storage.Why tells how the fence is to end.
//
// # What it remembers
//
// Memory belongs to one term and holds times only: since when a storage is dead
// or well. A new leader begins without, and so waits anew.
package elector
