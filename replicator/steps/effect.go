package steps

import (
	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// Effect is one of the types below: a thing that the caller of Next does before it calls Next again.
type Effect any

// Lock takes the repair lock of the repository. The caller frees it at the End.
type Lock struct{}

// Renew begins another round of the lock; its result is Round, also beside an error if the round
// has begun.
type Renew struct{}

// OpenIntent opens an intent, or widens it; without targets, only references are looked at. Its
// results are of the view of the intent: Entry, and Plan, which plan.Make makes.
type OpenIntent struct{ Targets []string }

// TakeUp takes up an advance that was interrupted. Its results, VS and Entry, are of the view of its
// intent.
type TakeUp struct{}

// Look asks one storage after the other for the repository. Its result is Has; the first storage
// that cannot tell is its error.
type Look struct{ Storages []string }

// Compare looks for the storages whose replica is like the authority's: Equal. A storage that cannot
// tell is not among them.
type Compare struct {
	Authority string
	Storages  []string
}

// Remake asks which targets of the plan are removed before they are copied onto, and has it
// permitted. Its results are Again and, with the targets in place, Targets.
type Remake struct{ Plan plan.Plan }

// Copies begins to make each target of the plan equal to the primary. The replicas in Again are
// removed first.
type Copies struct {
	Plan  plan.Plan
	Found plan.Finding
	Again []string
}

// Await waits until copies have ended (Ended), or something else has become due (Due, and its Plan).
type Await struct {
	// Later are targets onto which the next copies are put off.
	Later []string
	// Stop tells that the copies under way are to end, and that nothing more becomes due.
	Stop bool
	// Err is why the last thing that had become due was not done.
	Err error
}

// Declare has storages declared in sync whose copies began in the round.
type Declare struct {
	Round    int
	Storages []string
}

// ResolveDoubt has a resolution committed.
type ResolveDoubt struct{ Resolution repair.Resolution }

// EndAdvance has an advance ended.
type EndAdvance struct{ Ending repair.Ending }

// End is the last effect: the caller frees the repair lock if it has taken it.
type End struct {
	// Arrived tells that every call that could change a replica has ended at its storage.
	Arrived bool
	// Synced are the storages that were declared in sync, also beside an error.
	Synced []string
	Err    error
}

// Result is how an effect ended. Each effect names the fields that it sets beside Err.
type Result struct {
	Err            error
	VS             *state.VirtualStorage
	Entry          *state.Entry
	Plan           plan.Plan
	Has, Equal     []string
	Again, Targets []string
	Round          int
	Due            bool
	Ended          []Copied
}

// Copied is how the copy onto one target ended. Ended tells that nothing of it can happen any more.
type Copied struct {
	Target string
	Ended  bool
	Err    error
}
