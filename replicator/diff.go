package replicator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"praefect/fsm/state"
)

// differing is one reference with its values on two storages, empty where it is
// absent.
type differing struct {
	name        string
	here, there value
}

// value is the object that a reference leads to; peeled is set for an annotated tag.
type value struct{ id, peeled string }

// differ lists the references that differ between two replicas, by their names.
func (c *calls) differ(ctx context.Context, key state.Key, here, there string) (list []differing, err error) {
	for d, err := range c.differences(ctx, key, here, there) {
		if err != nil {
			return nil, err
		}
		if len(list) == differingLimit {
			return nil, fmt.Errorf("compare the references on %q and %q: more than %d differ", here, there, differingLimit)
		}
		list = append(list, d)
	}
	return list, nil
}

// differences yields the references that differ between two replicas, by their names. It holds
// one of each side at a time; an error is the last that it yields.
func (c *calls) differences(ctx context.Context, key state.Key, here, there string) iter.Seq2[differing, error] {
	return func(yield func(differing, error) bool) {
		nextHere, stopHere := iter.Pull2(c.compared(ctx, key, here, true))
		defer stopHere()
		nextThere, stopThere := iter.Pull2(c.compared(ctx, key, there, true))
		defer stopThere()
		a, errA, okA := nextHere()
		b, errB, okB := nextThere()
		for okA || okB {
			if err := errors.Join(errA, errB); err != nil {
				yield(differing{}, err)
				return
			}
			order := bytes.Compare(a.GetName(), b.GetName())
			switch {
			case !okB:
				order = -1
			case !okA:
				order = 1
			}
			d := differing{}
			if order <= 0 {
				d.name, d.here = string(a.GetName()), value{a.GetTarget(), a.GetPeeledTarget()}
				a, errA, okA = nextHere()
			}
			if order >= 0 {
				d.name, d.there = string(b.GetName()), value{b.GetTarget(), b.GetPeeledTarget()}
				b, errB, okB = nextThere()
			}
			if d.here.id != d.there.id && !yield(d, nil) {
				return
			}
		}
	}
}

// Difference is a reference with its values on two storages, empty where it is absent.
type Difference struct{ Name, Here, There string }

// Diff compares the references of two replicas of a repository, for people. each gets the
// references that differ, by their names, until it returns false. A storage without the repository
// has no references.
func (r *Replicator) Diff(ctx context.Context, key state.Key, here, there string, each func(Difference) bool) (hereHas, thereHas bool, err error) {
	if hereHas, err = r.calls.exists(ctx, key, here); err != nil {
		return false, false, err
	}
	if thereHas, err = r.calls.exists(ctx, key, there); err != nil {
		return false, false, err
	}
	switch {
	case hereHas && thereHas:
		for d, err := range r.calls.differences(ctx, key, here, there) {
			if err != nil {
				return true, true, err
			}
			if !each(Difference{d.name, d.here.id, d.there.id}) {
				break
			}
		}
	case hereHas || thereHas:
		one := here
		if thereHas {
			one = there
		}
		for ref, err := range r.calls.compared(ctx, key, one, true) {
			if err != nil {
				return hereHas, thereHas, err
			}
			d := Difference{Name: string(ref.GetName()), Here: ref.GetTarget()}
			if thereHas {
				d.Here, d.There = "", ref.GetTarget()
			}
			if !each(d) {
				break
			}
		}
	}
	return hereHas, thereHas, nil
}

// GivenUp tells for the record of an accepted loss how the replica of each other storage of the
// virtual storage differs from the one that is chosen, and which of them could not be compared.
func (r *Replicator) GivenUp(ctx context.Context, key state.Key, chosen string, others []string) (givenUp []state.Conflict, notCompared []string) {
	for _, storage := range others {
		m := meeting{}
		var err error
		m.PrimaryHas, m.Has, err = r.Diff(ctx, key, chosen, storage, func(d Difference) bool {
			m.list = append(m.list, differing{d.Name, value{id: d.Here}, value{id: d.There}})
			return len(m.list) < differingLimit
		})
		if err != nil {
			notCompared = append(notCompared, storage)
			continue
		}
		if m.PrimaryHas != m.Has || len(m.list) > 0 {
			givenUp = append(givenUp, r.calls.describe(ctx, key, chosen, storage, m))
		}
	}
	return givenUp, notCompared
}
