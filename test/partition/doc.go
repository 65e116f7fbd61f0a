// Package partition owns the tests of three instances whose network, disks,
// processes and database fail: each has a host of its own, with real storages
// over real git, a real Postgres and HAProxy in front.
// It promises that every fault is looked at with the same eyes: clients write
// and read through the balancer and through each instance while it happens;
// afterwards, when all is healed, every acknowledged write is on every storage,
// all replicas are equal, the histories of single references are linearizable,
// and no epoch has fallen. It is run by go test, as root, with these variables:
//
//	SUITE_SEED     the seed of the order and of the targets (printed; default: the time)
//	SUITE_SECONDS  for how long new rounds of all faults begin (default: one round)
//	SUITE_DIR      an empty directory to keep repositories, logs and states in
package partition
