package config

import (
	"errors"
	"net"
)

// DialAddress is where tools on this machine reach the instance with these
// settings, in the order that upstream's commands prefer.
func (c *Config) DialAddress() (string, error) {
	switch {
	case c.SocketPath != "":
		return "unix:" + c.SocketPath, nil
	case c.ListenAddr != "":
		return "tcp://" + onThisMachine(c.ListenAddr), nil
	case c.TLSListenAddr != "":
		return "tls://" + onThisMachine(c.TLSListenAddr), nil
	}
	return "", errors.New("no Praefect address configured")
}

// onThisMachine is where to reach the listener at an address, which may be all addresses.
func onThisMachine(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isWildcard(host) {
		return address
	}
	return net.JoinHostPort("localhost", port)
}
