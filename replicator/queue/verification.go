package queue

import (
	"context"
	"time"

	"praefect/fsm/state"
)

// Turn is a repository whose turn it is to be verified.
type Turn struct {
	ID int64
	state.Key
	// Requested tells that an operator or a client asked for it.
	Requested bool
	// Age is how long ago it was last looked at; 0 if it is requested.
	Age time.Duration
	// Since is how long ago the verification of the virtual storage took its last step; negative if it never did.
	Since time.Duration
}

// Looked is the result of a verification of one repository.
type Looked struct {
	// Verified are the storages with a correct replica, Unverified the storages with a wrong one.
	Verified, Unverified []string
	// Back is how much earlier the repository counts as looked at than it was: its turn comes that much sooner.
	Back time.Duration
}

// Marked names repositories to be verified: one, if it has a path, or all of a virtual storage. Storage limits to one
// storage the replicas of which it is forgotten when they were verified; "" is all.
type Marked struct {
	state.Key
	Storage string
}

// Verifications remember when which repository was verified, beside the catalogue of repositories.
// Every method may fail as the methods of a Queue do, and may be repeated. The cost of all but
// Count and Request does not grow with the catalogue.
type Verifications interface {
	// Next returns the repository of a virtual storage that was not looked at for longest, requested ones first; false if
	// the catalogue has none.
	Next(ctx context.Context, virtualStorage string) (t Turn, found bool, err error)
	// TurnOf returns the turn of one repository, and enters it into the catalogue if it is not there.
	TurnOf(ctx context.Context, key state.Key) (Turn, error)
	// Note notes the results of a turn. A repository that was requested after the turn began stays
	// requested.
	Note(ctx context.Context, t Turn, l Looked) error
	// Waiting counts the repositories that are requested, and the ones that were not looked at for
	// longer than interval, each up to limit.
	Waiting(ctx context.Context, virtualStorage string, interval time.Duration, limit int) (requested, expired int, err error)
	// Count counts the repositories.
	Count(ctx context.Context, virtualStorage string) (int, error)
	// Request has repositories verified before all others, and returns their number.
	Request(ctx context.Context, m Marked) (repositories int64, err error)
}
