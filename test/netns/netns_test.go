package netns

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"praefect/test/must"
	"praefect/test/place"
)

// echoPort is where the hosts of these tests answer.
const echoPort = 7

// within calls a function on a host: the sockets that it makes are the host's.
func within[T any](t *testing.T, p place.Place, call func() (T, error)) (T, error) {
	t.Helper()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1) // one result
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread stays on the host
		var r result
		if r.err = p.Enter(); r.err == nil {
			r.value, r.err = call()
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

// hosts makes hosts that echo what they are sent.
func hosts(t *testing.T, l *Testbed, labels ...string) map[string]place.Place {
	t.Helper()
	all := make(map[string]place.Place)
	for _, label := range labels {
		p, err := l.Place(t.Context(), label)
		must.Succeed(t, err)
		all[label] = p
		listener, err := within(t, p, func() (net.Listener, error) {
			return net.Listen("tcp", net.JoinHostPort(p.Address(), strconv.Itoa(echoPort)))
		})
		must.Succeed(t, err)
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
			}
		}()
		t.Cleanup(func() { _ = listener.Close(); <-served })
	}
	return all
}

// talk connects from one host to another and has a word echoed.
func talk(t *testing.T, from, to place.Place) error {
	t.Helper()
	conn, err := within(t, from, func() (net.Conn, error) {
		return net.DialTimeout("tcp", net.JoinHostPort(to.Address(), strconv.Itoa(echoPort)), 300*time.Millisecond)
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return echo(conn)
}

func echo(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("word")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len("word")))
	return err
}

func TestLab_partsHostsAndHeals(t *testing.T) {
	l := Run(t)
	h := hosts(t, l, "a", "b", "c")
	if labels := l.Labels(); len(labels) != 3 || !slices.Contains(labels, "b") {
		t.Errorf("got the hosts %v", labels)
	}
	want := func(from, to string, through bool) {
		t.Helper()
		if err := talk(t, h[from], h[to]); (err == nil) != through {
			t.Errorf("from %s to %s: %v, want it to get through: %v", from, to, err, through)
		}
	}
	want("a", "b", true)
	must.Succeed(t, l.Part(t.Context(), []string{"a"}, []string{"b"}))
	want("a", "b", false)
	want("b", "a", false)
	want("a", "c", true)
	must.Succeed(t, l.Heal(t.Context()))
	want("a", "b", true)
	must.Succeed(t, l.Isolate(t.Context(), "c"))
	want("a", "c", false)
	want("a", "b", true)
	outside, err := net.DialTimeout("tcp", net.JoinHostPort(h["c"].Address(), strconv.Itoa(echoPort)), 10*time.Second)
	if err != nil {
		t.Fatalf("a client outside: %v", err)
	}
	if err := outside.Close(); err != nil {
		t.Error(err)
	}
}

func TestLab_cutsOneDirection(t *testing.T) {
	l := Run(t)
	h := hosts(t, l, "a", "b")
	packets, err := within(t, h["b"], func() (net.PacketConn, error) {
		return net.ListenPacket("udp", net.JoinHostPort(h["b"].Address(), strconv.Itoa(echoPort)))
	})
	must.Succeed(t, err)
	defer func() { _ = packets.Close() }()
	must.Succeed(t, l.Cut(t.Context(), "b", "a"))
	if err := talk(t, h["a"], h["b"]); err == nil {
		t.Error("the answer got through")
	}
	sender, err := within(t, h["a"], func() (net.Conn, error) { return net.Dial("udp", packets.LocalAddr().String()) })
	must.Succeed(t, err)
	defer func() { _ = sender.Close() }()
	if _, err := sender.Write([]byte("word")); err != nil {
		t.Fatal(err)
	}
	must.Succeed(t, packets.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, _, err := packets.ReadFrom(make([]byte, 16)); err != nil {
		t.Errorf("what goes the other way: %v", err)
	}
}

func TestLab_resetsAndLoses(t *testing.T) {
	l := Run(t)
	h := hosts(t, l, "a", "b")
	must.Succeed(t, l.Reset(t.Context(), "a", "b"))
	if err := talk(t, h["a"], h["b"]); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("got %v, want a refusal", err)
	}
	must.Succeed(t, l.Heal(t.Context()))
	must.Succeed(t, l.Lose(t.Context(), "a", "b", 1))
	if err := talk(t, h["a"], h["b"]); err == nil {
		t.Error("all was lost, and got through")
	}
}

func TestLab_delaysWithoutTheKernelsHelp(t *testing.T) {
	const wait = 60 * time.Millisecond
	l := Run(t)
	h := hosts(t, l, "a", "b")
	old, err := within(t, h["a"], func() (net.Conn, error) {
		return net.Dial("tcp", net.JoinHostPort(h["b"].Address(), strconv.Itoa(echoPort)))
	})
	must.Succeed(t, err)
	defer func() { _ = old.Close() }()
	must.Succeed(t, l.Delay(t.Context(), "a", "b", echoPort, wait))
	began := time.Now()
	if err := talk(t, h["a"], h["b"]); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 2*wait {
		t.Errorf("there and back took %v, want at least %v", took, 2*wait)
	}
	if err := echo(old); err == nil {
		t.Error("a connection from before goes on without delay")
	}
	if err := talk(t, h["b"], h["a"]); err != nil {
		t.Errorf("the other way: %v", err)
	}
}

func TestOpen_sweepsWhatAKilledOwnerLeft(t *testing.T) {
	l := Run(t)
	if _, err := l.Place(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join("/run/netns", l.hosts["a"].namespace)
	if err := l.open(t.Context()); err != nil { // as the next owner would
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the namespace is there: %v", err)
	}
}

func TestDisk_isFullUntilItIsFreed(t *testing.T) {
	Run(t)
	d, err := NewFreezableDisk(t.Context(), filepath.Join(t.TempDir(), "disk"), 16<<20)
	d.Run(t, err)
	file := filepath.Join(d.Dir, "file")
	must.Succeed(t, d.Fill())
	if err := os.WriteFile(file, make([]byte, 4096), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, want no space", err)
	}
	must.Succeed(t, d.Free())
	if err := os.WriteFile(file, make([]byte, 4096), 0o600); err != nil {
		t.Error(err)
	}
}

func TestDisk_hangsUntilItIsThawed(t *testing.T) {
	Run(t)
	d, err := NewFreezableDisk(t.Context(), filepath.Join(t.TempDir(), "disk"), 16<<20)
	d.Run(t, err)
	must.Succeed(t, d.Freeze(t.Context()))
	written := make(chan error, 1) // one result
	go func() { written <- os.WriteFile(filepath.Join(d.Dir, "file"), []byte("text"), 0o600) }()
	early, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	select {
	case err := <-written:
		t.Errorf("it was written: %v", err)
	case <-early.Done():
	}
	must.Succeed(t, d.Thaw(t.Context()))
	if err := <-written; err != nil {
		t.Error(err)
	}
}
