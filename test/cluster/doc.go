// Package cluster owns clusters of real processes on this machine: a PostgreSQL server, storage
// servers over real git repositories and instances of praefect, on free ports of the loopback
// address, each in a directory of its own. It promises that a started cluster serves, that every
// wait is bounded by its context and ends with the last output of the process in question, and that
// no process outlives the one that started it, even after kill -9 (unless Options.Detached says
// so). Tests, benchmarks and the demo may use it; nothing of the product may.
package cluster
