// Package faults owns the tests of whole clusters that meet one fault: real processes of praefect
// and of storages over real git, with a real Postgres. Each shows that a promise of docs/design.md
// survives: a crash at a known place, random kills, a database that is away, an emptied disk. Each
// ends with the same check of the whole state: every acknowledged write is on every storage, all
// replicas are equal, nothing is left to repair. It is run by go test, with these variables:
//
//	SUITE_SEED     the seed of the random kills (printed; default 1)
//	SUITE_SECONDS  how long the random kills go on (default 25)
//	SUITE_DIR      an empty directory to keep repositories, logs and states in
package faults
