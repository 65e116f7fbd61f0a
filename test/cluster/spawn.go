package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// spawn executes the program and returns once that has succeeded.
func (p *Process) spawn(env []string) (*run, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open its log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own copy of the descriptor
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("find the end of its log: %w", err)
	}
	cmd := p.command(env)
	cmd.Stdout, cmd.Stderr = log, log
	ended, err := p.place.Start(cmd)
	if err != nil {
		return nil, err
	}
	return &run{logFrom: end, command: cmd, ended: ended}, nil
}

// ExitError is the end of a process that ended otherwise than with status 0.
type ExitError struct {
	// Process is the name of the instance or storage.
	Process string
	// State is how it ended.
	State *os.ProcessState
	// Log is the path of its log, and Tail the end of its output in its last life.
	Log, Tail string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s ended: %v; the end of its log %s:\n%s", e.Process, e.State, e.Log, e.Tail)
}

// exit is how a life ended, as an error unless it ended well.
func (p *Process) exit(r *run) error {
	if r.state().Success() {
		return nil
	}
	return &ExitError{Process: p.name, State: r.state(), Log: p.log, Tail: p.tail(r)}
}

// tail is the end of the output of a life in the log.
func (p *Process) tail(r *run) string {
	const kept = 4 << 10
	text, err := readTail(p.log, r.logFrom, kept)
	if err != nil {
		return err.Error() // it stands where the reader looks for the log
	}
	return text
}

// readTail returns the last bytes of a file from an offset on, at most limit and
// beginning with a whole line.
func readTail(path string, from, limit int64) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	start := max(from, info.Size()-limit)
	content := make([]byte, max(0, info.Size()-start))
	n, err := file.ReadAt(content, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	text := string(content[:n])
	if start > from {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text, nil
}
