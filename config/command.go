package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

const (
	// maxCommandBytes bounds the output of a config command that is kept.
	maxCommandBytes = 4 << 20
	// commandPipeDelay is how long children of a config command may keep its
	// output open after it ended.
	commandPipeDelay = time.Second
)

// runCommand runs the config command and returns the object that it printed.
func runCommand(ctx context.Context, path string, limit time.Duration) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, diagnosis capped
	command := exec.CommandContext(ctx, path)
	// A command that is cut off takes its children with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = commandPipeDelay
	command.Stdout, command.Stderr = &out, &diagnosis
	switch err := command.Run(); {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%q did not end within %v: mend it or raise config_command_timeout", path, limit)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%q: %w: %s", path, err, firstLine(diagnosis.kept))
	case out.exceeded:
		return nil, fmt.Errorf("%q printed more than %d bytes", path, maxCommandBytes)
	}
	over, err := decodeObject(out.kept)
	if err != nil {
		return nil, fmt.Errorf("%q must print one JSON object: %w", path, err)
	}
	return over, nil
}

// decodeObject reads one JSON object as the values that TOML would give. Null
// means that nothing was said about the key.
func decodeObject(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after it")
	}
	return plainTable(object), nil
}

func plainTable(object map[string]any) map[string]any {
	table := map[string]any{}
	for key, value := range object {
		if value != nil {
			table[key] = plainValue(value)
		}
	}
	return table
}

func plainValue(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return plainTable(value)
	case []any:
		list := make([]any, len(value))
		for i, element := range value {
			list[i] = plainValue(element)
		}
		return list
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		// A number that no float can hold comes out infinite, which the checks
		// of the values refuse.
		fraction, _ := value.Float64()
		return fraction
	}
	return value
}

// capped keeps the first maxCommandBytes that are written to it.
type capped struct {
	kept     []byte
	exceeded bool
}

// Write keeps the bytes that fit, and takes the rest without an error, so that the command is not
// cut off with a misleading one.
func (c *capped) Write(p []byte) (int, error) {
	room := min(len(p), maxCommandBytes-len(c.kept))
	c.kept = append(c.kept, p[:room]...)
	c.exceeded = c.exceeded || room < len(p)
	return len(p), nil
}

// firstLine returns the start of a diagnosis, enough for one line of a log.
func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return string(line[:min(len(line), 200)])
}
