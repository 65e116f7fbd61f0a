package gitaly

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// Listen listens on an address as Gitaly's clients write it: tcp://host:port
// (port 0 for any) or unix:path. It returns the listener, and the address that
// clients dial. The socket of a killed server is replaced.
func Listen(ctx context.Context, address string) (net.Listener, string, error) {
	network, where, ok := strings.Cut(address, ":")
	if !ok || (network != "tcp" && network != "unix") {
		return nil, "", fmt.Errorf("address %q is neither tcp://host:port nor unix:path", address)
	}
	where = strings.TrimPrefix(where, "//")
	lis, err := new(net.ListenConfig).Listen(ctx, network, where)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && deserted(ctx, where) {
		if err = os.Remove(where); err == nil {
			lis, err = new(net.ListenConfig).Listen(ctx, network, where)
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("listen on %q: %w", address, err)
	}
	if network == "unix" {
		return lis, "unix:" + where, nil
	}
	return lis, "tcp://" + lis.Addr().String(), nil
}

// deserted reports whether no process listens on a socket any more.
func deserted(ctx context.Context, path string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // nothing was sent
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
