// Package session owns the talk between the instances and the Raft leader: at
// each instance the lease, the watermark and the holds that the proxy routes by,
// and at the leader the granting, the counting of verdicts, and the carrying out
// of what package elector decides. It promises that what it publishes is never
// more than what packages lease and elector allow; it adds clocks, goroutines and
// streams to them, and no rule of its own. The daemon makes one and joins it with
// the node, the proxy and the operators' service.
//
// # Streams
//
//	instance ── asks, term, echo, applied view, verdicts ──▶ leader
//	instance ◀── grants, question, watermark, holds ──────── leader
//
// Every message carries everything, so that only the latest counts, and a broken
// stream is made anew without any recovery. The leader's own instance talks to it
// in the same way, through a pipe.
//
// # How failures end
//
//   - A leader that falls silent, or is not the leader any more: the instance
//     looks for another one; its lease lasts until it ends by itself.
//   - A leader that loses its term: everything that it would propose names the
//     term, and is refused.
//   - An instance that stops gives its lease back, so that nobody waits for it.
package session
