// Package workload owns clients at work: writers and readers that go round a set of repositories,
// the outcome of each operation, and the figures that follow from it: the longest pause, the
// failures, and the time until each client was served again. It promises that nothing is left out:
// every operation that began is in the events, and Verify finds every acknowledged write or names
// the missing one. The demo, the benchmark of failovers and suites on processes may use it; nothing of
// the product may.
package workload
