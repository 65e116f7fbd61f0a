package store

import (
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"praefect/consensus/setup"
)

// guardedStore makes every call to the store through a guard and measures it.
// It is the only user of the store.
type guardedStore struct {
	store   setup.LogStore
	guard   *Guard
	size    *logSize
	seconds *prometheus.HistogramVec // by operation
}

func (s *guardedStore) do(op string, call func() error) error {
	begun := time.Now()
	defer func() { s.seconds.WithLabelValues(op).Observe(time.Since(begun).Seconds()) }()
	return s.guard.do(op, call)
}

// FirstIndex implements raft.LogStore.
func (s *guardedStore) FirstIndex() (index uint64, err error) {
	err = s.do("first index", func() (err error) { index, err = s.store.FirstIndex(); return err })
	return index, err
}

// LastIndex implements raft.LogStore.
func (s *guardedStore) LastIndex() (index uint64, err error) {
	err = s.do("last index", func() (err error) { index, err = s.store.LastIndex(); return err })
	return index, err
}

// GetLog implements raft.LogStore.
func (s *guardedStore) GetLog(index uint64, log *raft.Log) error {
	return s.do("read log", func() error { return s.store.GetLog(index, log) })
}

// StoreLog implements raft.LogStore.
func (s *guardedStore) StoreLog(log *raft.Log) error {
	return s.StoreLogs([]*raft.Log{log})
}

// StoreLogs implements raft.LogStore.
func (s *guardedStore) StoreLogs(logs []*raft.Log) error {
	if err := s.do("append log", func() error { return s.store.StoreLogs(logs) }); err != nil {
		return err
	}
	for _, log := range logs {
		s.size.add(log.Index, sizeOf(log))
	}
	return nil
}

// deleteChunk bounds the entries that one transaction deletes, so that appends
// get their turn while an old part of the log goes.
const deleteChunk = 4096

// DeleteRange implements raft.LogStore. Entries go from the front in chunks:
// the rest is a log at each moment. From the end they go at once, because the library truncates
// there before it appends others.
func (s *guardedStore) DeleteRange(first, last uint64) error {
	oldest, err := s.FirstIndex()
	if err != nil {
		return err
	}
	if oldest == first {
		for ; first+deleteChunk <= last; first += deleteChunk {
			if err := s.deleteRange(first, first+deleteChunk-1); err != nil {
				return err
			}
		}
	}
	return s.deleteRange(first, last)
}

func (s *guardedStore) deleteRange(first, last uint64) error {
	if err := s.do("delete log", func() error { return s.store.DeleteRange(first, last) }); err != nil {
		return err
	}
	s.size.remove(first, last)
	return nil
}
