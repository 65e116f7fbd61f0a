// Package lease owns the arithmetic of leases between the Raft leader and the
// instances: who may route writes until when, and which index every instance
// that may do so has applied. It promises that a lease which a Holder calls
// valid is counted as held by the Grantor of its leader and by that of every
// later leader, as long as no clock runs more than 1 % fast or slow. It is pure:
// no clock, goroutine or I/O; package session drives it, and the simulation.
//
// # Why a lease is safe
//
// The holder notes an instant, asks, and counts from that instant. The leader
// grants only after a majority of voters have shown to be in its own term, each
// in a message it wrote after the ask. Whoever is in term T has not voted above
// T before; so no later leader can have been elected before the noted instant.
// A leader that is elected later waits for a whole lease and a margin, counted
// from its own election, before it takes anybody's silence for the end of a
// lease. The holder stops early by the same margin.
//
// An uncommitted change of one voter does no harm: every majority of the voters
// before it meets every majority of those after it.
//
// # What the index adds
//
// A grant names the index that the leader had applied. The holder uses it once
// it routes by that index or a later one. So an index that all leased instances
// have applied (the watermark) stays so whoever is granted a lease afterwards.
package lease
