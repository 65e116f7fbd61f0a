package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// ReadSnapshot is the inverse of WriteSnapshot. It returns an error for a
// snapshot that is truncated, corrupt, of another version, or of a state that
// fails Check; a *LevelError for one that this program is too old for.
func ReadSnapshot(r io.Reader) (*State, error) { return readSnapshot(r, Level) }

// readSnapshot is ReadSnapshot of a program of the level.
func readSnapshot(r io.Reader, level int) (*State, error) {
	sr := newSnapshotReader(level)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	lines.Split(scanWholeLine)
	for lines.Scan() {
		if err := sr.take(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("read snapshot: line %d: %w", sr.lines+1, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read snapshot: line %d: %w", sr.lines+1, err)
	}
	if sr.rank != rankTrailer {
		return nil, fmt.Errorf("read snapshot: truncated after line %d", sr.lines)
	}
	sr.state.ledger, sr.state.tally = sr.ledger.Commit(), sr.tally.end()
	if err := sr.state.Check(); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return &sr.state, nil
}

// scanWholeLine splits at newlines, keeps them, and takes a last line without
// one for truncated.
func scanWholeLine(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// The ranks of lines; they never fall within a snapshot.
const (
	rankNone = iota
	rankHeader
	rankInstance
	rankVirtualStorage
	rankLoss
	rankEntry
	rankAnswer
	rankTrailer
)

// rank returns the rank of the line, or an error unless it has one object.
func (l *line) rank() (int, error) {
	rank, n := rankNone, 0
	for i, set := range []bool{
		l.Header != nil, l.Instance != nil, l.VirtualStorage != nil, l.Loss != nil,
		l.Entry != nil, l.Answer != nil, l.Trailer != nil,
	} {
		if set {
			rank, n = rankHeader+i, n+1
		}
	}
	if n != 1 {
		return rankNone, errors.New("not exactly one object")
	}
	return rank, nil
}

// snapshotReader builds a state line by line.
type snapshotReader struct {
	state   State
	ledger  *iradix.Txn[*Entry]
	tally   counter
	lastKey []byte
	level   int // of the program

	// json decodes the content of line, one line after the other, and has read upTo
	// bytes once the last one is decoded.
	json *json.Decoder
	line *bytes.Reader
	upTo int64

	rank  int
	lines int
	sum   hash.Hash32
}

func newSnapshotReader(level int) *snapshotReader {
	line := bytes.NewReader(nil)
	d := json.NewDecoder(line)
	d.DisallowUnknownFields()
	return &snapshotReader{level: level, ledger: iradix.New[*Entry]().Txn(), tally: tally{}.change(), sum: newSum(), line: line, json: d}
}

// decode is strictJSON for a line. A decoder for all lines makes a restore a good
// deal faster than one for each; it may stop reading where the object ends, so that
// it gets the line without its newline, and nothing of it is left.
func (sr *snapshotReader) decode(data []byte, l *line) error {
	object := bytes.TrimSuffix(data, []byte{'\n'})
	sr.line.Reset(object)
	if err := sr.json.Decode(l); err != nil {
		return err
	}
	sr.upTo += int64(len(object))
	if sr.json.InputOffset() != sr.upTo {
		return errors.New("data after the end")
	}
	return nil
}

// headerLevel returns the feature level that the header of a snapshot names. A
// later program may have added to the header, so that nothing else is read.
func headerLevel(data []byte) int {
	var l struct {
		Header struct {
			Level int `json:"level"`
		} `json:"header"`
	}
	if json.Unmarshal(data, &l) != nil {
		return 1 // decode names the fault
	}
	return max(1, l.Header.Level)
}

func (sr *snapshotReader) take(data []byte) error {
	if sr.rank == rankNone {
		if needed := headerLevel(data); needed > sr.level {
			return &LevelError{What: "the snapshot", Needed: needed}
		}
	}
	var l line
	if err := sr.decode(data, &l); err != nil {
		return err
	}
	rank, err := l.rank()
	if err != nil {
		return err
	}
	once := rank == rankHeader || rank == rankTrailer
	if rank < sr.rank || (once && rank == sr.rank) || (sr.rank == rankNone && rank != rankHeader) {
		return errors.New("out of order")
	}
	sr.rank = rank
	if err := sr.add(&l); err != nil {
		return err
	}
	sr.lines++
	sr.sum.Write(data) // a hash never returns an error
	return nil
}

func (sr *snapshotReader) add(l *line) error {
	switch {
	case l.Header != nil:
		if l.Header.Version != SnapshotVersion {
			return fmt.Errorf("version %d, this program knows version %d", l.Header.Version, SnapshotVersion)
		}
		sr.state.Replaced = l.Header.Replaced
		sr.state.Index, sr.state.ClusterID, sr.state.LeaseMillis = l.Header.Index, l.Header.ClusterID, l.Header.LeaseMillis
		sr.state.InstanceHistory = l.Header.InstanceHistory
		sr.state.Level, sr.state.LossesDropped = l.Header.Level, l.Header.LossesDropped
	case l.Instance != nil:
		sr.state.Instances = append(sr.state.Instances, *l.Instance)
	case l.VirtualStorage != nil:
		sr.state.VirtualStorages = append(sr.state.VirtualStorages, *l.VirtualStorage)
	case l.Loss != nil:
		sr.state.Losses = append(sr.state.Losses, *l.Loss)
	case l.Entry != nil:
		return sr.addEntry(l.Entry)
	case l.Answer != nil:
		return sr.addAnswer(l.Answer)
	case l.Trailer != nil:
		if got := (trailer{Lines: sr.lines, CRC32C: sr.sum.Sum32()}); got != *l.Trailer {
			return fmt.Errorf("the lines before are %+v, the trailer says %+v", got, *l.Trailer)
		}
	}
	return nil
}

func (sr *snapshotReader) addEntry(e *keyedEntry) error {
	key := e.Key.appendTo(nil)
	if bytes.Compare(key, sr.lastKey) <= 0 {
		return fmt.Errorf("entry %q in %q is out of order", e.RelativePath, e.VirtualStorage)
	}
	sr.lastKey = key
	e.shrunk = e.Changed
	sr.ledger.Insert(key, &e.Entry)
	sr.state.wishes = noteWish(sr.state.wishes, e.Key, nil, &e.Entry)
	sr.tally.replace(e.VirtualStorage, nil, &e.Entry)
	return nil
}

func (sr *snapshotReader) addAnswer(a *answer) error {
	if last := sr.state.answers.last(); a.RequestID == "" || a.Index <= last || a.Index > sr.state.Index {
		return fmt.Errorf("answer of index %d to %q is out of order", a.Index, a.RequestID)
	}
	if sr.state.answers.find(a.RequestID) != nil || sr.state.answers.len() == AnswersKept {
		return fmt.Errorf("answer to %q is one too many", a.RequestID)
	}
	sr.state.answers = sr.state.answers.add(a)
	return nil
}
