package main

import (
	"context"
	"errors"

	"praefect/consensus"
	"praefect/consensus/elector"
	"praefect/consensus/session"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// removing takes storages out of the cluster. The leader does it, because it knows the settings of
// all instances.
type removing struct {
	node    *consensus.Node
	session *session.Session
	way     way
}

// Remove implements admin.Removing.
func (m removing) Remove(ctx context.Context, r admin.RemovalRequest) (admin.RemovalResponse, error) {
	return atLeader(m.way, func() (admin.RemovalResponse, error) {
		return admin.RemovalResponse{}, removalError(m.session.Remove(ctx, r.VirtualStorage, r.Storage, r.By, r.DryRun))
	}, func(c *admin.Client) (admin.RemovalResponse, error) { return c.Remove(ctx, r) })
}

// removalError puts an error of a removal into the terms of an operator.
func removalError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*state.Refusal](err); ok {
		return err
	}
	_, listed := errors.AsType[*elector.ErrListed](err)
	switch {
	case listed:
		return admin.Errorf(admin.Refused, "%v", err)
	case errors.Is(err, session.ErrNotLeading), errors.Is(err, consensus.ErrNotProposed):
		return admin.Errorf(admin.NoLeader, "%v: ask again (%s)", err, nextStep)
	}
	return admin.Errorf(admin.OutcomeUnknown, "%v; praefectctl status and praefectctl history tell", err)
}
