package clientconn

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// accept returns both ends of a new connection; the server's is nil if it was not
// taken in.
func accept(t *testing.T, set *Set) (client net.Conn, server *Conn) {
	t.Helper()
	client, far := net.Pipe()
	return client, set.add(far)
}

func TestConn_idleUnprovedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := NewSet(Config{})
		client, server := accept(t, set)
		began := time.Now()
		_, err := server.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != idleTimeout {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		// What it says now and then keeps it open, and so does a proof alone.
		go func() {
			for range 3 {
				time.Sleep(idleTimeout / 2)
				_, _ = client.Write([]byte{1}) // Read says whether it came
			}
			time.Sleep(10 * idleTimeout)
			_ = client.Close()
		}()
		for range 3 {
			if _, err := server.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		server.Prove()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the proof: got %v, want the client's end", err)
		}
	})
}

// TestConn_proofWhileReading: the reader that waits already is not cut off.
func TestConn_proofWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := NewSet(Config{})
		client, server := accept(t, set)
		read := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		server.Prove()
		time.Sleep(10 * idleTimeout)
		if _, err := client.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
	})
}

// TestConn_handshakeDeadlineStands: a deadline of the handshake is not put off.
func TestConn_handshakeDeadlineStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := accept(t, NewSet(Config{}))
		if err := server.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// TestConn_unprovedBytesAreBounded: a client without a token gets little through,
// and what it has sent passes when it shows one.
func TestConn_unprovedBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := accept(t, NewSet(Config{}))
		const total = 8 << 20
		go func() {
			_, _ = client.Write(make([]byte, total)) // the reader counts
		}()
		got := 0
		began := time.Now()
		buffer := make([]byte, 128<<10)
		for time.Since(began) < 10*time.Second {
			n, err := server.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if limit := unprovedBytes + 11*unprovedRate; got > limit || got < limit/2 {
			t.Errorf("%d bytes came through in 10 s, the limit is %d", got, limit)
		}
		server.Prove()
		began = time.Now()
		for got < total {
			n, err := server.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("after the proof the rest took %v", waited)
		}
		_ = client.Close()
	})
}

func TestConn_closeWakesAReaderThatMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := accept(t, NewSet(Config{}))
		server.bytes.left = -1 << 30
		go func() {
			time.Sleep(time.Second)
			_ = server.Close()
		}()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSet_dropsTheOldestUnproved: clients that have shown the token keep their
// connections, and new ones get in, however many strangers there are.
func TestSet_dropsTheOldestUnproved(t *testing.T) {
	set := NewSet(Config{Limit: 100})
	_, proved := accept(t, set)
	proved.Prove()
	var strangers []*Conn
	for range 500 {
		_, c := accept(t, set)
		if c == nil {
			t.Fatal("a connection was not taken in while strangers could be dropped")
		}
		strangers = append(strangers, c)
	}
	if all, unproved := set.Open(); all != 11 || unproved != 10 {
		t.Errorf("%d are open, %d of them unproved; want 11 and 10", all, unproved)
	}
	for i, c := range strangers {
		closed := false
		select {
		case <-c.closed:
			closed = true
		default:
		}
		if want := i < 490; closed != want {
			t.Errorf("stranger %d: closed %t, want %t", i, closed, want)
		}
	}
	select {
	case <-proved.closed:
		t.Error("the connection that showed the token was dropped")
	default:
	}
	// Room that only clients with the token take is not made.
	for _, c := range strangers[490:] {
		c.Prove()
	}
	for range 200 {
		if _, c := accept(t, set); c != nil {
			c.Prove()
		}
	}
	if all, _ := set.Open(); all != 100 {
		t.Errorf("%d are open, want 100", all)
	}
}

func TestConn_rememberedProof(t *testing.T) {
	_, c := accept(t, NewSet(Config{}))
	now := time.Now()
	if c.Remembers("", "", now) || c.Remembers("proof", "secret", now) {
		t.Error("remembers what was never shown")
	}
	c.Remember("proof", "secret", now.Add(time.Second))
	if c.Remembers("proof", "another", now) {
		t.Error("a proof outlives its secret")
	}
	for _, tc := range []struct {
		shown string
		after time.Duration
		want  bool
	}{{"proof", 0, true}, {"proof", time.Second, false}, {"other", 0, false}, {"proo", 0, false}, {"", 0, false}} {
		if got := c.Remembers(tc.shown, "secret", now.Add(tc.after)); got != tc.want {
			t.Errorf("%q after %v: got %t", tc.shown, tc.after, got)
		}
	}
}

func TestConn_rejectedAgainAndAgainIsCutOff(t *testing.T) {
	for _, row := range []struct {
		far   bool
		calls int
	}{{false, maxRejected}, {true, maxRejected / rejectedFar}} {
		synctest.Test(t, func(t *testing.T) {
			client, c := accept(t, NewSet(Config{}))
			for range row.calls - 1 {
				c.Reject(row.far, time.Now())
			}
			c.Prove()
			for range row.calls - 1 {
				c.Reject(row.far, time.Now())
			}
			time.Sleep(10 * cutOffDelay)
			select {
			case <-c.closed:
				t.Fatal("cut off too early")
			default:
			}
			// It is not closed at once, and nothing more is read.
			go func() { _, _ = client.Write([]byte{1}) }() // until it is closed
			began := time.Now()
			c.Reject(row.far, began)
			c.Reject(row.far, began)
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || time.Since(began) != cutOffDelay {
				t.Errorf("got %v after %v", err, time.Since(began))
			}
		})
	}
}

// TestConn_takenBackAgainAndAgainIsSlow: a client that opens calls and takes them back is read
// as slowly as it may do that, and at full speed again afterwards.
func TestConn_takenBackAgainAndAgainIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, c := accept(t, NewSet(Config{}))
		c.Prove()
		go func() {
			for {
				if _, err := client.Write([]byte{1}); err != nil {
					return
				}
			}
		}()
		call := func() {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range takenBackCalls {
			call()
			c.TakenBack(time.Now())
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("%d calls took %v", takenBackCalls, took)
		}
		for range 10 * takenBackRate {
			call()
			c.TakenBack(time.Now())
		}
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("%d more took %v, want 10 s", 10*takenBackRate, took)
		}
		time.Sleep(time.Minute)
		began = time.Now()
		for range 10_000 {
			call()
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("calls that are not taken back took %v", took)
		}
		_ = c.Close()
		_ = client.Close()
	})
}

func TestSet_close(t *testing.T) {
	set := NewSet(Config{})
	_, first := accept(t, set)
	_, second := accept(t, set)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	set.Close()
	for _, c := range []*Conn{first, second} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection is open")
		}
	}
	if open, unproved := set.Open(); open != 0 || unproved != 0 {
		t.Errorf("%d are open, %d unproved", open, unproved)
	}
}
