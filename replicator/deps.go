package replicator

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// Ledger is this instance's view of the replicated state.
type Ledger interface {
	// View returns the newest view; its Index never falls.
	View() *state.State
	// Incarnation is this process's own.
	Incarnation() state.Incarnation
	// Changed is closed when there is a newer view than there was at the call.
	Changed() <-chan struct{}
	// Propose returns when the local view has applied the commands, with their
	// results in order. After an error their outcome is unknown.
	Propose(ctx context.Context, cmds ...state.Command) ([]state.Result, error)
}

// RepairLocks keeps this instance's writes and repairs of one repository apart.
type RepairLocks interface {
	// Lock takes the repair lock of a repository. With pause=false it fails with
	// ErrRepositoryBusy while a write of this instance is in flight, and writes that
	// begin later invalidate the guard. With pause=true new writes wait, and it
	// returns when the writes in flight have ended, or ctx has. There is one guard
	// a repository (ErrRepositoryBusy).
	//
	// While an RPC of this instance has ended without its status and the intent
	// over it is not yet in doubt in the view, it fails with ErrRepositoryBusy: a late
	// effect must not meet a copy that knows nothing of it.
	Lock(ctx context.Context, key state.Key, pause bool) (Guard, error)
}

// Guard is the repair lock of one repository in the hands of one repair. Only
// Resume may be called by another goroutine than the repair's.
type Guard interface {
	// OpenIntent opens or widens this instance's primary-only intent so that it covers scope.
	// The view that it returns is at or after the intent.
	OpenIntent(ctx context.Context, scope state.Scope) (*state.State, error)
	// OpenedAt is when the last Intent was answered: the repair's calls that change a
	// replica are dated then.
	OpenedAt() time.Time
	// Wish asks every other instance to close its lingering intent on the repository and
	// to have new writes wait, for bound at most. It returns when none of them has a live
	// intent any more, or ctx has ended. Free takes it back.
	Wish(ctx context.Context, bound time.Duration) error
	// Resume lets waiting writes go on, and new ones pass; they invalidate the
	// guard. Repeating it, or calling it on a guard that does not hold or was
	// freed, does nothing.
	Resume()
	// Invalidated is closed when a write began in this round that was not kept waiting.
	Invalidated() <-chan struct{}
	// Renew begins another round under the same intent, as Repair begins a repair, and
	// returns its number; the round before the first one is 0. Calls of former rounds may go
	// on. After an error the former round goes on, unless a write invalidated it.
	Renew(ctx context.Context, pause bool) (round int, err error)
	// MarkInSync declares storages equal to the primary, as of the intent, whose copies began
	// in the round: of a former one it is refused as invalidated. New writes wait from here to
	// Free.
	MarkInSync(ctx context.Context, round int, storages []string) error
	// ResolveDoubt accounts for in-doubt intents, as of the intent. New writes wait from
	// here to Free.
	ResolveDoubt(ctx context.Context, s repair.Resolution) error
	// Advance gives the repository's primary the role of a target: this
	// instance's intent covers scope, and no instance writes to the repository until
	// EndAdvance. Without a source it takes up an advance that was interrupted. It
	// returns as Intent does.
	Advance(ctx context.Context, source string, scope state.Scope) (*state.State, error)
	// EndAdvance ends an advance, as of its intent.
	EndAdvance(ctx context.Context, e repair.Ending) error
	// MarkConflict replaces the conflicts of the repository, as of the intent.
	MarkConflict(ctx context.Context, conflicts []state.Conflict) error
	// MarkDoubt puts replicas in doubt that differ from the primary's and of which the ledger
	// does not know why, as of the intent.
	MarkDoubt(ctx context.Context, primary string, differences []state.Difference) error
	// Remake has it permitted that the replica of a storage that is behind is removed and
	// copied from nothing, as of the intent; StepDown has the repository's primary put
	// behind. why names the failure, for the history.
	Remake(ctx context.Context, storage, why string) error
	StepDown(ctx context.Context, storage, why string) error
	// Free frees the repair lock. ended tells that every RPC that could change
	// a replica has ended at its storage; otherwise the intent ends in doubt.
	Free(ended bool, doubtful ...string)
}

// Storages are the connections to the storages.
type Storages interface {
	// Conn returns the connection to a storage, which adds the storage's own
	// credentials to each call. It fails while the storage cannot be reached,
	// or is another disk than the replicated state says. It does not block. A
	// connection that replaced a lost one is another value.
	Conn(virtualStorage, storage string) (grpc.ClientConnInterface, error)
	// Server returns where other storages reach a storage, and the token to
	// show there.
	Server(virtualStorage, storage string) (address, token string)
	// Changed is closed when a connection comes or goes after the call.
	Changed() <-chan struct{}
}

// Watch prepares one call to a storage, to be made with the context that it
// returns. When the call has returned err, ended tells whether its status
// arrived from the storage; one that was made up on this side of the connection
// (cancelled, timed out, connection lost) does not count.
type Watch func(ctx context.Context) (call context.Context, ended func(err error) bool)

// Stamp dates the proof to a storage that a call made with ctx comes from us:
// the storage refuses one that is much older.
type Stamp func(ctx context.Context, t time.Time) context.Context

// watchNothing is the Watch that knows nothing: only success cannot have been
// made up.
func watchNothing(ctx context.Context) (context.Context, func(error) bool) {
	return ctx, func(err error) bool { return err == nil }
}
