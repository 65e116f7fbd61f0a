package channel

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
)

// relayed starts a storage with a handler, and a proxy that relays sidechannels
// between it and its clients. It returns the address of the proxy.
func relayed(t testing.TB, storage func(context.Context) error) string {
	t.Helper()
	waiting := new(Registry)
	behind := dial(t, listen(t, storage), NewClientCredentials(nil, Client{Sidechannels: waiting}))
	return listen(t, func(ctx context.Context) error {
		outgoing, waiter := waiting.Expect(ctx, func(_ context.Context, server *ClientEnd) error {
			client, err := Open(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			return Relay(ctx, client, server)
		})
		err := check(outgoing, behind)
		return errors.Join(err, waiter.Close())
	})
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// answer is a storage that reads the request and sends so many bytes.
func answer(size int64) func(context.Context) error {
	return func(ctx context.Context) error {
		side, err := Open(ctx)
		if err != nil {
			return err
		}
		defer side.Close()
		if _, err := io.Copy(io.Discard, side); err != nil {
			return err
		}
		_, err = io.CopyN(side, endless{}, size)
		return err
	}
}

// fetch calls through cc and gives the sidechannel's answer to read.
func fetch(ctx context.Context, cc *grpc.ClientConn, waiting *Registry, read func(io.Reader) error) error {
	ctx, waiter := waiting.Expect(ctx, func(_ context.Context, side *ClientEnd) error {
		if _, err := side.Write([]byte("want")); err != nil {
			return err
		}
		return errors.Join(side.CloseWrite(), read(side))
	})
	return errors.Join(check(ctx, cc), waiter.Close())
}

// TestRelay_slowReaders has 100 transfers at once, of which each is read a
// little and then stalls until all others have begun. Memory stays flat, and one
// reader that takes everything is not stalled by those that take nothing.
func TestRelay_slowReaders(t *testing.T) {
	const (
		transfers = 100
		size      = 4 << 20
		part      = 64 << 10
	)
	waiting := new(Registry)
	cc := dial(t, relayed(t, answer(size)), NewClientCredentials(nil, Client{Sidechannels: waiting}))
	before := heap()

	var stalled, done sync.WaitGroup
	var failed atomic.Pointer[error]
	goOn := make(chan struct{})
	stalled.Add(transfers)
	for range transfers {
		done.Go(func() {
			err := fetch(bounded(t), cc, waiting, func(r io.Reader) error {
				n, err := io.CopyN(io.Discard, r, part)
				stalled.Done()
				<-goOn
				if err == nil {
					var rest int64
					rest, err = io.Copy(io.Discard, r)
					n += rest
				}
				if n != size {
					t.Errorf("got %d bytes", n)
				}
				return err
			})
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	stalled.Wait()
	err := fetch(bounded(t), cc, waiting, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		t.Errorf("beside the stalled ones: %v", err)
	}
	// Client, proxy and storage are all in this process. Each transfer may have a
	// window of 256 KiB, in a buffer of at most twice that, at the client and at the
	// proxy; 400 MB would be all of what is under way.
	if grown := heap() - before; grown > transfers*2*(600<<10) {
		t.Errorf("memory grew by %d MiB", grown>>20)
	} else {
		t.Logf("memory grew by %d MiB", grown>>20)
	}
	close(goOn)
	done.Wait()
	if err := failed.Load(); err != nil {
		t.Error(*err)
	}
}

// heap is what is allocated and in use.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse)
}

// TestRelay_clientGoes has a client go away in the middle of an answer.
func TestRelay_clientGoes(t *testing.T) {
	ended := make(chan error, 1)
	address := relayed(t, func(ctx context.Context) error {
		err := answer(1 << 40)(ctx)
		ended <- err
		return err
	})
	waiting := new(Registry)
	cc := dial(t, address, NewClientCredentials(nil, Client{Sidechannels: waiting}))
	ctx, cancel := context.WithCancel(bounded(t))
	err := fetch(ctx, cc, waiting, func(r io.Reader) error {
		_, err := io.CopyN(io.Discard, r, 1<<20)
		cancel()
		return err
	})
	if err == nil {
		t.Error("the call ended well")
	}
	if err := <-ended; err == nil {
		t.Error("the storage sent everything")
	}
}

// TestRelay_clientReadsNoMore has a client close its end while its call goes on.
func TestRelay_clientReadsNoMore(t *testing.T) {
	ended := make(chan error, 1)
	address := relayed(t, func(ctx context.Context) error {
		err := answer(1 << 40)(ctx)
		ended <- err
		return nil
	})
	waiting := new(Registry)
	cc := dial(t, address, NewClientCredentials(nil, Client{Sidechannels: waiting}))
	_ = fetch(bounded(t), cc, waiting, func(io.Reader) error { return nil })
	if err := <-ended; err == nil {
		t.Error("the storage sent everything")
	}
}

// TestRelay_storageFails has a storage close its end before the request came,
// and fail.
func TestRelay_storageFails(t *testing.T) {
	address := relayed(t, func(ctx context.Context) error {
		side, err := Open(ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(side, "ERR no")
		return errors.Join(err, side.Close(), errors.New("it failed"))
	})
	waiting := new(Registry)
	cc := dial(t, address, NewClientCredentials(nil, Client{Sidechannels: waiting}))
	var said []byte
	err := fetch(bounded(t), cc, waiting, func(r io.Reader) (err error) {
		said, err = io.ReadAll(r)
		return err
	})
	if err == nil || string(said) != "ERR no" {
		t.Errorf("got %v and %q", err, said)
	}
}

// The buffer grows for a client that takes full ones, once, and for no other.
func TestPiece_growsForAKeenClient(t *testing.T) {
	p := &piece{buffer: make([]byte, 4), most: 8}
	for range 10 * keenPieces {
		p.passed(3)
	}
	for range keenPieces - 1 {
		p.passed(4)
	}
	if len(p.buffer) != 4 {
		t.Fatalf("it has %d bytes before", len(p.buffer))
	}
	p.passed(4)
	grown := &p.buffer[0]
	for range 2 * keenPieces {
		p.passed(8)
	}
	if len(p.buffer) != 8 || &p.buffer[0] != grown {
		t.Errorf("it has %d bytes after", len(p.buffer))
	}
	fixed := &piece{buffer: make([]byte, 4)}
	for range 2 * keenPieces {
		fixed.passed(4)
	}
	if len(fixed.buffer) != 4 {
		t.Errorf("one that does not grow has %d bytes", len(fixed.buffer))
	}
}
