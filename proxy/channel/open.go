package channel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc/metadata"
)

// confirmation is the answer of the client if a call waits.
const confirmation = "ok"

// ErrNotAsked tells that a call names no sidechannel.
var ErrNotAsked = errors.New("the client asked for no sidechannel")

// Asked reports whether a call that came names a sidechannel.
func Asked(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, IDHeader)) > 0
}

// Open opens the sidechannel that the client of a call waits with; ctx is that
// of the call, with whose end it is cut off. The errors ErrNotAsked and
// ErrNotSpoken are the client's doing.
func Open(ctx context.Context) (*ServerEnd, error) {
	ids := metadata.ValueFromIncomingContext(ctx, IDHeader)
	if len(ids) == 0 {
		return nil, ErrNotAsked
	}
	id, err := strconv.ParseInt(ids[len(ids)-1], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("open a sidechannel: its id: %w", err)
	}
	session, ok := FromContext(ctx)
	if !ok {
		return nil, ErrNotSpoken
	}
	opening, cancel := context.WithTimeout(ctx, openingTimeout)
	defer cancel()
	stream, err := session.open(opening)
	if err != nil {
		return nil, err
	}
	s := &ServerEnd{end: end{stream: stream, call: ctx}}
	s.stop = context.AfterFunc(ctx, s.cut)
	deadline, _ := opening.Deadline()
	if err := s.introduce(id, deadline); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open sidechannel %d: %w", id, err)
	}
	s.stall = readerTimeout
	return s, nil
}

// introduce names the sidechannel and waits for the client's confirmation.
func (s *ServerEnd) introduce(id int64, deadline time.Time) error {
	if err := s.stream.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := s.writeRaw(binary.BigEndian.AppendUint64([]byte(sidechannelMagic), uint64(id))); err != nil {
		return err
	}
	var answer [len(confirmation)]byte
	if _, err := io.ReadFull(reader(s.readRaw), answer[:]); err != nil {
		return fmt.Errorf("the client does not confirm it: %w", err)
	}
	if string(answer[:]) != confirmation {
		return fmt.Errorf("the client answers %q", answer[:])
	}
	err := s.stream.SetDeadline(time.Time{})
	if s.gone.Load() {
		s.cut() // it came in between
	}
	return err
}
