package machine

import (
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/proxy/router"
)

// ID names a write or a guard; its maker gives each its own.
type ID uint64

// ProposalID names a proposal; the machine counts them.
type ProposalID uint64

// Event is one thing that happened.
type Event interface{ event() }

// Begin brings a new write. It is answered by one Forward or Reject, now or
// later, unless Cancel comes first.
type Begin struct {
	Write ID
	// Keys are the repositories of the write, one or two of one virtual storage.
	Keys []state.Key
	// Reads are repositories that the write only reads, of the same virtual storage: it
	// goes where they are in sync, too, and changes nothing in them.
	Reads []state.Key
	// Scope bounds the possible effects of the write; the machine adds the targets.
	Scope state.Scope
	// Votes is set for a write that can vote: nothing of it happens at a storage
	// before the machine has allowed a vote (see Vote).
	Votes bool
	// Deletes is set for a write that removes its repository. It does not vote.
	Deletes bool
	// Bytes is the memory that the write occupies while it waits.
	Bytes int
}

// Cancel ends a write that was not forwarded: its client is gone.
type Cancel struct{ Write ID }

// NotSent answers a Forward: the connection to the primary was gone, and nothing
// has happened, since nothing was sent or no vote was allowed. The write waits
// for another way. No vote of it is allowed any more.
type NotSent struct {
	Write ID
	// Connected tells that the connection is there: the primary has ended the call without
	// having changed anything, and may be asked again at once.
	Connected bool
}

// Vote says that these destinations, the primary among them, have cast equal
// votes in a forwarded write that votes. It is answered by one Allowed: only
// after that may the votes be answered, and any effect follow. There is one at a
// time for each write, and none after NotSent and Ended.
type Vote struct {
	Write    ID
	Agreeing []string
	// Harmless tells that the storages change nothing before they vote again.
	Harmless bool
}

// Ended says that the RPC of a forwarded write is over on this side, at every
// destination; it is answered by one Finish, before which the client must not
// get the status. No vote of the write is allowed any more.
type Ended struct {
	Write ID
	// Succeeded tells that the primary's status was OK.
	Succeeded bool
	// Arrived tells that the status came from every destination at which something
	// may have happened, so that no effect can follow any more.
	Arrived bool
	// Agreeing are the destinations that ended as the primary did, which is among
	// them, and whose votes were allowed with its in every round. Only of a write
	// that votes and has succeeded.
	Agreeing []string
}

// View brings a newer view of the replicated state. Older ones are ignored.
type View struct {
	State *state.State
	// Incarnation is this process's own, 0 until it has one.
	Incarnation state.Incarnation
}

// Session brings the last message of the leader.
type Session struct {
	Lease routing.Lease
	// Watermark is the index that every leased instance has applied.
	Watermark   state.Index
	WritePauses []routing.WritePause
}

// Connection describes the connection of this instance to one storage.
type Connection struct {
	VirtualStorage, Storage string
	// Generation names the connection; every connection has its own.
	Generation uint64
	router.Reachability
}

// Connections brings the state of the connections to all storages.
type Connections struct{ Storages []Connection }

// Answer ends a proposal.
type Answer struct {
	Proposal ProposalID
	// Results are the results of the commands in order, applied in a view that was
	// brought before; nil if the outcome is unknown, and Err says why.
	Results []state.Result
	Err     error
}

// Tick says that time has passed.
type Tick struct{}

// Stop closes the intents with nothing in flight at once, and rejects each new request. Stopped
// tells when all of it is done.
type Stop struct{}

// Acquire asks for the repair lock of a repository, for a repair. Without Pause it is
// refused while a write is in flight, and invalidated by the next one; with it new
// writes wait, and it is granted when the writes in flight have ended.
type Acquire struct {
	Guard ID
	Key   state.Key
	Pause bool
}

// OpenIntent has the instance's intent made wide enough for the work of the repair.
type OpenIntent struct {
	Guard ID
	Scope state.Scope
}

// Declare has the storages declared in sync, as of the intent. Their copies began in the round:
// 0 before the first Renew that was granted, 1 after it, and so on.
type Declare struct {
	Guard    ID
	Round    int
	Storages []string
}

// Renew begins another round of a repair, as Acquire begins the repair: calls of the former round
// may go on, and the intent stays.
type Renew struct {
	Guard ID
	Pause bool
}

// ResolveDoubt has a resolution committed, as of the intent. The later conclusions of the guard
// speak of the index at which that was applied.
type ResolveDoubt struct {
	Guard      ID
	Resolution repair.Resolution
}

// Advance has the repository's primary become the target of a copy from Source,
// or takes up an advance that was interrupted, without a source. It opens this
// instance's intent, as OpenIntent does, and is answered like that.
type Advance struct {
	Guard  ID
	Source string
	Scope  state.Scope
}

// EndAdvance has an advance ended, as of its intent.
type EndAdvance struct {
	Guard  ID
	Ending repair.Ending
}

// Conflict has the conflicts of the repository replaced, as of the intent.
type Conflict struct {
	Guard     ID
	Conflicts []state.Conflict
}

// MarkDoubt has replicas put in doubt that differ from the primary's without a reason in the
// ledger, as of the intent.
type MarkDoubt struct {
	Guard       ID
	Primary     string
	Differences []state.Difference
}

// Remake has it permitted that a storage's replica is removed and copied from nothing, as
// of the intent.
type Remake struct {
	Guard        ID
	Storage, Why string
}

// StepDown has the repository's primary put behind, as of the intent.
type StepDown struct {
	Guard        ID
	Storage, Why string
}

// Wish has every other instance asked to let the repair have its turn, for Bound at most. It
// is answered when none of them has a live intent any more.
type Wish struct {
	Guard ID
	Bound time.Duration
}

// Resume lets the writes go on that a pausing guard keeps waiting; they invalidate
// it.
type Resume struct{ Guard ID }

// Free frees a repair lock, or gives the wait for it up.
type Free struct {
	Guard ID
	// Arrived tells that every RPC of the repair has ended at its storage;
	// otherwise the intent ends in doubt.
	Arrived bool
	// Doubtful are the storages at which an RPC may go on; nil: all that the repair may
	// change.
	Doubtful []string
}

func (Begin) event()        {}
func (Cancel) event()       {}
func (NotSent) event()      {}
func (Vote) event()         {}
func (Ended) event()        {}
func (View) event()         {}
func (Session) event()      {}
func (Connections) event()  {}
func (Answer) event()       {}
func (Tick) event()         {}
func (Stop) event()         {}
func (Acquire) event()      {}
func (OpenIntent) event()   {}
func (Declare) event()      {}
func (Renew) event()        {}
func (ResolveDoubt) event() {}
func (Remake) event()       {}
func (StepDown) event()     {}
func (Wish) event()         {}
func (Resume) event()       {}
func (Free) event()         {}
func (Advance) event()      {}
func (EndAdvance) event()   {}
func (Conflict) event()     {}
func (MarkDoubt) event()    {}
