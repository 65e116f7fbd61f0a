package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// checkStorageAddress judges where a storage is to be dialled.
func checkStorageAddress(address string) error {
	var err error
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "tcp", "tls":
		target, ok := strings.CutPrefix(rest, "//")
		if !ok {
			return fmt.Errorf("%q lacks the slashes: write '%s://host:port'", address, scheme)
		}
		err = checkPeerAddr(target)
	case "unix":
		err = checkUnixTarget(rest)
	case "dns":
		err = checkDNSTarget(rest)
	default:
		return fmt.Errorf("%q has no known scheme: write 'tcp://host:port', 'tls://host:port', 'unix:/path' or 'dns:host:port'", address)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", address, err)
	}
	return nil
}

func checkUnixTarget(target string) error {
	path, hasAuthority := strings.CutPrefix(target, "//")
	if path == "" {
		return errors.New("there is no path: write 'unix:/path'")
	}
	if hasAuthority && !strings.HasPrefix(path, "/") {
		return errors.New("a path after 'unix://' must be absolute: write 'unix:///path' or 'unix:path'")
	}
	return nil
}

// checkDNSTarget judges host:port, ///host:port and //resolver/host:port.
func checkDNSTarget(target string) error {
	if rest, ok := strings.CutPrefix(target, "//"); ok {
		_, name, found := strings.Cut(rest, "/")
		if !found {
			return errors.New("there is no name after the resolver: write 'dns://resolver/host:port' or 'dns:host:port'")
		}
		target = name
	}
	return checkPeerAddr(target)
}

// checkPeerAddr checks a host:port that another process dials.
func checkPeerAddr(addr string) error {
	host, port, err := splitHostPort(addr)
	switch {
	case err != nil:
		return err
	case isWildcard(host):
		return fmt.Errorf("the host must be one that others can reach, not %q", host)
	case port == 0:
		return errors.New("the port must be from 1 to 65535")
	}
	return nil
}

// splitHostPort takes host:port apart. The host may be empty, and the port 0.
func splitHostPort(addr string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", addr)
	}
	if strings.ContainsAny(host, " \t\r\n/@?#\\") {
		return "", 0, fmt.Errorf("%q is not the name or address of a host", host)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", text)
	}
	return host, uint16(number), nil
}

// isWildcard tells whether a host stands for all addresses of a machine.
func isWildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || (err == nil && ip.IsUnspecified())
}
