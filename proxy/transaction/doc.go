// Package transaction takes the votes of the storages on the writes of this
// instance, and carries out what package ballot decides. It promises that no vote
// is answered with a commit before Config.Account has let it, nor after End; that
// a vote counts only for the storage and the connection that it came over; and
// that of two writes which wait for each other one is aborted. The proxy begins a
// transaction for every write that votes; the connections to the storages serve
// Manager.Service to them.
package transaction
