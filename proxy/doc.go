// Package proxy is the gRPC face of an instance: it answers the questions about virtual storages
// that no storage can answer, and forwards every other Gitaly RPC, byte-exact, to the storages that
// its router names. It promises that a write is in the ledger before it can have an effect (P5),
// that a read is served only by storages that have every acknowledged write (P4), and that a bad
// request gets its error before anything is touched (P8). The daemon makes one Server and gives it
// listeners.
package proxy
