package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/channel"
)

// besideUploadPack starts a fetch whose data goes through a sidechannel. An error
// is the server's, which then has opened none.
func besideUploadPack(ctx context.Context, to *server, request *gitalypb.SSHUploadPackWithSidechannelRequest) (*session, error) {
	opened := make(chan *channel.ClientEnd)
	over := make(chan struct{})
	ctx, waiter := to.waiting.Expect(ctx, func(ctx context.Context, side *channel.ClientEnd) error {
		opened <- side // which is waited for until ended has its result
		select {
		case <-over:
		case <-ctx.Done():
		}
		return nil
	})
	ended := make(chan error, 1) // one result, so that the goroutine never waits
	go func() {
		_, err := gitalypb.NewSSHServiceClient(to.beside).SSHUploadPackWithSidechannel(ctx, request)
		// A server may end the call before the sidechannel that it has opened had its turn
		// here: Close waits for it, so that what came through it is not lost.
		if side := waiter.Close(); err == nil {
			err = side
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return nil, err
	case side := <-opened:
		return besideSession(side, func() error {
			close(over)
			return <-ended
		}), nil
	}
}

// besideSession is a fetch through a sidechannel that is open; end waits for the
// end of the call and returns how it ended.
func besideSession(side *channel.ClientEnd, end func() error) *session {
	packets := &packetReader{from: bufio.NewReaderSize(side, chunkSize), data: make([]byte, maxPacket)}
	return &session{
		service: "upload-pack",
		// Where the server does not want more, receive says why.
		send: func(b []byte) error {
			if _, err := side.Write(b); err != nil {
				return io.EOF
			}
			return nil
		},
		closeSend: func() error {
			_ = side.CloseWrite() // likewise
			return nil
		},
		receive: func() (output, error) {
			out, err := packets.next()
			if err == nil {
				return out, nil
			}
			if callErr := end(); callErr != nil && !errors.Is(err, errPacket) {
				err = callErr
			}
			return output{}, err
		},
	}
}

var errPacket = errors.New("the server sent a packet that is none")

// maxPacket is the most that a packet may have, its length included.
const maxPacket = 65520

// packetReader reads the packets of a server: packets of 4 hexadecimal digits for the length, these
// included, a byte for the output that is meant, and data.
type packetReader struct {
	from *bufio.Reader
	data []byte // room for one packet
}

// next returns the next packet, whose data is good until the one after. At the
// end its error is io.EOF.
func (r *packetReader) next() (output, error) {
	const head = 5
	if _, err := io.ReadFull(r.from, r.data[:head]); err != nil {
		return output{}, err
	}
	length, err := strconv.ParseUint(string(r.data[:head-1]), 16, 16)
	if err != nil || length < head || length > maxPacket {
		return output{}, fmt.Errorf("%w: its length is %q", errPacket, r.data[:head-1])
	}
	data := r.data[head:length]
	if _, err := io.ReadFull(r.from, data); err == io.EOF {
		return output{}, io.ErrUnexpectedEOF
	} else if err != nil {
		return output{}, err
	}
	switch band := r.data[head-1]; band {
	case 1:
		return output{stdout: data}, nil
	case 2:
		return output{stderr: data}, nil
	default:
		return output{}, fmt.Errorf("%w: it is for output %d", errPacket, band)
	}
}
