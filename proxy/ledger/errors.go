package ledger

import "praefect/proxy/ledger/machine"

// Errors of writes and repairs; see package machine. Refusals of the replicated
// state come as *state.Refusal, refusals of the router as *router.Refusal.
var (
	ErrQueued   = machine.ErrQueued
	ErrNoLease  = machine.ErrNoLease
	ErrRerouted = machine.ErrRerouted
	ErrDoomed   = machine.ErrDoomed
	ErrEnded    = machine.ErrEnded
	ErrRetired  = machine.ErrRetired
	ErrStopping = machine.ErrStopping
	ErrUnknown  = machine.ErrUnknown
)
