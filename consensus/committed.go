package consensus

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

// committed names an entry of the log that was committed, and says when this instance knew
// of it. An entry of another term at that index is another one, of an older copy of
// the log.
type committed struct {
	Index, Term uint64
	Time        time.Time
}

// committedLength is that of the record: index, term, Unix milliseconds, and the CRC-32C of
// these.
const committedLength = 8 + 8 + 8 + 4

func (c committed) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, c.Index)
	b = binary.BigEndian.AppendUint64(b, c.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixMilli()))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// readCommitted returns the record in the directory, the zero value if there is none or the
// machine failed while it was written: then nothing is known to be committed.
func readCommitted(dir string) (committed, error) {
	b, err := os.ReadFile(filepath.Join(dir, committedFile))
	if errors.Is(err, os.ErrNotExist) {
		return committed{}, nil
	}
	if err != nil {
		return committed{}, err
	}
	if len(b) != committedLength {
		return committed{}, nil
	}
	c := committed{
		Index: binary.BigEndian.Uint64(b), Term: binary.BigEndian.Uint64(b[8:]),
		Time: time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:]))),
	}
	if string(c.encode()) != string(b) {
		return committed{}, nil
	}
	return c, nil
}

// noteEvery is how often the record is brought up to date. It is one small write without
// fsync: if a failure of the machine loses the last ones, a restarted instance without a leader
// knows less.
const noteEvery = 250 * time.Millisecond

// noteCommitted keeps the record up to date until ctx ends.
func (n *Node) noteCommitted(ctx context.Context) {
	f, err := os.OpenFile(filepath.Join(n.config.DataDir, committedFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		n.config.Logger.WarnContext(ctx, "without a quorum a restarted instance will not know what is committed", "err", err)
		return
	}
	defer func() {
		if err := f.Close(); err != nil {
			n.config.Logger.WarnContext(ctx, "close the record of what is committed", "err", err)
		}
	}()
	var noted uint64
	for last := false; ; {
		if index := n.CommitIndex(); index > noted {
			if err := n.note(f, index); err != nil {
				n.config.Logger.WarnContext(ctx, "without a quorum a restarted instance will not know what is committed", "err", err)
				return
			}
			noted = index
		}
		if last {
			return
		}
		last = !pause(ctx, noteEvery)
	}
}

// note writes the record, if the entry is there.
func (n *Node) note(to io.WriterAt, index uint64) error {
	var entry raft.Log
	err := n.stores.logs.GetLog(index, &entry)
	if errors.Is(err, raft.ErrLogNotFound) {
		return nil // a snapshot covers it
	}
	if err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	_, err = to.WriteAt(committed{Index: index, Term: entry.Term, Time: time.Now()}.encode(), 0)
	return err
}
