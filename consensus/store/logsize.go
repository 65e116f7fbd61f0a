package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// pieceLength is how many entries are measured together, perEntry the bytes that each has on
	// the disk beside its data.
	pieceLength = 256
	perEntry    = 64
	// trimAgain is the least time between two cuts.
	trimAgain = time.Second
)

// logSize measures the entries of the log in bytes. Its methods may be called from any
// goroutine.
type logSize struct {
	limit int64
	over  chan struct{} // holds 1: the log has outgrown the limit

	mu     sync.Mutex
	total  int64   // guarded by mu, as the next fields
	pieces []piece // in the order of their indices
}

// piece is a part of the log, its last entry included.
type piece struct {
	first, last uint64
	bytes       int64
}

func newLogSize(limit int64) *logSize {
	return &logSize{limit: limit, over: make(chan struct{}, 1)}
}

// add measures an entry that was appended.
func (s *logSize) add(index uint64, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(bytes + perEntry)
	if n := len(s.pieces); n == 0 || s.pieces[n-1].last-s.pieces[n-1].first >= pieceLength-1 || s.pieces[n-1].last+1 != index {
		s.pieces = append(s.pieces, piece{first: index})
	}
	p := &s.pieces[len(s.pieces)-1]
	p.last, p.bytes = index, p.bytes+size
	s.total += size
	s.tell()
}

// tell wakes the goroutine that cuts the log. Caller holds mu.
func (s *logSize) tell() {
	if s.total > s.limit {
		select {
		case s.over <- struct{}{}:
		default:
		}
	}
}

// remove forgets the entries from first to last, which are at an end of the log. Of a piece
// that is cut each entry counts as much as any other.
func (s *logSize) remove(first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.pieces {
		p := &s.pieces[i]
		from, to := max(first, p.first), min(last, p.last)
		if from > to {
			continue
		}
		gone := p.bytes * int64(to-from+1) / int64(p.last-p.first+1)
		p.bytes -= gone
		s.total -= gone
		if from > p.first {
			p.last = from - 1
		} else {
			p.first = to + 1
		}
	}
	s.pieces = slices.DeleteFunc(s.pieces, func(p piece) bool { return p.first > p.last })
}

// bytes is how much the log has.
func (s *logSize) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// fits returns how many of the last entries have at most half of the limit.
func (s *logSize) fits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries uint64
	left := s.limit / 2
	for _, p := range slices.Backward(s.pieces) {
		if left -= p.bytes; left < 0 {
			break
		}
		entries += p.last - p.first + 1
	}
	return entries
}

// BoundLog cuts the log of the running library r whenever it has outgrown its bound in bytes.
func (d *Disk) BoundLog(ctx context.Context, r *raft.Raft) {
	for {
		select {
		case <-d.size.over:
		case <-ctx.Done():
			return
		}
		if err := d.cutLog(r); err != nil && ctx.Err() == nil {
			d.config.Logger.Warn("the Raft log has outgrown its bound, and could not be cut: it is tried again",
				"bytes", d.size.bytes(), "bound", d.size.limit, "err", err)
		}
		select {
		case <-time.After(trimAgain):
		case <-ctx.Done():
		}
		d.size.mu.Lock()
		d.size.tell()
		d.size.mu.Unlock()
	}
}

// cutLog takes a snapshot, and leaves as much of the log as fits. Afterwards the library
// leaves as many entries as before.
func (d *Disk) cutLog(r *raft.Raft) error {
	before := d.size.bytes()
	usual := r.ReloadableConfig()
	shorter := usual
	shorter.TrailingLogs = min(d.size.fits(), usual.TrailingLogs)
	if err := r.ReloadConfig(shorter); err != nil {
		return err
	}
	err := r.Snapshot().Error()
	if failure := r.ReloadConfig(usual); err == nil {
		err = failure
	}
	if err == nil {
		d.config.Logger.Info("the Raft log was cut to its bound", "bytes_before", before, "bytes", d.size.bytes(), "bound", d.size.limit)
	}
	return err
}

// sizeOf is the bytes that an entry has on the disk beside perEntry.
func sizeOf(log *raft.Log) int { return len(log.Data) + len(log.Extensions) }
