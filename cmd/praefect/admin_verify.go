package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/replicator"
	"praefect/replicator/queue"
)

// adminVerify is the replicator's verification in the terms of the operators' service.
type adminVerify struct {
	repair        *replicator.Replicator
	verifications queue.Verifications
}

// Verify implements admin.Verification.
func (v adminVerify) Verify(ctx context.Context, key state.Key) (admin.VerifyResponse, error) {
	found, noted, err := v.repair.Verify(ctx, key)
	if errors.Is(err, replicator.ErrNoRepository) {
		return admin.VerifyResponse{}, admin.ErrNoRepository
	}
	if err != nil {
		return admin.VerifyResponse{}, err
	}
	answer := admin.VerifyResponse{Primary: found.Primary, Undecided: found.Undecided, Replicas: []admin.VerifiedReplica{}}
	if noted != nil {
		answer.NotNoted = noted.Error()
	}
	add := func(result admin.ReplicaResult, what string, storages ...string) {
		for _, storage := range storages {
			answer.Replicas = append(answer.Replicas, admin.VerifiedReplica{
				Storage: storage, Result: result, What: what, Checked: slices.Contains(found.Checked, storage),
			})
		}
	}
	add(admin.ReplicaAlike, "", found.Alike...)
	for _, d := range found.Differences {
		add(admin.ReplicaDiffers, d.What, d.Storage)
	}
	if why := found.Why; why != nil {
		add(admin.ReplicaUnknown, why.Error(), found.Unknown...)
	}
	add(admin.ReplicaSkipped, "it does not serve, or is behind", found.Skipped...)
	slices.SortFunc(answer.Replicas, func(a, b admin.VerifiedReplica) int {
		switch found.Primary { // stands first
		case a.Storage:
			return -1
		case b.Storage:
			return 1
		}
		return strings.Compare(a.Storage, b.Storage)
	})
	return answer, nil
}

// Request implements admin.Verification.
func (v adminVerify) Request(ctx context.Context, virtualStorage, storage string) (int64, error) {
	return v.verifications.Request(ctx, queue.Marked{Key: state.Key{VirtualStorage: virtualStorage}, Storage: storage})
}

// Count implements admin.Verification.
func (v adminVerify) Count(ctx context.Context, virtualStorage string) (int, error) {
	return v.verifications.Count(ctx, virtualStorage)
}

// Requested implements admin.Verification.
func (v adminVerify) Requested(ctx context.Context, virtualStorage string) (int, error) {
	const never = 100 * 365 * 24 * time.Hour // an expired verification is not asked for
	requested, _, err := v.verifications.Waiting(ctx, virtualStorage, never, admin.WaitingLimit)
	return requested, err
}
