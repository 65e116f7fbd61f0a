// Package chronicle owns the lines of the log about changes of the serving storages and of the
// instances. It finds the changes between two states, so that each change gets exactly one line,
// for any proposer and any number of commands. It promises to be pure. Package session calls it at
// the leader and writes the lines.
package chronicle

import (
	"slices"
	"strings"
	"time"

	"praefect/fsm/state"
)

// Kind is the kind of change. It is the field "change" of a line.
type Kind string

// The kinds; docs/operations/changes.md explains each.
const (
	Failover             Kind = "failover"
	Promote              Kind = "promote"
	Drain                Kind = "drain"
	Undrain              Kind = "undrain"
	Return               Kind = "return"
	Backfilled           Kind = "backfilled"
	OtherDisk            Kind = "other-disk"
	AddStorage           Kind = "add-storage"
	RemoveStorage        Kind = "remove-storage"
	DefineVirtualStorage Kind = "define-virtual-storage"
	RemoveVirtualStorage Kind = "remove-virtual-storage"
	AddInstance          Kind = "add-instance"
	RemoveInstance       Kind = "remove-instance"
	RetireInstance       Kind = "retire-instance"
	AcceptLoss           Kind = "accept-loss"
	Recovery             Kind = "recovery"
)

// Kinds are all of them.
var Kinds = []Kind{
	Failover, Promote, Drain, Undrain, Return, Backfilled, OtherDisk, AddStorage, RemoveStorage, DefineVirtualStorage,
	RemoveVirtualStorage, AddInstance, RemoveInstance, RetireInstance, AcceptLoss, Recovery,
}

// ofWhat are the kinds of the lines of the history without a storage's state. A line that
// is not here changes nothing about the storages that serve.
var ofWhat = map[string]Kind{
	state.ChangeLossAccepted: AcceptLoss, state.ChangeRecovered: Recovery,
	state.ChangeAdded: AddInstance, state.ChangeRemoved: RemoveInstance, state.ChangeRetired: RetireInstance,
}

// Change is one change of the storages that serve.
type Change struct {
	Kind           Kind
	VirtualStorage string
	Storages       []string
	RelativePath   string
	Instance       string
	// Cause is the reason in the state, By the operator that asked for it.
	Cause, By string
	Index     state.Index
	Epoch     uint64
	// Took is the time from the first command of the change to the last one, by the clocks
	// of the proposers; 0 if there was one command only.
	Took time.Duration
	// PrimaryBefore and Primary are the primaries of a clean repository.
	PrimaryBefore, Primary string

	before, after *state.State
}

// Between returns the changes that led from one state to a later one, in their order. A
// fence is no change by itself: the change is there when the fence ends.
func Between(before, after *state.State) []Change {
	var all []Change
	for i := range after.VirtualStorages {
		vs := &after.VirtualStorages[i]
		former := before.VirtualStorage(vs.Name)
		if former == nil {
			all = append(all, Change{
				Kind: DefineVirtualStorage, VirtualStorage: vs.Name, Storages: names(vs), Cause: "defined",
				Index: after.Index, Epoch: vs.Epoch, Primary: primary(vs),
			})
			continue
		}
		all = append(all, ofHistory(before.Index, former, vs)...)
	}
	for i := range before.VirtualStorages {
		if vs := &before.VirtualStorages[i]; after.VirtualStorage(vs.Name) == nil {
			all = append(all, Change{
				Kind: RemoveVirtualStorage, VirtualStorage: vs.Name, Storages: names(vs), Cause: "removed",
				Index: after.Index, Epoch: vs.Epoch, PrimaryBefore: primary(vs),
			})
		}
	}
	for _, h := range after.InstanceHistory[newer(after.InstanceHistory, before.Index):] {
		if kind, is := ofWhat[h.What]; is {
			all = append(all, Change{Kind: kind, Instance: h.Instance, Cause: h.Why, By: h.By, Index: h.Index})
		}
	}
	for i := range all {
		all[i].before, all[i].after = before, after
	}
	slices.SortStableFunc(all, func(a, b Change) int { return int(a.Index) - int(b.Index) })
	return all
}

// ofHistory are the changes in the history of a virtual storage after an index: one for
// each command, however many storages it concerned.
func ofHistory(since state.Index, former, vs *state.VirtualStorage) []Change {
	var all []Change
	for i := newer(vs.History, since); i < len(vs.History); i++ {
		h := &vs.History[i]
		c, is := classify(vs.History[:i], h)
		if !is {
			continue
		}
		if n := len(all); n > 0 && all[n-1].Index == c.Index && all[n-1].Kind == c.Kind && c.RelativePath == "" && h.Storage != "" {
			all[n-1].Storages = append(all[n-1].Storages, h.Storage)
			all[n-1].Took = max(all[n-1].Took, c.Took)
			continue
		}
		c.VirtualStorage, c.PrimaryBefore, c.Primary = vs.Name, primary(former), primary(vs)
		all = append(all, c)
	}
	return all
}

// newer is where the lines after an index begin: mostly at the end, where it looks first, because
// the leader asks after every entry of the log.
func newer(history []state.Change, since state.Index) int {
	i := len(history)
	for i > 0 && history[i-1].Index > since {
		i--
	}
	return i
}

// classify tells the meaning of a line of the history after the lines before it; false if nothing
// about the storages that serve.
func classify(before []state.Change, h *state.Change) (Change, bool) {
	c := Change{RelativePath: h.RelativePath, Cause: h.Why, By: h.By, Index: h.Index, Epoch: h.Epoch}
	if h.Storage != "" {
		c.Storages = []string{h.Storage}
	}
	if h.What != "" {
		c.Kind = ofWhat[h.What]
		return c, c.Kind != ""
	}
	last := lastOf(before, h.Storage)
	fenced := last != nil && last.To == state.Fenced
	if fenced {
		c.Took = time.Duration(h.Time-last.Time) * time.Millisecond
		c.By = last.By
	}
	switch {
	case h.To == state.Fenced:
		return c, false
	case h.To == "":
		c.Kind = RemoveStorage
	case fenced && last.Why == state.WhySwitchover:
		c.Kind, c.Cause = Promote, last.Why
	case h.To == state.Out && h.Why == state.WhyDrained:
		c.Kind = Drain
	case h.To == state.Out && fenced:
		c.Kind = Failover
	case h.To == state.Out:
		c.Kind = Undrain
	case h.To == state.Serving && last != nil && last.To == state.Backfilling:
		c.Kind = Backfilled
	case h.To == state.Serving:
		c.Kind = Return
	case h.Why == "defined":
		c.Kind = AddStorage
	case h.Why == "recovered":
		return c, false // the recovery has its own line
	default:
		c.Kind = OtherDisk
	}
	return c, true
}

// lastOf is the last line of a history that gives the storage a state, nil if there is none.
func lastOf(history []state.Change, storage string) *state.Change {
	for i := len(history) - 1; i >= 0; i-- {
		if h := &history[i]; h.What == "" && h.Storage == storage {
			return h
		}
	}
	return nil
}

func names(vs *state.VirtualStorage) []string {
	var list []string
	for i := range vs.Succession {
		list = append(list, vs.Succession[i].Name)
	}
	return list
}

// primary is that of a clean repository, empty if none takes writes; a fenced one is
// still named, because it was the primary until then.
func primary(vs *state.VirtualStorage) string {
	p, _ := vs.Primary(nil)
	return p.Name
}

// Storage is the storages in one text.
func (c *Change) Storage() string { return strings.Join(c.Storages, ",") }
