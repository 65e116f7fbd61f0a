package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"praefect/config"
	"praefect/proxy"
)

// clientListener is one address at which clients are served.
type clientListener struct {
	net.Listener
	kind string // "tcp", "tls" or "unix"
	// credentials are nil for a listener without TLS.
	credentials credentials.TransportCredentials
	// certificate is the certificate that the credentials show; nil without TLS.
	certificate *certificate
}

// close closes a listener that no server serves; one that was served is closed
// already.
func (l clientListener) close(log *slog.Logger) { closeUnserved(l, log) }

func closeUnserved(l net.Listener, log *slog.Logger) {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		log.Warn("close a listener", "address", l.Addr().String(), "err", err)
	}
}

// listenForClients opens every listener of the settings, or none.
func listenForClients(ctx context.Context, cfg *config.Config) (open []clientListener, err error) {
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
			open = nil
		}
	}()
	add := func(kind, network, address string, shown *certificate) error {
		l, err := listen(ctx, network, address)
		if err != nil {
			return err
		}
		added := clientListener{Listener: l, kind: kind}
		if shown != nil {
			added.credentials, added.certificate = shown.credentials(), shown
		}
		open = append(open, added)
		return nil
	}
	if cfg.ListenAddr != "" {
		if err := add("tcp", "tcp", cfg.ListenAddr, nil); err != nil {
			return open, err
		}
	}
	if cfg.TLSListenAddr != "" {
		shown, err := newCertificate(cfg.TLS)
		if err != nil {
			return open, err
		}
		if err := add("tls", "tcp", cfg.TLSListenAddr, shown); err != nil {
			return open, err
		}
	}
	if cfg.SocketPath != "" {
		if err := removeStaleSocket(ctx, cfg.SocketPath); err != nil {
			return open, err
		}
		if err := add("unix", "unix", cfg.SocketPath, nil); err != nil {
			return open, err
		}
	}
	return open, nil
}

func listen(ctx context.Context, network, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen at %q: %w", address, err)
	}
	return l, nil
}

// removeStaleSocket removes the socket that a killed process left at the path, but nothing that is
// in use and nothing that is no socket.
func removeStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listen at %q: there is something that is not a socket", path)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("listen at %q: another process does", path), conn.Close())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a stale socket: %w", err)
	}
	return nil
}

// serverPart serves clients at the listeners. When it is told to end it accepts
// nothing more, and calls under way have grace to end.
func serverPart(server *proxy.Server, listeners []clientListener, grace time.Duration, log *slog.Logger) part {
	return part{name: "server", run: func(ctx context.Context) error {
		var serving sync.WaitGroup
		ended := make(chan error, len(listeners))
		for _, l := range listeners {
			log.Info("listening", "schema", l.kind, "address", l.Addr().String())
			serving.Go(func() { ended <- server.Serve(l.Listener, l.kind, l.credentials) })
		}
		var err error
		select {
		case err = <-ended:
		case <-ctx.Done():
		}
		draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		server.Shutdown(draining)
		serving.Wait()
		return err
	}}
}
