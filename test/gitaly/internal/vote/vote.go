// Package vote owns a storage's side of reference transactions: the transaction of a call, the path
// of its votes to the coordinator, and the faults that tests inject into them. It promises that a
// storage goes on only after the coordinator said so, that a call without a transaction never votes
// and never waits, and that a call over a connection without backchannel changes nothing that needs
// a vote. Only the storages below test/gitaly may call it.
package vote

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// header is the metadata key that makes a call part of a transaction.
const header = "gitaly-reference-transaction"

// answerTimeout is how long a vote waits for its answer, as in Gitaly: a
// coordinator has no limit of its own.
const answerTimeout = 5 * time.Minute

// Phase is when in the life of a change a vote is cast.
type Phase = gitalypb.VoteTransactionRequest_Phase

// The phases: before the effect, after it, beside it, and before anything is locked.
const (
	Prepared     = gitalypb.VoteTransactionRequest_PREPARED_PHASE
	Committed    = gitalypb.VoteTransactionRequest_COMMITTED_PHASE
	Synchronized = gitalypb.VoteTransactionRequest_SYNCHRONIZED_PHASE
	Preparing    = Phase(4) // of releases newer than the API that is compiled in
)

// Hash is the hash that is voted on: equal changes have equal hashes.
type Hash [sha1.Size]byte

// Of returns the hash of data.
func Of(data []byte) Hash { return sha1.Sum(data) }

// Coordinator counts the votes: the client of a call, reached through
// the connection on which the call came.
type Coordinator = gitalypb.RefTransactionClient

// Transaction is the part that this storage has in one. A nil Transaction is
// that of a call without: its votes succeed at once.
type Transaction struct {
	id      uint64
	node    string
	primary bool
	to      Coordinator // nil if there is no way to it
}

// Primary reports whether this storage is the one that runs the part that must run
// once: custom hooks.
func (t *Transaction) Primary() bool { return t == nil || t.primary }

// Place is the repository that is voted about.
type Place struct {
	Repository *gitalypb.Repository
	// Faults are the planted faults of this storage.
	Faults []Fault
	// Crash ends the server at once; if it returns, ctx has ended.
	Crash func(ctx context.Context)
}

// Vote casts a vote and waits until the coordinator decided. Its error is a
// status: Aborted if the change must not be, or be taken for done; IsStopped
// tells that it was called off.
func (t *Transaction) Vote(ctx context.Context, at Place, phase Phase, hash Hash) error {
	switch {
	case t == nil:
		return nil
	case t.to == nil:
		return status.Error(codes.Internal, "get backchannel: there is none on this connection")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	fault := faultOf(at.Faults, at.Repository.GetRelativePath(), phase)
	if fault.crashBefore {
		at.Crash(ctx)
		return status.FromContextError(ctx.Err()).Err()
	}
	hash, err := fault.apply(ctx, t.node, hash)
	if err != nil {
		return err
	}
	resp, err := t.to.VoteTransaction(ctx, &gitalypb.VoteTransactionRequest{ // which does not say of what repository
		TransactionId:        t.id,
		Node:                 t.node,
		ReferenceUpdatesHash: hash[:],
		Phase:                phase,
	})
	if err != nil {
		return fmt.Errorf("vote: %w", err)
	}
	if fault.crashAfter {
		at.Crash(ctx)
		return status.FromContextError(ctx.Err()).Err()
	}
	switch resp.GetState() {
	case gitalypb.VoteTransactionResponse_COMMIT:
		return nil
	case gitalypb.VoteTransactionResponse_ABORT:
		return status.Error(codes.Aborted, "transaction was aborted")
	case gitalypb.VoteTransactionResponse_STOP:
		return stopped{}
	}
	return status.Errorf(codes.Internal, "unknown state %v of transaction", resp.GetState())
}

// Stop calls the transaction off: this storage, the primary, refused the
// change, and no storage shall make it.
func (t *Transaction) Stop(ctx context.Context, at Place) error {
	if t == nil || t.to == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err := t.to.StopTransaction(ctx, &gitalypb.StopTransactionRequest{TransactionId: t.id})
	if err != nil {
		return fmt.Errorf("stop transaction: %w", err)
	}
	return nil
}

// stopped is the error of a vote in a transaction that was called off.
type stopped struct{}

// Error says so.
func (stopped) Error() string { return "transaction was stopped" }

// GRPCStatus makes it Aborted.
func (s stopped) GRPCStatus() *status.Status { return status.New(codes.Aborted, s.Error()) }

// key is that of a transaction in a context.
type key struct{}

// From returns the transaction of a call, nil for none.
func From(ctx context.Context) *Transaction {
	t, _ := ctx.Value(key{}).(*Transaction)
	return t
}

// Without returns ctx for work that does not vote by itself: a change that no client sees
// yet is voted on as a whole.
func Without(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, (*Transaction)(nil))
}

// enter returns ctx with the transaction that its metadata names, if there is
// one and find knows a way to its coordinator.
func enter(ctx context.Context, find Finder) (context.Context, error) {
	values := metadata.ValueFromIncomingContext(ctx, header)
	if len(values) == 0 {
		return ctx, nil
	}
	raw, err := base64.StdEncoding.DecodeString(values[len(values)-1])
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "decode %s header: %v", header, err)
	}
	var named struct {
		ID      uint64 `json:"id"`
		Node    string `json:"node"`
		Primary bool   `json:"primary"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "decode %s header: %v", header, err)
	}
	to, err := find(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "reach the coordinator of transaction %d: %v", named.ID, err)
	}
	return context.WithValue(ctx, key{}, &Transaction{id: named.ID, node: named.Node, primary: named.Primary, to: to}), nil
}

// IsStopped reports whether a vote failed since the transaction was called off.
func IsStopped(err error) bool {
	_, ok := errors.AsType[stopped](err)
	return ok
}
