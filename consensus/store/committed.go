package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// committedFile says which entry of the log this instance last knew to be committed. The
// library keeps that nowhere: a restarted instance without a leader would not know which
// entries of its log count.
const committedFile = "committed"

// Committed names an entry of the log that was committed, and says when this instance knew
// of it. An entry of another term at that index is another one, of an older copy of
// the log.
type Committed struct {
	Index, Term uint64
	Time        time.Time
}

// committedLength is that of the record: index, term, Unix milliseconds, and the CRC-32C of
// these.
const committedLength = 8 + 8 + 8 + 4

func (c Committed) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, c.Index)
	b = binary.BigEndian.AppendUint64(b, c.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixMilli()))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// readCommitted returns the record in the directory, the zero value if there is none or the
// machine failed while it was written: then nothing is known to be committed.
func readCommitted(dir string) (Committed, error) {
	b, err := os.ReadFile(filepath.Join(dir, committedFile))
	if errors.Is(err, os.ErrNotExist) {
		return Committed{}, nil
	}
	if err != nil {
		return Committed{}, err
	}
	if len(b) != committedLength {
		return Committed{}, nil
	}
	c := Committed{
		Index: binary.BigEndian.Uint64(b), Term: binary.BigEndian.Uint64(b[8:]),
		Time: time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:]))),
	}
	if string(c.encode()) != string(b) {
		return Committed{}, nil
	}
	return c, nil
}

// noteEvery is how often at most the record is brought up to date. It is one small write without
// fsync: if a failure of the machine loses the last ones, a restarted instance without a leader
// knows less.
const noteEvery = 250 * time.Millisecond

// NoteCommitted keeps the record of commitIndex up to date until ctx ends. It looks after each
// message of more, which is at or after a commit.
func (d *Disk) NoteCommitted(ctx context.Context, commitIndex func() uint64, more <-chan struct{}) {
	f, err := os.OpenFile(filepath.Join(d.config.DataDir, committedFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		d.config.Logger.WarnContext(ctx, "without a quorum a restarted instance will not know what is committed", "err", err)
		return
	}
	defer func() {
		if err := f.Close(); err != nil {
			d.config.Logger.WarnContext(ctx, "close the record of what is committed", "err", err)
		}
	}()
	var noted uint64
	for last := false; ; {
		if index := commitIndex(); index > noted {
			if err := d.noteEntry(f, index); err != nil {
				d.config.Logger.WarnContext(ctx, "without a quorum a restarted instance will not know what is committed", "err", err)
				return
			}
			noted = index
		}
		if last {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			last = true
			continue
		}
		pause := time.NewTimer(noteEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			last = true
		}
		pause.Stop()
	}
}

// noteEntry writes the record, if the entry is there.
func (d *Disk) noteEntry(to io.WriterAt, index uint64) error {
	var entry raft.Log
	err := d.Logs.GetLog(index, &entry)
	if errors.Is(err, raft.ErrLogNotFound) {
		return nil // a snapshot covers it
	}
	if err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	_, err = to.WriteAt(Committed{Index: index, Term: entry.Term, Time: time.Now()}.encode(), 0)
	return err
}
