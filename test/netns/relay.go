package netns

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// relay passes connections on to one address and holds every byte for a while, in
// both directions.
type relay struct {
	listener net.Listener
	target   string
	wait     time.Duration
	stop     context.CancelFunc
	work     sync.WaitGroup
}

// newRelay listens on a free port of an address. The relay works until close.
func newRelay(ctx context.Context, ip, target string, wait time.Duration) (*relay, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return nil, fmt.Errorf("make a relay to %s: %w", target, err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // it may outlive the call that made it
	r := &relay{listener: listener, target: target, wait: wait, stop: stop}
	r.work.Go(func() { r.accept(life) })
	return r, nil
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// close breaks all connections and returns when nothing of the relay is left.
func (r *relay) close() error {
	r.stop()
	err := r.listener.Close()
	r.work.Wait()
	return err
}

func (r *relay) accept(life context.Context) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.work.Go(func() { r.carry(life, client) })
	}
}

// carry serves one connection until either side ends it or the relay is closed.
func (r *relay) carry(life context.Context, client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(life, "tcp", r.target)
	if err != nil {
		_ = client.Close() // the client sees the end
		return
	}
	// Half a connection is not delayed but ended: no client here closes only one half.
	end := sync.OnceFunc(func() { _, _ = client.Close(), server.Close() })
	defer context.AfterFunc(life, end)()
	var both sync.WaitGroup
	both.Go(func() { defer end(); r.pump(life, server, client) })
	both.Go(func() { defer end(); r.pump(life, client, server) })
	both.Wait()
}

// piece is the data of one read, and the time at which it may go on.
type piece struct {
	bytes []byte
	due   time.Time
}

// pump passes bytes on, each a while after it came. It returns when either side
// has ended, and closes the side that it reads.
func (r *relay) pump(life context.Context, to, from net.Conn) {
	const size, waiting = 64 << 10, 256 // bytes of a piece, pieces on their way
	life, stop := context.WithCancel(life)
	pieces := make(chan piece, waiting)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(pieces)
		for {
			buffer := make([]byte, size)
			n, err := from.Read(buffer)
			select {
			case pieces <- piece{buffer[:n], time.Now().Add(r.wait)}:
			case <-life.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer func() {
		stop()
		_ = from.Close() // ends the reading
		reading.Wait()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for p := range pieces {
		timer.Reset(time.Until(p.due))
		select {
		case <-timer.C:
		case <-life.Done():
			return
		}
		if _, err := to.Write(p.bytes); err != nil {
			return
		}
	}
}
