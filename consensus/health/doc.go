// Package health owns the question whether a storage is dead: the conclusion of one instance from
// its own connections, and the conclusion of the leader from the reports of all instances. It
// promises that a storage counts as dead only if a majority of all voters reports so, in fresh
// reports, and that an instance with a reason to doubt itself reports nothing. It is pure; package
// session and the elector use it.
package health
