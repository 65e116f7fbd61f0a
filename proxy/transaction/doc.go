// Package transaction takes the votes of the storages on the writes of this instance, and carries
// out the decisions of package quorum. It promises that no vote is answered with a commit before
// Config.Account has agreed, nor after End; that a vote counts only for the storage and the
// connection that it came over; and that one of two writes that wait for each other is aborted. The
// proxy begins a transaction for every write that votes; the connections to the storages serve
// Manager.Service to them.
package transaction
