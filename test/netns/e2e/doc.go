// Package e2e owns the end-to-end tests of three instances: real processes in
// network namespaces, broken in every way that namespaces, signals and disks allow,
// with clients at work whose histories are judged.
// It promises that each test ends with the same check of the whole: nothing is left
// to repair, all replicas are equal, every acknowledged write is there, and every
// reference that several clients changed was one reference at all times.
// Nobody imports it.
package e2e
