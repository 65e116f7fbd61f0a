// Package library runs the Raft library (hashicorp/raft) on the log of this instance.
//
// It starts the library when there is a log, knows in which term this instance leads, notes the
// instances that the log has removed, and bounds each wait for an answer (Await): the library's futures
// wait without bound, and some never end when it is shut down meanwhile.
package library
