// Package elector decides, at the leader, which storages may serve. It defines the configured
// virtual storages, fails dead storages over, lets storages that are well again rejoin, carries out
// switchovers, and retires instances that are gone.
//
// It promises to decide purely: Decide and Operation are functions of values, Term keeps the values
// of one term, and the loop of package session brings them and carries out the results. It promises
// never to admit a successor before every instance that may hold a lease has applied the fence, and
// to propose nothing that the replicated state would refuse for a reason that the leader could see.
// Package session and the simulation call it.
//
// # A failover
//
//	dead by a majority ─▶ Fence ─▶ applied by all, or their leases have ended ─▶ Admit
//
// If the leader dies in between, the next leader finds the fence in the state and continues:
// Storage.Why tells how the fence ends.
//
// # Memory
//
// Memory belongs to one term and holds times only: the time since which a storage is dead or well.
// A new leader begins with an empty memory, and therefore waits again.
package elector
