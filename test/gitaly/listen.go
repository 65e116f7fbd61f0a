package gitaly

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// Listen listens on an address as Gitaly's clients write it: tcp://host:port
// (port 0 for any) or unix:path. It returns the listener, and the address that
// clients dial.
func Listen(ctx context.Context, address string) (net.Listener, string, error) {
	network, where, ok := strings.Cut(address, ":")
	if !ok || (network != "tcp" && network != "unix") {
		return nil, "", fmt.Errorf("address %q is neither tcp://host:port nor unix:path", address)
	}
	where = strings.TrimPrefix(where, "//")
	lis, err := new(net.ListenConfig).Listen(ctx, network, where)
	if err != nil {
		return nil, "", fmt.Errorf("listen on %q: %w", address, err)
	}
	if network == "unix" {
		return lis, "unix:" + where, nil
	}
	return lis, "tcp://" + lis.Addr().String(), nil
}
