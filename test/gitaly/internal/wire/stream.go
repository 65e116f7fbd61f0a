package wire

import (
	"errors"
	"io"
)

// ChunkSize is the most bytes that one message of a stream carries.
const ChunkSize = 64 << 10

// Sender is a writer over the sending side of a stream. The slice that a call
// of it gets is only valid for that call.
type Sender func(chunk []byte) error

// Write sends p in chunks.
func (send Sender) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		chunk := p[sent:min(len(p), sent+ChunkSize)]
		if err := send(chunk); err != nil {
			return sent, err
		}
		sent += len(chunk)
	}
	return sent, nil
}

// ReadFrom sends all of r. It spares the half-sized buffer of io.Copy.
func (send Sender) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	chunk := make([]byte, ChunkSize)
	for {
		n, err := r.Read(chunk)
		if n > 0 {
			if err := send(chunk[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// Drain writes all that receive returns to w until its io.EOF, which is no error.
func Drain(w io.Writer, receive func() ([]byte, error)) error {
	for {
		data, err := receive()
		if len(data) > 0 {
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
