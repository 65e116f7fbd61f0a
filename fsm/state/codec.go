package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Validate reports whether the batch may be proposed: its error for the first faulty
// command is a *Refusal, as Apply would refuse it.
func (b Batch) Validate() error {
	if err := b.wellFormed(); err != nil {
		return err
	}
	for _, c := range b.Commands {
		if err := c.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Validate reports, as a *Refusal, a fault that the command has in any state.
// Names that are not UTF-8 are found here and only here: encoding would
// turn them into others.
func (c Command) Validate() error {
	cmd := c.one()
	if cmd == nil {
		return refuse(RefusedInvalid, "a command has exactly one field set")
	}
	if why := cmd.invalid(); why != "" {
		return refuse(RefusedInvalid, "%s", why)
	}
	return nil
}

// wellFormed reports whether the batch can be applied at all. It must never
// become stricter: a batch that was once committed is decoded permanently.
func (b Batch) wellFormed() error {
	switch {
	case b.Version < CommandVersion:
		return fmt.Errorf("batch of version %d, the first is %d", b.Version, CommandVersion)
	case b.Version > Level:
		return tooOldFor("an entry of the log", b.Version)
	case b.RequestID == "":
		return errors.New("batch without a request id")
	case len(b.Commands) == 0:
		return errors.New("batch without a command")
	}
	for i := range b.Commands {
		if b.Commands[i].one() == nil {
			return refuse(RefusedInvalid, "command %d does not have exactly one field set", i)
		}
	}
	return nil
}

// EncodeBatch returns the batch as an entry of the log: one byte for the
// version, then JSON. The version is at least what the commands need. It refuses each
// batch that Validate refuses.
func EncodeBatch(b Batch) ([]byte, error) {
	b.Version = max(b.Version, Needs(b.Commands))
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("encode batch %q: %w", b.RequestID, err)
	}
	return b.encode()
}

func (b Batch) encode() ([]byte, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode batch %q: %w", b.RequestID, err)
	}
	return append([]byte{byte(b.Version)}, body...), nil
}

// DecodeBatch is the inverse of EncodeBatch. An error means that this program
// cannot apply the entry, and must not skip it either; a *LevelError, that a later
// program can.
func DecodeBatch(data []byte) (Batch, error) {
	if len(data) == 0 {
		return Batch{}, errors.New("decode batch: empty")
	}
	b := Batch{Version: int(data[0])}
	if b.Version < CommandVersion || b.Version > Level { // the rest may be in any form
		return Batch{}, fmt.Errorf("decode batch: %w", b.wellFormed())
	}
	if err := strictJSON(data[1:], &b); err != nil {
		return Batch{}, fmt.Errorf("decode batch: %w", err)
	}
	if err := b.wellFormed(); err != nil {
		return Batch{}, fmt.Errorf("decode batch: %w", err)
	}
	return b, nil
}

// strictJSON decodes exactly one value without unknown fields.
func strictJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the end")
	}
	return nil
}
