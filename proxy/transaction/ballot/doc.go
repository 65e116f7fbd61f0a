// Package ballot decides on the votes that the storages of one write cast. It
// promises to be pure: no goroutine, lock, clock or I/O. Its driver is package
// transaction; simulations are the other caller.
//
// # A round
//
// A write is several rounds of votes, one after the other: what is to be written
// is prepared, then it is committed, and so on for each thing that the write
// changes. In each round a storage casts one vote, the hash of what it is about to
// do, and waits for the answer.
//
//	primary votes ─▶ others vote the same ─▶ all are there, or the grace is over
//	                                        ─▶ Account{who agrees} ─▶ the ledger has everybody else behind
//	                                        ─▶ Reply{commit} to those who agree
//
// The primary is always needed: what it votes is what counts. Whoever voted
// otherwise, or not in time, is out for good: its votes are answered with abort, in
// this round and in every later one, since it does not have what the others have.
// So those who are in have always cast the same number of votes.
//
// The grace is a quarter of the time that the write has taken so far, within
// bounds; it counts from the vote of the primary.
//
// # When there are too few
//
// Enough are the primary, a majority of the destinations, and Copies in all. While there
// are fewer, the write waits for storages that may yet vote: longer than git waits for any
// lock, and than a hanging storage goes unnoticed (Patience). Then the setting decides: either the write goes on with those who agree
// (Account.Short says so), or it is aborted. It is aborted in any case if a
// majority agrees on something else than the primary.
//
// # Two writes that wait for each other
//
// Storages lock what a write is about to change before they vote that it is
// prepared, and unlock it before they vote that it is committed. Two writes that
// took their locks in opposite order at two storages would wait for ever: each has
// the vote of a storage that the other waits for. Contend finds them; among three
// or more that wait in a circle there are always such two, since who is in the way
// of whom is the same at every storage.
package ballot
