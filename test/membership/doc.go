// Package membership owns the tests of the members of a cluster: one instance that grows
// to three, one that is replaced, and the rest of a cluster without a quorum. The instances,
// storages and the database are real processes. It promises that each test ends with the same check
// of the whole: nothing is left to repair, all replicas are equal, every acknowledged write is
// there, and every reference that several clients changed was one reference at all times. It is run
// by go test; with SUITE_DIR, an empty directory, everything is kept there.
package membership
