// Package secure owns TLS below gRPC, at listeners and towards storages and
// other instances.
//
// It promises the same as grpc/credentials, but it does not insist that the other side negotiates
// HTTP/2 by ALPN. gRPC's own credentials do since 1.67, and would refuse a TLS proxy in between,
// such as HAProxy in TCP mode, that upstream accepts. ALPN is still offered, for sides that insist
// on it.
//
// The proxy, its connections and the commands use it; it imports nothing of ours.
package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"

	"google.golang.org/grpc/credentials"
)

// http2 is the name of HTTP/2 in ALPN.
const http2 = "h2"

// New returns credentials for the settings, which the caller does not change any
// more. No version below TLS 1.2 is spoken.
func New(settings *tls.Config) credentials.TransportCredentials {
	return &transport{settings: Settings(settings)}
}

// NewServer returns credentials for a listener whose settings may change: each
// handshake takes the certificate and the authorities that current returns. They come from Settings.
func NewServer(current func() *tls.Config) credentials.TransportCredentials {
	return &transport{settings: Settings(&tls.Config{}), current: current}
}

// Settings returns a copy of c that offers HTTP/2 and no version below TLS 1.2.
func Settings(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if !slices.Contains(c.NextProtos, http2) {
		c.NextProtos = append(slices.Clone(c.NextProtos), http2)
	}
	return c
}

type transport struct {
	settings *tls.Config
	current  func() *tls.Config // in the place of settings for a server, unless it is nil
}

// Info implements credentials.TransportCredentials.
func (t *transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (t *transport) Clone() credentials.TransportCredentials {
	return &transport{t.settings.Clone(), t.current}
}

// OverrideServerName implements credentials.TransportCredentials, which marks it as deprecated.
func (t *transport) OverrideServerName(name string) error {
	t.settings.ServerName = name
	return nil
}

// ClientHandshake implements credentials.TransportCredentials. The server must
// have a certificate for the host of the authority, unless the settings name
// another server.
func (t *transport) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	settings := t.settings
	if settings.ServerName == "" {
		settings = settings.Clone()
		settings.ServerName = authority
		if host, _, err := net.SplitHostPort(authority); err == nil {
			settings.ServerName = host
		}
	}
	return finish(ctx, tls.Client(raw, settings))
}

// ServerHandshake implements credentials.TransportCredentials. gRPC bounds it by
// the deadline of the connection.
func (t *transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	settings := t.settings
	if t.current != nil {
		settings = t.current()
	}
	return finish(context.Background(), tls.Server(raw, settings))
}

func finish(ctx context.Context, conn *tls.Conn) (net.Conn, credentials.AuthInfo, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, errors.Join(err, ignoreClosed(conn.NetConn().Close()))
	}
	return conn, credentials.TLSInfo{
		State:          conn.ConnectionState(),
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// ignoreClosed drops the error of closing a connection that the end of a context
// has closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
