package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/frames"
)

// framePath is the network connection of a Conn over which reads are forwarded frame by frame, past
// gRPC. A Conn can do without: then every RPC takes the other paths.
type framePath struct {
	backend *frames.Backend
	wire    *wire
}

// keepFrames has the connection for frames made, and made again after it was lost alone, until ctx
// ends: until the Conn is given up. It always pauses as a link does in the end, so that a link whose
// connections are all lost has given up the Conn by then.
func (c *Conn) keepFrames(ctx context.Context, to *place, cfg Config, log *slog.Logger) {
	const failures = 17 // as many as make the longest pause
	for lacking := false; ; lacking = true {
		p, err := c.openFrames(ctx, to, cfg)
		if err == nil {
			if lacking {
				log.Info("there is a connection for frames again")
			}
			lacking = false
			c.frames.Store(p)
			select {
			case <-p.backend.Done():
				err = p.backend.Err()
			case <-ctx.Done():
			}
		}
		if pause(ctx, cfg.backoff(failures)); ctx.Err() != nil {
			return
		}
		if !lacking {
			log.Warn("no connection for frames: reads of the storage take the longer way", "err", err)
		}
	}
}

// openFrames makes a network connection for frames and asks the server behind it, which must serve
// the disk that the Conn was verified to lead to.
func (c *Conn) openFrames(ctx context.Context, to *place, cfg Config) (*framePath, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.VerifyTimeout)
	defer cancel()
	dialer := cfg.Dial
	if dialer == nil {
		dialer = to.addr.dialer()
	}
	dialing, stop := context.WithTimeout(ctx, cfg.DialTimeout)
	defer stop()
	bare, err := dialer(dialing, to.addr.network, to.addr.endpoint)
	if err != nil {
		return nil, err
	}
	p := &framePath{wire: newWire()}
	conn, _, err := to.addr.transport(cfg).ClientHandshake(ctx, to.addr.authority(), p.wire.around(bare, cfg))
	if err != nil {
		return nil, errors.Join(err, bare.Close())
	}
	settings := frames.BackendConfig{Keepalive: cfg.KeepaliveTime, MaxHeader: maxHeader}
	if socket, ok := bare.(syscall.Conn); ok && !to.addr.tls {
		settings.Socket = socket
	}
	// The wait for the storage's settings ends with ctx: the loss of a Conn must not wait for it.
	stopped := context.AfterFunc(ctx, func() { _ = conn.Close() }) // NewBackend says that it is closed
	p.backend, err = frames.NewBackend(conn, settings)
	stopped()
	if err != nil {
		return nil, err
	}
	if err := c.verifyFrames(ctx, p.backend); err != nil {
		p.backend.Close(err)
		return nil, err
	}
	return p, nil
}

// verifyFrames asks for the disk.
func (c *Conn) verifyFrames(ctx context.Context, backend *frames.Backend) error {
	reply, st, err := backend.Call(ctx, c.begin(gitalypb.ServerService_ServerInfo_FullMethodName), nil)
	if err == nil {
		err = st.Err()
	}
	if err != nil {
		return fmt.Errorf("ServerInfo: %w", err)
	}
	var info gitalypb.ServerInfoResponse
	if err := proto.Unmarshal(reply, &info); err != nil {
		return fmt.Errorf("ServerInfo: %w", err)
	}
	beside, err := identityIn(&info, c.target.Storage)
	if err != nil {
		return err
	}
	if beside.filesystemID != c.identity.filesystemID { // ▲ TestSet_framesNeedTheSameDisk: a read must not find another disk than was routed to
		return fmt.Errorf("the disk was %q, and is %q a moment later", c.identity.filesystemID, beside.filesystemID)
	}
	return nil
}

// begin has the headers that an RPC over the connection for frames begins with; the caller may append
// to them.
func (c *Conn) begin(method string) []hpack.HeaderField {
	scheme := "http"
	if c.place.addr.tls {
		scheme = "https"
	}
	fields := make([]hpack.HeaderField, 0, 24)
	fields = append(fields,
		hpack.HeaderField{Name: ":method", Value: "POST"},
		hpack.HeaderField{Name: ":scheme", Value: scheme},
		hpack.HeaderField{Name: ":path", Value: method},
		hpack.HeaderField{Name: ":authority", Value: c.place.addr.authority()},
		hpack.HeaderField{Name: "content-type", Value: "application/grpc"},
		hpack.HeaderField{Name: "user-agent", Value: "grpc-go/" + grpc.Version},
		hpack.HeaderField{Name: "te", Value: "trailers"})
	for name, value := range c.place.secret.metadata(time.Now()) {
		fields = append(fields, hpack.HeaderField{Name: name, Value: value})
	}
	return fields
}

// Divert begins an RPC over the connection for frames, and returns that and the headers that the RPC
// begins with, to which the caller may append. The caller calls Diverted when the RPC has ended. False
// if there is no such connection now; then nothing was begun.
func (c *Conn) Divert(method string) (*frames.Backend, []hpack.HeaderField, bool) {
	p := c.frames.Load()
	if p == nil || p.backend.Err() != nil || c.acquire() != nil {
		return nil, nil, false
	}
	return p.backend, c.begin(method), true
}

// Diverted is called once for each RPC that Divert began.
func (c *Conn) Diverted() { c.unref() }

// yieldFrames has the RPCs that have no answer yet go elsewhere.
func (c *Conn) yieldFrames() {
	if p := c.frames.Load(); p != nil {
		p.backend.Yield()
	}
}

// closeFrames ends the RPCs under way; those that have no answer yet go elsewhere.
func (c *Conn) closeFrames(why error) {
	if p := c.frames.Load(); p != nil {
		p.backend.Close(why)
	}
}
