package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
)

// The bands of the data that an SSH session sends over a sidechannel.
const (
	BandStdout = 1
	BandStderr = 2
)

// sidebandMax is the most data of one packet: the limit of git, less the
// length and the band.
const sidebandMax = 65520 - 5

// Sideband sends data in packets that tell bands apart: 4 hexadecimal digits
// for the length, these included, the band and the data.
type Sideband struct {
	mu     sync.Mutex
	to     io.Writer // guarded by mu
	packet []byte    // the last one, for its room; guarded by mu
}

// NewSideband returns a Sideband that writes a packet at a time.
func NewSideband(to io.Writer) *Sideband { return &Sideband{to: to} }

// Band returns the writer of one band; all of them may write at the same time.
func (s *Sideband) Band(number byte) io.Writer { return band{s, number} }

type band struct {
	side   *Sideband
	number byte
}

// Write sends p.
func (b band) Write(p []byte) (int, error) {
	b.side.mu.Lock()
	defer b.side.mu.Unlock()
	sent := 0
	for sent < len(p) {
		n := min(len(p)-sent, sidebandMax)
		b.side.packet = append(fmt.Appendf(b.side.packet[:0], "%04x%c", n+5, b.number), p[sent:sent+n]...)
		if _, err := b.side.to.Write(b.side.packet); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// WithSidechannel opens the sidechannel of a call, hands it to use, and closes it last: the client
// takes the end of it for the end of the data. Its errors are statuses.
func WithSidechannel(ctx context.Context, use func(*channel.ServerEnd) error) (err error) {
	side, err := channel.Open(ctx)
	if errors.Is(err, channel.ErrNotAsked) || errors.Is(err, channel.ErrNotSpoken) {
		return InvalidArgument("opening sidechannel: %v", err)
	}
	if err != nil {
		return status.Errorf(codes.Unavailable, "opening sidechannel: %v", err)
	}
	defer func() {
		if closeErr := side.Close(); err == nil && closeErr != nil {
			err = Fault(closeErr, "close sidechannel")
		}
	}()
	return use(side)
}
