package library

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"praefect/consensus/store"
	"praefect/fsm"
)

// machine is the state machine that the library applies entries to. It hears of the members as
// well, in the order in which they were committed, and tells the followers of each commit.
type machine struct {
	*fsm.FSM
	members *formerMembers
	// applied is called with the index of the last entry of each batch.
	applied func(index uint64)
}

// ApplyBatch implements raft.BatchingFSM.
func (m machine) ApplyBatch(entries []*raft.Log) []any {
	for _, e := range entries {
		if e.Type == raft.LogConfiguration {
			m.members.committed(raft.DecodeConfiguration(e.Data).Servers)
		}
	}
	results := m.FSM.ApplyBatch(entries)
	if n := len(entries); n > 0 {
		m.applied(entries[n-1].Index)
	}
	return results
}

// formerMembers finds out which instances were removed: the ids that a committed entry about
// the members no longer has. An id never comes back, because an instance that joins again has
// a new one.
type formerMembers struct {
	own string // the id of this instance, which learns of its removal from the others

	mu   sync.Mutex
	last []string // ids, as of the last such entry; guarded by mu
	gone []string // that are not yet in instance.json; guarded by mu
}

// committed takes the members that the next such entry has.
func (f *formerMembers) committed(servers []raft.Server) {
	var now []string
	for _, s := range servers {
		now = append(now, string(s.ID))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.last {
		if id != f.own && !slices.Contains(now, id) {
			f.gone = append(f.gone, id)
		}
	}
	f.last = now
}

// has tells whether an id was removed and not yet written down.
func (f *formerMembers) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.gone, id)
}

// writeDown keeps the removed ids over a restart.
func (f *formerMembers) writeDown(d *store.Disk) error {
	f.mu.Lock()
	gone := slices.Clone(f.gone)
	f.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	if err := d.Note(func(id *store.Identity) { id.Remove(gone) }); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = f.gone[len(gone):] // others may have been added behind
	return nil
}

// WasRemoved tells whether the instance with that id was removed from the cluster, as far as
// this one knows.
func (l *Library) WasRemoved(id string) bool {
	return l.former.has(id) || slices.Contains(l.disk.Known().Removed, id)
}

// WriteDownRemoved keeps the ids of removed instances over a restart.
func (l *Library) WriteDownRemoved() error { return l.former.writeDown(l.disk) }
