// Package lease owns the arithmetic of leases between the Raft leader and the instances: which
// instance may route writes, until when, and which index every such instance has applied. It
// promises that while a Holder calls a lease valid, the Grantor of its leader and of every later
// leader counts it as held, if no clock runs more than 1 % fast or slow. It is pure: no clock,
// goroutine or I/O. Package session and the simulation call it.
//
// # Why a lease is safe
//
// The holder notes an instant, asks, and counts from that instant. The leader grants only after a
// majority of voters have shown to be in its own term, each in a message that it wrote after the
// ask. A voter in term T has not voted above T before; so no later leader can have been elected
// before the noted instant. A leader that is elected later waits for a whole lease and a margin,
// counted from its own election, before it takes silence for the end of a lease. The holder stops
// early by the same margin.
//
// An uncommitted change of one voter does no harm: every majority of the voters before it shares a
// voter with every majority after it.
//
// # The index in a grant
//
// A grant names the index that the leader had applied. The holder uses it once it routes by that
// index or a later one. So once all leased instances have applied an index (the watermark), every
// instance that gets a lease afterwards has applied it too.
package lease
