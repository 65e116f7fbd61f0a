package config

import (
	"net"
	"net/netip"
	"strings"
)

// Console is where the web console is served; see docs/operations/console.md.
type Console struct {
	// ListenAddr is the host:port of the console. Without a certificate it must be one of the
	// loopback interface, because users type tokens there. Default: not served.
	ListenAddr string `toml:"listen_addr"`
	// Hosts are the names under which browsers reach the console, beside localhost and every IP
	// address. A request under another name is refused. Default: none.
	Hosts []string `toml:"hosts"`
	// CertificatePath is a PEM file: the console's certificate, then its intermediates. It comes
	// with KeyPath. Default: none, and the console is served without TLS.
	CertificatePath string `toml:"certificate_path"`
	// KeyPath is the PEM file of the certificate's private key.
	KeyPath string `toml:"key_path"`
}

// TLS is the certificate in the form of that for clients.
func (c Console) TLS() TLS {
	return TLS{CertificatePath: c.CertificatePath, KeyPath: c.KeyPath, MinVersion: "1.2"}
}

// Secure tells that the console is served with TLS.
func (c Console) Secure() bool { return c.CertificatePath != "" }

// checkConsole judges where the console is served, and to whom.
func (c *Config) checkConsole(found *findings) {
	console := c.Console
	if (console.CertificatePath == "") != (console.KeyPath == "") {
		found.add(keyPath("console", "certificate_path"), "certificate_path and key_path come together: set both, or neither")
	}
	for i, name := range console.Hosts {
		if name == "" || strings.ContainsAny(name, ":/ *") {
			found.add(keyPath("console", "hosts", i), "%q is not the name of a host: write it without scheme and port", name)
		}
	}
	if console.ListenAddr == "" {
		return
	}
	if c.Auth.Token == "" && c.Auth.TokenFile == "" {
		found.add(keyPath("console", "listen_addr"), "set without auth.token, which opens the console: set auth.token too")
	}
	if host, _, err := splitHostPort(console.ListenAddr); err == nil && !console.Secure() && !isLoopback(host) {
		found.add(keyPath("console", "listen_addr"), "%q is no address of the loopback interface, and tokens are typed there: "+
			"set certificate_path and key_path, or write '127.0.0.1:9653' and reach it through ssh", console.ListenAddr)
	}
}

// isLoopback tells whether only this machine reaches a host.
func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return net.IP(ip.AsSlice()).IsLoopback()
	}
	return host == "localhost"
}
