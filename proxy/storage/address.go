package storage

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// address is a parsed dial string, in one of the forms that Gitaly's clients
// know: tcp://host:port, tls://host:port, unix:path, unix:///path,
// dns:host:port, dns://server/host:port.
type address struct {
	network  string // "tcp" or "unix"
	endpoint string // host:port or the socket's path
	tls      bool
	// nameserver answers for the host name instead of the system's resolver;
	// empty for the system's.
	nameserver string
}

// parseAddress accepts or refuses an address without touching the network.
func parseAddress(text string) (address, error) {
	invalid := func(why string) (address, error) {
		return address{}, fmt.Errorf("invalid connection string: %q: %s", text, why)
	}
	scheme, rest, found := strings.Cut(text, ":")
	if !found {
		return invalid("want tcp://, tls://, unix: or dns:")
	}
	after, slashes := strings.CutPrefix(rest, "//")
	switch {
	case (scheme == "tcp" || scheme == "tls") && slashes:
		if why := checkHostPort(after); why != "" {
			return invalid(why)
		}
		return address{network: "tcp", endpoint: after, tls: scheme == "tls"}, nil
	case scheme == "unix":
		if after == "" || slashes && !strings.HasPrefix(after, "/") {
			return invalid("want unix:PATH or unix:///PATH")
		}
		return address{network: "unix", endpoint: after}, nil
	case scheme == "dns":
		a := address{network: "tcp", endpoint: after}
		if slashes {
			server, host, split := strings.Cut(after, "/")
			if !split {
				return invalid("want dns:HOST:PORT or dns://SERVER/HOST:PORT")
			}
			a.nameserver, a.endpoint = server, host
		}
		if why := checkHostPort(a.endpoint); why != "" {
			return invalid(why)
		}
		if a.nameserver != "" && !strings.Contains(a.nameserver, ":") {
			a.nameserver = net.JoinHostPort(a.nameserver, "53")
		}
		return a, nil
	}
	return invalid("want tcp://, tls://, unix: or dns:")
}

// checkHostPort returns the fault of a host:port, or nothing.
func checkHostPort(text string) string {
	host, port, err := net.SplitHostPort(text)
	switch {
	case err != nil:
		return "want HOST:PORT"
	case host == "":
		return "the host is missing"
	case port == "":
		return "the port is missing"
	case strings.ContainsAny(text, "/ "):
		return "want nothing after the port"
	}
	return ""
}

// authority is the name of the server in its calls. A path is no legal
// authority, so a socket is "localhost".
func (a address) authority() string {
	if a.network == "unix" {
		return "localhost"
	}
	return a.endpoint
}

// dialer returns the function that opens a network connection to a.
func (a address) dialer() func(ctx context.Context, network, endpoint string) (net.Conn, error) {
	var d net.Dialer
	if a.nameserver != "" {
		d.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var plain net.Dialer
			return plain.DialContext(ctx, network, a.nameserver)
		}}
	}
	return d.DialContext
}
