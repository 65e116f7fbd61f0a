package gitaly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"praefect/test/gitaly/internal/wire"
)

// feed is the incoming half of a stream on its way into a git process.
type feed struct {
	// ctx ends with the call, and when the stream breaks: git must be told to
	// end then, for an end of input would look like the end of the data.
	ctx   context.Context
	stdin *os.File // for command.stdin
	stop  func()   // to be called when git has ended
}

// feed starts copying what receive returns, until its io.EOF, into a pipe.
// git may end before the stream does, so only Run waits for the copying.
func (h *handlers) feed(ctx context.Context, receive func() ([]byte, error)) (*feed, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	closeWriter := func() {
		if err := w.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			h.log.Warn("close pipe", "err", err)
		}
	}
	h.feeds.Go(func() {
		err := wire.Drain(w, receive)
		switch {
		case err == nil:
			closeWriter()
		case errors.Is(err, syscall.EPIPE), errors.Is(err, fs.ErrClosed):
			// git has read all that it wants.
		default:
			cancel(err)
		}
	})
	return &feed{ctx: ctx, stdin: r, stop: func() { closeWriter(); cancel(nil) }}, nil
}
