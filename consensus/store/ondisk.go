package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hashicorp/raft"

	"praefect/fsm"
	"praefect/fsm/state"
)

// OnDisk is the replicated state as the data directory holds it.
type OnDisk struct {
	// State is that of the latest snapshot and of the entries of the log behind it, up to
	// a bound.
	State *state.State
	// Servers are the members as the last entry about them has it, up to the bound.
	Servers []raft.Server
	// Snapshot is the index that the snapshot covers, 0 if there is none.
	Snapshot uint64
	// Last is the last entry that State has, LastTerm its term.
	Last, LastTerm uint64
	// End is the last entry of the log, EndTerm its term, whether State has it or not.
	End, EndTerm uint64
	// Committed is the last entry that the instance knew to be committed; the zero value if that is
	// not known.
	Committed Committed
}

// Everything bounds a reading by nothing.
const Everything = math.MaxUint64

// Read reads the content of the directory, up to the entry with that index. It changes
// nothing, and may run beside the library.
func (d *Disk) Read(upTo func(Committed) uint64) (_ *OnDisk, err error) {
	defer RecoverAs(&err) // package fsm stops at an entry that it cannot decode
	o := &OnDisk{}
	machine := fsm.New()
	if err := d.readSnapshot(machine, o); err != nil {
		return nil, err
	}
	o.Last, o.End, o.EndTerm = o.Snapshot, o.Snapshot, o.LastTerm
	first, err := d.Logs.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("look for a log: %w", err)
	}
	last, err := d.Logs.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("look for the end of the log: %w", err)
	}
	if o.Committed, err = readCommitted(d.config.DataDir); err != nil {
		return nil, fmt.Errorf("read %s: %w", committedFile, err)
	}
	if last > o.Snapshot {
		if first > o.Snapshot+1 {
			return nil, fmt.Errorf("the log begins at entry %d, and the latest snapshot ends at entry %d", first, o.Snapshot)
		}
		var end raft.Log
		if err := d.Logs.GetLog(last, &end); err != nil {
			return nil, fmt.Errorf("read entry %d: %w", last, err)
		}
		o.End, o.EndTerm = last, end.Term
	}
	if err := o.verifyCommitted(d.Logs); err != nil {
		return nil, err
	}
	bound := min(o.End, upTo(o.Committed))
	for index := o.Snapshot + 1; index <= bound; index++ {
		var entry raft.Log
		if err := d.Logs.GetLog(index, &entry); err != nil {
			return nil, fmt.Errorf("read entry %d: %w", index, err)
		}
		o.Last, o.LastTerm = index, entry.Term
		switch entry.Type {
		case raft.LogCommand:
			machine.Apply(&entry)
		case raft.LogConfiguration:
			o.Servers = raft.DecodeConfiguration(entry.Data).Servers
		}
	}
	o.State = machine.View()
	return o, nil
}

// readSnapshot restores the latest snapshot that can be read.
func (d *Disk) readSnapshot(machine *fsm.FSM, o *OnDisk) error {
	snapshots, err := d.Snapshots.List()
	if err != nil {
		return fmt.Errorf("look for snapshots: %w", err)
	}
	var faults []error
	for _, meta := range snapshots {
		_, from, err := d.Snapshots.Open(meta.ID)
		if err == nil {
			err = errors.Join(machine.Restore(from), from.Close())
		}
		if err == nil {
			o.Snapshot, o.LastTerm = meta.Index, meta.Term
			o.Servers = slices.Clone(meta.Configuration.Servers)
			return nil
		}
		faults = append(faults, fmt.Errorf("snapshot %s: %w", meta.ID, err))
	}
	return errors.Join(faults...)
}

// verifyCommitted forgets a record of committed entries that speaks of another log.
func (o *OnDisk) verifyCommitted(logs raft.LogStore) error {
	c := o.Committed
	if c.Index <= o.Snapshot {
		return nil // a snapshot has committed entries only
	}
	var entry raft.Log
	err := logs.GetLog(c.Index, &entry)
	if errors.Is(err, raft.ErrLogNotFound) || err == nil && entry.Term != c.Term {
		o.Committed = Committed{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read entry %d: %w", c.Index, err)
	}
	return nil
}
