package store

import (
	"errors"

	"github.com/hashicorp/raft"
)

// joinedLog joins the log to the snapshot before it. The library installs a
// snapshot and goes on to append behind it, but knows the term of the snapshot's
// last entry only while nothing was appended (hashicorp/raft 1.8.0): if the
// leader did not learn that its first entries behind the snapshot were stored,
// because the connection was lost then, the follower refuses the same entries
// permanently, and is sent the snapshot again and again.
type joinedLog struct {
	*guardedStore
	snapshots raft.SnapshotStore
}

// StoreLogs implements raft.LogStore. Entries that do not follow the log follow
// a snapshot that covers all that the log has. The log is then emptied, so that a log that begins
// right behind a snapshot can be told from one that only has a gap there.
func (s *joinedLog) StoreLogs(logs []*raft.Log) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if last > 0 && len(logs) > 0 && logs[0].Index > last+1 {
		first, err := s.FirstIndex()
		if err == nil {
			err = s.DeleteRange(first, last)
		}
		if err != nil {
			return err
		}
	}
	return s.guardedStore.StoreLogs(logs)
}

// StoreLog implements raft.LogStore.
func (s *joinedLog) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// GetLog implements raft.LogStore. The entry right before the log is the last of
// a snapshot; its content is not known any more, and no caller asks for it: the library
// sends an entry only if the log has the one before it, or if it is the first.
func (s *joinedLog) GetLog(index uint64, log *raft.Log) error {
	err := s.guardedStore.GetLog(index, log)
	if index <= 1 || !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	// The library knows ErrLogNotFound by itself only, so that a failure to look for
	// the snapshot is answered as one that is not there.
	if first, failure := s.FirstIndex(); failure != nil || first != index+1 {
		return err
	}
	snapshots, failure := s.snapshots.List()
	if failure != nil {
		return err
	}
	for _, meta := range snapshots {
		if meta.Index == index {
			*log = raft.Log{Index: index, Term: meta.Term, Type: raft.LogNoop}
			return nil
		}
	}
	return err
}
