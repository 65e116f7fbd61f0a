package config

import "strings"

// listener is one setting that makes this instance listen.
type listener struct {
	key  []string
	addr string
}

// checkListeners judges where this instance listens.
func (c *Config) checkListeners(found *findings) {
	if c.ListenAddr == "" && c.TLSListenAddr == "" && c.SocketPath == "" {
		found.add(keyPath("listen_addr"), "not set, nor are tls_listen_addr and socket_path: clients need at least one of them")
	}
	listeners := []listener{
		{keyPath("listen_addr"), c.ListenAddr},
		{keyPath("tls_listen_addr"), c.TLSListenAddr},
		{keyPath("prometheus_listen_addr"), c.PrometheusListenAddr},
		{keyPath("raft", "listen_addr"), c.Raft.ListenAddr},
		{keyPath("console", "listen_addr"), c.Console.ListenAddr},
	}
	for i, l := range listeners {
		if l.addr == "" {
			continue
		}
		if _, _, err := splitHostPort(l.addr); err != nil {
			found.add(l.key, "%v: write the address to listen on, such as ':2305' or '127.0.0.1:2305'", err)
			continue
		}
		for _, other := range listeners[:i] {
			if sameListenAddr(l.addr, other.addr) {
				found.add(l.key, "%q is taken by %s (%q): give each listener an address of its own",
					l.addr, strings.Join(other.key, "."), other.addr)
			}
		}
	}
}

// checkTLS judges the certificate for clients.
func (c *Config) checkTLS(found *findings) {
	hasKey := c.TLS.KeyPath != "" || c.TLS.Key != ""
	wanted := c.TLSListenAddr != "" || c.TLS.CertificatePath != "" || hasKey
	if wanted && c.TLS.CertificatePath == "" {
		found.add(keyPath("tls", "certificate_path"), "not set, but tls_listen_addr or a private key needs it")
	}
	if wanted && !hasKey {
		found.add(keyPath("tls", "key_path"), "not set, but tls_listen_addr or a certificate needs it")
	}
	if c.TLS.KeyPath != "" && c.TLS.Key != "" {
		found.add(keyPath("tls", "key"), "key_path is set too: remove one of them")
	}
	oneOf(found, keyPath("tls", "min_version"), c.TLS.MinVersion, "1.2", "1.3")
}

// sameListenAddr tells whether two listeners would be in each other's way.
// Port 0 asks for any free port and never is.
func sameListenAddr(a, b string) bool {
	hostA, portA, errA := splitHostPort(a)
	hostB, portB, errB := splitHostPort(b)
	if errA != nil || errB != nil || portA == 0 || portA != portB {
		return false
	}
	return hostA == hostB || isWildcard(hostA) || isWildcard(hostB)
}
