package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// inPlaceOf answers at the address of the hostile storage, whose process is ended meanwhile.
func inPlaceOf(ctx context.Context, w *harness, serve func(net.Conn)) (err error) {
	s := w.c.Storage(hostile, "hostile-1")
	if err := s.Kill(); err != nil {
		return err
	}
	lis, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = lis.Close() })
	var running sync.WaitGroup
	var came atomic.Int64
	for {
		conn, err := lis.Accept()
		if err != nil {
			break // ctx has ended
		}
		came.Add(1)
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		running.Go(func() {
			serve(conn)
			_ = conn.Close()
		})
	}
	running.Wait()
	if err := s.Start(); err != nil {
		return err
	}
	if came.Load() == 0 {
		return errors.New("no instance has come to the hostile storage")
	}
	return s.WaitReady(context.WithoutCancel(ctx))
}

// hostileStreams opens 20,000 streams in each session with an instance.
func hostileStreams(ctx context.Context, w *harness) error {
	var all bytes.Buffer
	for stream := range uint32(20_000) {
		all.Write(muxFrame(muxWindow, muxSYN, 2*stream+2, 0))
	}
	return inPlaceOf(ctx, w, func(conn net.Conn) {
		_, _ = conn.Write(all.Bytes()) // the instance may have ended the session
		_, _ = io.Copy(io.Discard, conn)
	})
}

// hostileStatuses ends each call with a status of 1 MiB.
func hostileStatuses(ctx context.Context, w *harness) error {
	var answer bytes.Buffer
	encoder := hpack.NewEncoder(&answer)
	for _, f := range []hpack.HeaderField{
		{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}, {Name: "grpc-status", Value: "13"},
		{Name: "grpc-message", Value: strings.Repeat("x", 1<<20)},
	} {
		if err := encoder.WriteField(f); err != nil {
			return err
		}
	}
	err := inPlaceOf(ctx, w, func(conn net.Conn) {
		for _, part := range []string{http2.ClientPreface[:len("backchannel")], http2.ClientPreface[len("backchannel"):]} {
			head := make([]byte, len(part))
			if _, err := io.ReadFull(conn, head); err != nil || string(head) != part {
				return // it wanted a multiplexed session
			}
		}
		framer := http2.NewFramer(conn, conn)
		if framer.WriteSettings() != nil {
			return
		}
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok && writeBlock(framer, h.StreamID, answer.Bytes()) != nil {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return shortLines(w)
}

// writeBlock sends headers that end a stream, in as many frames as it takes.
func writeBlock(framer *http2.Framer, stream uint32, block []byte) error {
	const most = 16 << 10
	n := min(most, len(block))
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)})
	for block = block[n:]; err == nil && len(block) > 0; block = block[n:] {
		n = min(most, len(block))
		err = framer.WriteContinuation(stream, n == len(block), block[:n])
	}
	return err
}

// shortLines looks whether an instance has logged a status as a whole.
func shortLines(w *harness) error {
	const most = 8 << 10
	for _, i := range w.c.Instances {
		longest, err := longestLine(i.Log())
		if err != nil {
			return err
		}
		if longest > most {
			return fmt.Errorf("%s has logged a line of %d bytes", i.Label(), longest)
		}
	}
	return nil
}
