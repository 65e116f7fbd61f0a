package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"

	"praefect/test/place"
)

// The ports of processes in places of their own.
const (
	clientPort  = 2305
	raftPort    = 2307
	storagePort = 8075
	metricsPort = 9652
	consolePort = 9653
)

// ports hands out addresses on which nothing listens.
type ports struct {
	given map[string]bool
}

// free picks a port below the ports that the kernel gives to outgoing connections, so
// that a process which is stopped finds its own free again. The address is not
// reserved: the caller that binds it must be ready to try another.
func (p *ports) free(ctx context.Context) (string, error) {
	const lowest, highest, tries = 10000, 32000, 100
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowest+rand.IntN(highest-lowest)))
		if p.take(ctx, addr) {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port between %d and %d in %d tries", lowest, highest, tries)
}

// in picks an address in a place: a free port here, else the given one, because no other
// process is there.
func (p *ports) in(ctx context.Context, where place.Place, port int) (string, error) {
	if where.Here() {
		return p.free(ctx)
	}
	return net.JoinHostPort(where.Address(), strconv.Itoa(port)), nil
}

// take tells whether the address was free; it is not given again.
func (p *ports) take(ctx context.Context, addr string) bool {
	if p.given[addr] {
		return false
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	p.given[addr] = true
	return listener.Close() == nil
}

// addressTaken tells whether a process ended because something listens at its
// address already.
func addressTaken(err *ExitError) bool { return strings.Contains(err.Tail, "address already in use") }
