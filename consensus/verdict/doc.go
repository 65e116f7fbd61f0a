// Package verdict owns the question whether a storage is dead: what one
// instance concludes from its own connections, and what the leader concludes
// from the reports of all. It promises that a storage is called dead only by a
// majority of all voters, by fresh reports, and never by an instance that has
// reason to doubt itself. It is pure; package session and the elector use it.
package verdict
