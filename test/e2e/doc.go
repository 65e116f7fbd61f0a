// Package e2e owns the tests of whole clusters: real processes of praefect and of storages over
// real git, with a real Postgres. Each shows that a promise of docs/design.md survives one fault: a
// crash at a known place, random kills, a database that is away, an emptied disk. Each ends with
// the same check of the whole state: every acknowledged write is on every storage, all replicas are
// equal, nothing is left to repair. It is run by go test, with these variables:
//
//	E2E_SEED     the seed of the random kills (printed; default: the time)
//	E2E_SECONDS  how long the random kills go on (default 25)
//	E2E_DIR      an empty directory to keep repositories, logs and states in
package e2e
