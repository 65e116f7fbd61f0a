package admin

import "context"

// Control is how the service changes the cluster. An implementation brings each request to the
// leader, over at most one hop and with its request id. [Client] is a Control too: the way to
// forward one is to call another instance's service.
//
// Rules for every method:
//   - A request is complete and checked for form when it arrives; names of
//     virtual storages and storages were known to this instance.
//   - RequestID names the wanted change, not one attempt: the same id again waits for the attempt
//     that is under way under that id, or answers as before. Doing it twice must not be possible.
//   - An error is an [*Error], or a [*state.Refusal], or it is reported as OutcomeUnknown: a
//     request that is not known to have changed nothing may have changed something.
//   - The end of ctx asks for an early end. A method that returns because of
//     it says by Error.Kind whether anything has changed: Canceled and TimedOut
//     promise that nothing has; otherwise it goes on to its end, or returns
//     OutcomeUnknown.
type Control interface {
	Membership
	Switching
	Overriding
	Removing
}

// Membership is about the instances and their part in Raft.
type Membership interface {
	// Instances asks every instance how it is, and the leader how far each has
	// come. Without a leader it tells the knowledge of this instance, and sets OwnView; that is no
	// error.
	Instances(ctx context.Context) (RaftView, error)
	// AddInstance lets an instance join as a non-voter; it becomes a voter when
	// it has caught up.
	AddInstance(ctx context.Context, request AddRequest) (Done, error)
	// RemoveInstance takes an instance out of the cluster. It is Refused if
	// the others would not be a quorum, unless the request says Force.
	RemoveInstance(ctx context.Context, request RemoveRequest) (Done, error)
	// RetireInstance ends the work that the instance has under way, because an operator says that
	// its process is gone: the writes that it left are in doubt from then on, and are resolved. It
	// stays a member. It is Refused if the instance was heard of lately.
	RetireInstance(ctx context.Context, request RetireRequest) (Done, error)
	// TransferLeadership makes the named instance the leader, or the one that
	// is best prepared if the request names none.
	TransferLeadership(ctx context.Context, request TransferRequest) (Done, error)
}

// Switching moves roles between storages without failing requests. progress is
// called from one goroutine at a time, never after the method has returned,
// and must not block for long; it may be called with the same stage again.
type Switching interface {
	// Promote makes a storage the primary. With DryRun it only plans.
	Promote(ctx context.Context, request SwitchRequest, progress func(Progress)) (SwitchResponse, error)
	// Drain takes a storage out of use until Undrain; if it is the primary, the
	// next one is promoted first. With DryRun it only plans.
	Drain(ctx context.Context, request SwitchRequest, progress func(Progress)) (SwitchResponse, error)
}

// Overriding is an operator's word against the decisions of the cluster itself.
type Overriding interface {
	// Undrain lets a drained storage return by itself, once it is healthy.
	Undrain(ctx context.Context, request UndrainRequest) (Done, error)
	// Refill has a storage that is out backfilled, because its content may be that of a backup.
	// It is Refused where the last replica of a repository would be lost. With DryRun it only looks.
	Refill(ctx context.Context, request RefillRequest) (RefillResponse, error)
	// Pause switches automatic failover off, Resume on again.
	Pause(ctx context.Context, request PauseRequest) (PauseResponse, error)
	Resume(ctx context.Context, request ResumeRequest) (PauseResponse, error)
	// AcceptLoss declares one storage's replica of a repository the right one.
	AcceptLoss(ctx context.Context, request AcceptLossRequest) (Done, error)
	// RetryJobs makes dead and failed replication jobs ready. It needs Postgres, not a
	// leader, and is done where it is asked.
	RetryJobs(ctx context.Context, request RetryRequest) (RetryResponse, error)
	// DropJobs removes replication jobs. It needs Postgres, not a leader, and is done where it is
	// asked. With DryRun it counts.
	DropJobs(ctx context.Context, request DropRequest) (DropResponse, error)
	// Reconcile makes the replication jobs that are missing. It needs Postgres, not a leader, and is
	// done where it is asked. With DryRun it counts.
	Reconcile(ctx context.Context, request ReconcileRequest) (ReconcileResponse, error)
}
