package state

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// SnapshotVersion is the version of the snapshots that this program writes and
// the highest that it reads.
const SnapshotVersion = 1

// maxLine bounds a line of a snapshot in bytes, so that a corrupt one cannot
// exhaust the memory. The longest real ones are answers to full batches.
const maxLine = 64 << 20

// line is one line of a snapshot, a union like Command. The lines come in the
// order of the fields.
type line struct {
	Header         *header         `json:"header,omitempty"`
	Instance       *Instance       `json:"instance,omitempty"`
	VirtualStorage *VirtualStorage `json:"virtual_storage,omitempty"`
	Loss           *AcceptedLoss   `json:"loss,omitempty"`
	Entry          *keyedEntry     `json:"entry,omitempty"`
	Answer         *answer         `json:"answer,omitempty"`
	Trailer        *trailer        `json:"trailer,omitempty"`
}

type header struct {
	Version     int      `json:"version"`
	Index       Index    `json:"index"`
	ClusterID   string   `json:"cluster_id,omitempty"`
	LeaseMillis int64    `json:"lease_ms,omitempty"`
	Replaced    []string `json:"replaced,omitempty"`
	// InstanceHistory has few lines, so that it fits into the header.
	InstanceHistory []Change `json:"instance_history,omitempty"`
	Level           int      `json:"level,omitempty"`
	LossesDropped   uint64   `json:"losses_dropped,omitempty"`
}

type keyedEntry struct {
	Key
	Entry
}

// trailer proves that the snapshot is whole.
type trailer struct {
	Lines  int    `json:"lines"`  // before this one
	CRC32C uint32 `json:"crc32c"` // of these lines
}

// WriteSnapshot writes the state as lines of JSON, one an object, in an order
// that depends on nothing but the state.
func (s *State) WriteSnapshot(w io.Writer) error {
	sw := &snapshotWriter{w: bufio.NewWriter(w), sum: newSum()}
	sw.put(line{Header: &header{Version: SnapshotVersion, Index: s.Index, ClusterID: s.ClusterID, Replaced: s.Replaced, LeaseMillis: s.LeaseMillis, Level: s.Level, InstanceHistory: s.InstanceHistory, LossesDropped: s.LossesDropped}})
	for i := range s.Instances {
		sw.put(line{Instance: &s.Instances[i]})
	}
	for i := range s.VirtualStorages {
		sw.put(line{VirtualStorage: &s.VirtualStorages[i]})
	}
	for i := range s.Losses {
		sw.put(line{Loss: &s.Losses[i]})
	}
	s.Each("", func(k Key, e *Entry) bool {
		sw.put(line{Entry: &keyedEntry{k, *e}})
		return sw.err == nil
	})
	s.answers.each(func(a *answer) bool {
		sw.put(line{Answer: a})
		return sw.err == nil
	})
	sw.put(line{Trailer: &trailer{Lines: sw.lines, CRC32C: sw.sum.Sum32()}})
	if sw.err == nil {
		sw.err = sw.w.Flush()
	}
	if sw.err != nil {
		return fmt.Errorf("write snapshot of index %d: %w", s.Index, sw.err)
	}
	return nil
}

func newSum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// snapshotWriter counts and sums lines; after an error it does nothing.
type snapshotWriter struct {
	w     *bufio.Writer
	sum   hash.Hash32
	lines int
	err   error
}

func (sw *snapshotWriter) put(l line) {
	if sw.err != nil {
		return
	}
	data, err := json.Marshal(l)
	switch {
	case err != nil:
		sw.err = err
		return
	case len(data) >= maxLine:
		sw.err = fmt.Errorf("line %d has %d bytes", sw.lines+1, len(data))
		return
	}
	data = append(data, '\n')
	sw.lines++
	sw.sum.Write(data) // a hash never returns an error
	_, sw.err = sw.w.Write(data)
}
