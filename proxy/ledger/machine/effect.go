package machine

import (
	"errors"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// Effect is an action for the driver.
type Effect interface{ effect() }

// Forward lets a write pass to its primary, and to the others that vote with
// it. It must be sent over exactly the connections that it names, with a token
// dated at At or before; if the primary's is gone, NotSent says so.
type Forward struct {
	Write      ID
	Storage    string
	Generation uint64
	// Votes tells that the destinations are to vote. Else there are no others.
	Votes  bool
	Others []Destination
	// Epoch is that of the virtual storage by which the write was routed.
	Epoch uint64
	// At is when the lease was checked.
	At time.Duration
}

// Destination is one storage that a write goes to, over one connection.
type Destination struct {
	Storage    string
	Generation uint64
}

// Queued tells, once a write, that it waits, and Why.
type Queued struct {
	Write ID
	Why   Why
}

// Reject ends a write that was not forwarded; nothing of it can happen. Err is
// one of this package, a *router.Refusal, a *state.Refusal, or wraps the error of a proposal.
type Reject struct {
	Write ID
	// Why is the reason of its last wait.
	Why Why
	Err error
}

// Doom ends the RPC of a forwarded write; its Ended is awaited all the same.
type Doom struct {
	Write ID
	Err   error
}

// Drop ends the RPC of a forwarded write at one of its Others, which is no
// destination any more: its votes count no longer.
type Drop struct {
	Write   ID
	Storage string
	Err     error
}

// Allowed answers a Vote. Without Err, the votes of the agreeing storages may be answered: their
// effect is accounted for, and every instance that must know of it does. With Err nothing of the
// round may happen anywhere.
type Allowed struct {
	Write ID
	Err   error
}

// Finish ends a forwarded write: the client may have the storage's status, or
// must have Err instead if that is set.
type Finish struct {
	Write ID
	Err   error
}

// Propose is to be answered by Answer.
type Propose struct {
	Proposal ProposalID
	Commands []state.Command
}

// Behind names repositories that need a repair since storages fell behind by
// writes that have ended.
type Behind struct{ Keys []state.Key }

// Done answers Acquire, OpenIntent, Renew, Wish and the conclusions. View is set for OpenIntent: it
// is at or after the intent, and from here on the replicas may be changed within its
// scope, with tokens dated at At or before.
type Done struct {
	Guard ID
	View  *state.State
	At    time.Duration
	// Round is that which began, of a Renew that was granted; else 0.
	Round int
	Err   error
}

// Invalidated tells a guard, once, that a write passed which began after it.
type Invalidated struct{ Guard ID }

// Report is to be told to the leader: the view that the routing uses, and the
// pauses.
type Report struct {
	Applied      state.Index
	PauseReports []routing.WritePauseReport
}

func (Forward) effect()     {}
func (Queued) effect()      {}
func (Reject) effect()      {}
func (Doom) effect()        {}
func (Drop) effect()        {}
func (Allowed) effect()     {}
func (Finish) effect()      {}
func (Propose) effect()     {}
func (Behind) effect()      {}
func (Done) effect()        {}
func (Invalidated) effect() {}
func (Report) effect()      {}

// Why is the reason for which a write waits.
type Why string

// The reasons for which a write waits.
const (
	// WhyRepairLock: a repair holds the repository.
	WhyRepairLock Why = "repair"
	// WhyPause: a switchover is under way.
	WhyPause Why = "switchover"
	// WhyLease: this instance may not route now.
	WhyLease Why = "lease"
	// WhyFenced: the primary was failed over, and has no successor yet.
	WhyFenced Why = "fenced"
	// WhyUnreachable: the primary serves, and cannot be reached.
	WhyUnreachable Why = "unreachable"
	// WhyProposal: the entries that the write must have in the ledger are being committed.
	WhyProposal Why = "proposal"
	// WhyWatermark: another instance may not know the entries of the ledger yet.
	WhyWatermark Why = "watermark"
)

// Errors of writes and repairs. Errors of writes end in a status that tells the client to try
// again.
var (
	// ErrQueued ends a write that waited too long, or among too many.
	ErrQueued = errors.New("the write could not be let pass in time; try again")
	// ErrNoLease ends a request at an instance that is cut off from the others.
	ErrNoLease = errors.New("this instance is cut off from the others; try again at another one")
	// ErrRerouted ends a write whose repository changed its primary at every
	// attempt to open an intent on it.
	ErrRerouted = errors.New("the agreed state of the repository keeps changing; try again")
	// ErrDoomed replaces the status of a write whose storage ceased to be the
	// primary, or whose instance lost its lease: whether it had its effect is
	// not known.
	ErrDoomed = errors.New("the primary was taken away during the write, whose outcome is unknown; look before you try again")
	// ErrDropped ends the RPC of a write at a storage that voted beside the primary,
	// and does not serve any more.
	ErrDropped = errors.New("the storage does not serve any more")
	// ErrEnded answers a Vote of a write that has ended meanwhile.
	ErrEnded = errors.New("the write has ended")
	// ErrRetired ends everything of an incarnation that was retired.
	ErrRetired = errors.New("this instance was replaced and stops")
	// ErrStopping ends each request that comes while the instance stops.
	ErrStopping = errors.New("this instance stops")
	// ErrUnknown is wrapped in the error of a write or repair that ends because the outcome of a
	// proposal is not known. A write was not forwarded.
	ErrUnknown = errors.New("the outcome of a proposal is not known")
)
