// Package workload owns clients at work: writers and readers that go round a set
// of repositories, what each of their operations came to, and the figures that
// follow from it: the longest pause, what failed, who was served again when.
// It promises that nothing is left out: an operation that was begun is in the
// events, and Verify finds every acknowledged write or says which is missing.
// The demo, the benchmark of failovers and end-to-end tests may use it; nothing of
// the product may.
package workload
