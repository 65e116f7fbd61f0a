package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"praefect/config"
	"praefect/proxy/admin"
	"praefect/proxy/console"
	"praefect/proxy/secure"
)

// consoleListener is where the console is served.
type consoleListener struct {
	net.Listener
	certificate *certificate // nil without TLS
}

// close closes the listener if no server serves it.
func (l *consoleListener) close(log *slog.Logger) { closeUnserved(l, log) }

// listenForConsole opens the listener of the settings, nil if they want none.
func listenForConsole(ctx context.Context, cfg *config.Config) (*consoleListener, error) {
	if cfg.Console.ListenAddr == "" {
		return nil, nil
	}
	l := &consoleListener{}
	if cfg.Console.Secure() {
		var err error
		if l.certificate, err = newCertificate(cfg.Console.TLS()); err != nil {
			return nil, err
		}
	}
	var err error
	if l.Listener, err = listen(ctx, "tcp", cfg.Console.ListenAddr); err != nil {
		return nil, err
	}
	if l.certificate != nil {
		l.Listener = tls.NewListener(l.Listener, &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				current := secure.Settings(l.certificate.settings.Load())
				// One protocol is less to attack, and pages need no second one.
				current.NextProtos = []string{"http/1.1"}
				return current, nil
			},
		})
	}
	return l, nil
}

// innerBuffer is how many bytes of a connection within the process wait to be read.
const innerBuffer = 64 << 10

// consolePart serves the console. It asks and changes the cluster by the service of operators,
// over a connection within the process.
func (d *daemon) consolePart(l *consoleListener, operators *admin.Service) (part, error) {
	inner := bufconn.Listen(innerBuffer)
	cc, err := grpc.NewClient("passthrough:///operators", grpc.WithNoProxy(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inner.DialContext(ctx) }))
	if err != nil {
		return part{}, errors.Join(err, l.Close())
	}
	pages, err := console.New(func(adminToken string) console.Cluster { return admin.NewClient(cc).WithAdminToken(adminToken) }, console.Config{
		Instance: d.cfg.Raft.Name, Version: d.version, Hosts: d.cfg.Console.Hosts, Secure: d.cfg.Console.Secure(),
		Tokens: func() console.Tokens { return consoleTokens(d.live.Load()) }, Log: d.log,
	})
	if err != nil {
		return part{}, errors.Join(err, cc.Close(), l.Close())
	}
	return part{name: "console", run: func(ctx context.Context) error {
		d.log.Info("listening", "schema", "console", "address", l.Addr().String(), "tls", l.certificate != nil)
		server := grpc.NewServer()
		operators.Register(server)
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(inner) }()
		err := pages.Run(ctx, l)
		err = errors.Join(err, cc.Close())
		server.Stop()
		if served := <-ended; !errors.Is(served, grpc.ErrServerStopped) {
			err = errors.Join(err, served)
		}
		return err
	}}, nil
}

// consoleTokens are the tokens that open the console now.
func consoleTokens(cfg *config.Config) console.Tokens {
	return console.Tokens{
		Read: []string{cfg.Auth.Token.Reveal(), cfg.Auth.PreviousToken.Reveal()},
		Act:  adminToken(cfg),
	}
}
