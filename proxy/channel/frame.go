package channel

import (
	"fmt"
	"io"
	"strconv"
)

const (
	frameLengthSize = 4
	maxPayload      = 65516
	// flush is the pkt-line that ends the data of a client.
	flush = "0000"
)

// appendFrame appends a payload as a pkt-line.
func appendFrame(b, payload []byte) []byte {
	b = fmt.Appendf(b, "%04x", frameLengthSize+len(payload))
	return append(b, payload...)
}

// unframer takes payloads out of pkt-lines.
type unframer struct {
	left  int // of the payload that is being read
	ended bool
}

// read reads payload bytes into p, getting the bytes on the wire from raw.
func (u *unframer) read(raw func([]byte) (int, error), p []byte) (int, error) {
	for u.left == 0 && !u.ended {
		if err := u.next(raw); err != nil {
			return 0, err
		}
	}
	switch {
	case u.ended:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := raw(p[:min(len(p), u.left)])
	u.left -= n
	return n, unexpected(err)
}

// next reads the length of a pkt-line.
func (u *unframer) next(raw func([]byte) (int, error)) error {
	var head [frameLengthSize]byte
	if _, err := io.ReadFull(reader(raw), head[:]); err != nil {
		return unexpected(err)
	}
	if string(head[:]) == flush {
		u.ended = true
		return nil
	}
	length, err := strconv.ParseUint(string(head[:]), 16, 16)
	if err != nil || length < frameLengthSize || length > frameLengthSize+maxPayload {
		return fmt.Errorf("%w: its length is %q", errFrame, head[:])
	}
	u.left = int(length) - frameLengthSize
	return nil
}

// unexpected says of an end that it came too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// reader is a function as an io.Reader.
type reader func([]byte) (int, error)

// Read implements io.Reader.
func (r reader) Read(p []byte) (int, error) { return r(p) }
