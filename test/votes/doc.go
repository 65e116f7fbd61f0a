// Package votes owns the tests of whole clusters in which storages vote: three instances, three
// storages over real git whose hooks vote, and a real Postgres. Each shows that a promise of
// docs/design.md holds for a write that votes, even if a process dies, disagrees or is late: no
// read is stale, a storage that does not agree is in the ledger before the client has its answer,
// and in the end all replicas are equal and have every acknowledged write. It is run by go test,
// with these variables:
//
//	SUITE_READS    how many writes are read back at each other instance (default 300)
//	SUITE_ROUNDS   how often rounds are repeated (default 1)
//	SUITE_SEED     the seed of the random kills (printed; default 1)
//	SUITE_SECONDS  how long the random kills go on (default 8)
//	SUITE_DIR      an empty directory to keep repositories, logs and states in
package votes
