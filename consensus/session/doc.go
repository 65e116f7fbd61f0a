// Package session owns the heartbeat between the instances and the Raft leader. At each instance it
// owns the lease, the watermark and the pauses of writes that the proxy routes by. At the leader it
// grants leases, counts reports, and carries out the decisions of package elector.
//
// It promises to publish never more than packages lease and elector allow: it adds clocks,
// goroutines and streams to them, and no rule of its own. The daemon makes one Session and joins it
// with the node, the proxy and the operators' service.
//
// # Streams
//
//	instance ── asks, term, echo, applied view, reports ──▶ leader
//	instance ◀── grants, question, watermark, pauses ────── leader
//
// Every message is complete, so that only the latest one counts, and a broken stream is replaced
// without any recovery. The leader's own instance sends to it in the same way, through a pipe.
//
// # How failures end
//
//   - A leader falls silent, or does not lead any more: the instance looks for another one; its
//     lease lasts until it ends by itself.
//   - A leader loses its term: all its proposals name the term, and are refused.
//   - An instance stops: it gives its lease back, so that no write waits for it.
package session
