package store

import (
	"io"
	"math"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"praefect/test/must"
)

// snapshotsAt are snapshots that end at an index, with a term.
type snapshotsAt map[uint64]uint64

func (s snapshotsAt) List() (all []*raft.SnapshotMeta, _ error) {
	for index, term := range s {
		all = append(all, &raft.SnapshotMeta{Index: index, Term: term})
	}
	return all, nil
}

func TestJoinedLog(t *testing.T) {
	for name, row := range map[string]struct {
		snapshots  snapshotsAt
		has, added []uint64 // indexes
		asked      uint64
		term       uint64 // of the answer; 0: not found
		first      uint64 // of the log, afterwards
	}{
		"the snapshot's last entry":                {snapshotsAt{9: 3}, nil, []uint64{10, 11}, 9, 3, 10},
		"after an older log":                       {snapshotsAt{9: 3}, []uint64{1, 2, 3}, []uint64{10}, 9, 3, 10},
		"after an older log that ends right there": {snapshotsAt{9: 3}, []uint64{7, 8}, []uint64{10}, 8, 0, 10},
		"an entry that is there":                   {snapshotsAt{9: 3}, []uint64{8, 9}, []uint64{10}, 9, 1, 8},
		"no snapshot ends there":                   {snapshotsAt{8: 3}, nil, []uint64{10}, 9, 0, 10},
		"before the snapshot":                      {snapshotsAt{9: 3}, nil, []uint64{10}, 8, 0, 10},
		"in a log that goes on":                    {snapshotsAt{9: 3}, []uint64{1, 2}, []uint64{3}, 9, 0, 1},
		"the first entry of all":                   {snapshotsAt{1: 3}, nil, []uint64{2}, 1, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &joinedLog{
				guardedStore: &guardedStore{store: struct {
					*raft.InmemStore
					nothingToClose
				}{InmemStore: raft.NewInmemStore()}, guard: newGuard(time.Minute), size: newLogSize(math.MaxInt64), seconds: newSeconds()},
				snapshots: listed{row.snapshots},
			}
			for _, indexes := range [][]uint64{row.has, row.added} {
				var logs []*raft.Log
				for _, index := range indexes {
					logs = append(logs, &raft.Log{Index: index, Term: 1})
				}
				must.Succeed(t, s.StoreLogs(logs))
			}
			var got raft.Log
			err := s.GetLog(row.asked, &got)
			if row.term == 0 && err != raft.ErrLogNotFound || row.term > 0 && (err != nil || got.Term != row.term || got.Index != row.asked) {
				t.Errorf("got %+v, %v, want term %d", got, err, row.term)
			}
			if first, err := s.FirstIndex(); err != nil || first != row.first {
				t.Errorf("the log begins at %d (%v), want %d", first, err, row.first)
			}
		})
	}
}

type nothingToClose struct{}

func (nothingToClose) Close() error { return nil }

// listed is a store of which only the list is asked for.
type listed struct{ snapshotsAt }

func (listed) Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64, raft.Transport) (raft.SnapshotSink, error) {
	panic("nobody takes a snapshot here")
}

func (listed) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	panic("nobody reads a snapshot here")
}
