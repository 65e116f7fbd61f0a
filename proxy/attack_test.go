package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"praefect/proxy/storage"
	"praefect/test/attack/wire"
)

// attacker is a client that speaks HTTP/2 frame by frame, and counts the frames of the server.
type attacker struct {
	*wire.Client
	gone chan struct{} // closed when the server has closed the connection

	mu   sync.Mutex
	seen map[http2.FrameType]int // frames of the server; guarded by mu
}

// attack opens a connection to the instance.
func (w *fixture) attack() *attacker {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := wire.New(conn)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &attacker{Client: client, gone: make(chan struct{}), seen: make(map[http2.FrameType]int)}
	go func() {
		defer close(a.gone)
		for {
			frame, err := a.Framer.ReadFrame()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.seen[frame.Header().Type]++
			a.mu.Unlock()
		}
	}()
	w.t.Cleanup(func() {
		_ = conn.Close()
		<-a.gone
	})
	return a
}

// cost is the most that an attack costs the process while it runs.
type cost struct {
	goroutines int
	bytes      uint64
}

// costOf runs attack, and looks all the time at what it costs beyond what was
// there before.
func costOf(t *testing.T, attack func()) cost {
	t.Helper()
	usage := func() (goroutines int, inUse uint64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapInuse + m.StackInuse
	}
	runtime.GC()
	goroutines, inUse := usage()
	var most cost
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			g, b := usage()
			most.goroutines = max(most.goroutines, g-goroutines)
			if b > inUse {
				most.bytes = max(most.bytes, b-inUse)
			}
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	}()
	attack()
	close(ended)
	<-watched
	t.Logf("cost: %d goroutines, %.1f MB", most.goroutines, float64(most.bytes)/1e6)
	return most
}

func (c cost) atMost(t *testing.T, goroutines int, mega uint64) {
	t.Helper()
	if c.goroutines > goroutines || c.bytes > mega<<20 {
		t.Errorf("cost %d goroutines and %d bytes, the limit is %d and %d MiB", c.goroutines, c.bytes, goroutines, mega)
	}
}

// TestAttack_rapidReset opens calls and takes them back at once, over four
// connections.
func TestAttack_rapidReset(t *testing.T) {
	for _, tc := range []struct {
		name, method string
		token        func() string
		calls        int // over each connection
		goroutines   int
	}{
		{"without a token", gitalypb.RepositoryService_RepositoryExists_FullMethodName, func() string { return "" }, 20_000, 100},
		{"a method that needs none", exemptMethod, func() string { return "" }, 20_000, 300},
		{"a stream that never ends", "/grpc.health.v1.Health/Watch", func() string { return "" }, 20_000, 100},
		{"with the token", gitalypb.RepositoryService_RepositoryExists_FullMethodName, func() string { return storage.Token(clientToken, time.Now()) }, 4000, 4100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newFixture(t)
			w.create("a.git")
			costOf(t, func() {
				var running sync.WaitGroup
				for range 4 {
					a := w.attack()
					running.Go(func() {
						for range tc.calls {
							id, err := a.Open(tc.method, tc.token())
							if err == nil {
								err = a.Framer.WriteRSTStream(id, http2.ErrCodeCancel)
							}
							if err != nil {
								return // it was cut off
							}
						}
					})
				}
				running.Wait()
			}).atMost(t, tc.goroutines, 300)
			w.eventually(func() error { // the attack takes all the processors there are
				exists, err := w.exists("a.git")
				if err == nil && !exists {
					err = errors.New("the repository is gone")
				}
				return err
			})
		})
	}
}

// TestAttack_rejectedWithADeadline: a call that was rejected leaves no timer behind,
// whatever deadline it came with.
func TestAttack_rejectedWithADeadline(t *testing.T) {
	w := newFixture(t)
	endless := hpack.HeaderField{Name: "grpc-timeout", Value: "99999999H"}
	attack := func() {
		for range 50 { // connections, one after the other: each is cut off
			a := w.attack()
			for range 200 {
				if _, err := a.Open(gitalypb.RefService_RefExists_FullMethodName, "", endless); err != nil {
					break
				}
			}
			_ = a.Close()
			<-a.gone
		}
	}
	attack() // what is made once is made here
	left := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	before := left()
	attack()
	w.eventually(func() error {
		if now := left(); now > before+5000 {
			return fmt.Errorf("%d objects are left of 5,000 to 10,000 rejected calls", now-before)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err := gitalypb.NewRepositoryServiceClient(w.client(nil)).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call with a deadline: got %v", err)
	}
	watch, err := healthpb.NewHealthClient(w.client(nil)).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stream with a deadline: got %v", err)
	}
}

// TestAttack_unfinishedMessages announces messages of 4 MiB, and sends all of each
// but the last byte.
func TestAttack_unfinishedMessages(t *testing.T) {
	for _, method := range []string{gitalypb.RepositoryService_CreateRepository_FullMethodName, exemptMethod} {
		t.Run(method, func(t *testing.T) {
			w := newFixture(t)
			w.grace = 100 * time.Millisecond
			const size, calls = 4<<20 - 5, 300
			costOf(t, func() {
				a := w.attack()
				_ = a.SetWriteDeadline(time.Now().Add(time.Second)) // the server may read slowly
				for range calls {
					id, err := a.Open(method, "")
					if err != nil {
						return
					}
					message := binary.BigEndian.AppendUint32([]byte{0}, size)
					for sent := 0; sent < size; {
						chunk := make([]byte, 16<<10)
						chunk = append(message, chunk[:min(len(chunk)-len(message), size-sent)]...)
						if err := a.Framer.WriteData(id, false, chunk); err != nil {
							return
						}
						sent, message = sent+len(chunk), nil
					}
				}
			}).atMost(t, 100, 20)
		})
	}
}

// TestAttack_silentConnections: those that never say anything are held against a
// limit, and a client with the token keeps its connection.
func TestAttack_silentConnections(t *testing.T) {
	w := newFixtureWith(t, Config{Connections: 100})
	w.create("a.git")
	before := descriptors(t)
	costOf(t, func() {
		var silent []net.Conn
		for range 300 {
			conn, err := net.Dial("tcp", w.address)
			if err != nil {
				t.Fatal(err)
			}
			silent = append(silent, conn)
		}
		w.eventually(func() error {
			if all, unproved := w.server.clients.Open(); unproved > 10 || all > 20 {
				return fmt.Errorf("%d open, %d of them unproved", all, unproved)
			}
			return nil
		})
		if exists, err := w.exists("a.git"); err != nil || !exists {
			t.Errorf("a client with the token: got %t, %v", exists, err)
		}
		if n := descriptors(t); n > before+400 {
			t.Errorf("%d file descriptors, %d before", n, before)
		}
		for _, conn := range silent {
			_ = conn.Close()
		}
	}).atMost(t, 1500, 100)
}

// descriptors is how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
