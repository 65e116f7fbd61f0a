package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/config"
	"praefect/proxy/admin"
	"praefect/proxy/storage"
)

// endpoints are the instances to ask, and the token to show.
type endpoints struct {
	addresses []string
	token     string
}

// endpoints reads from flags, settings and environment where to ask.
func (p *program) endpoints(ctx context.Context, cmd *cli.Command) (endpoints, error) {
	list := cmd.String("endpoints")
	if path := cmd.String("config"); path != "" && list == "" {
		cfg, err := config.Load(ctx, path, p.getenv)
		if err != nil {
			return endpoints{}, err
		}
		address, err := dialable(cfg)
		return endpoints{[]string{address}, cfg.Auth.Token.Reveal()}, err
	}
	var found endpoints
	for address := range strings.SplitSeq(cmp.Or(list, p.getenv("PRAEFECT_ENDPOINTS")), ",") {
		address = strings.TrimSpace(address)
		if address == "" {
			continue
		}
		if !strings.Contains(address, "://") && !strings.HasPrefix(address, "unix:") && !strings.HasPrefix(address, "dns:") {
			address = "tcp://" + address
		}
		found.addresses = append(found.addresses, address)
	}
	if len(found.addresses) == 0 {
		return endpoints{}, usage("nobody to ask: give -config or -endpoints, or set PRAEFECT_ENDPOINTS")
	}
	if path := cmp.Or(cmd.String("token-file"), p.getenv("PRAEFECT_TOKEN_FILE")); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return endpoints{}, fmt.Errorf("read the token: %w", err)
		}
		found.token = strings.TrimSpace(string(text))
	}
	return found, nil
}

// dialable is the address of the instance that has the settings, in the order
// that Praefect's commands prefer.
func dialable(cfg *config.Config) (string, error) {
	switch {
	case cfg.SocketPath != "":
		return "unix:" + cfg.SocketPath, nil
	case cfg.ListenAddr != "":
		return "tcp://" + onThisMachine(cfg.ListenAddr), nil
	case cfg.TLSListenAddr != "":
		return "tls://" + onThisMachine(cfg.TLSListenAddr), nil
	}
	return "", errors.New("no Praefect address configured")
}

// onThisMachine is where to reach what listens at an address, which may be all
// addresses.
func onThisMachine(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return address
	}
	return net.JoinHostPort("localhost", port)
}

// ask puts a question to one instance after the other, until one answers. Each
// gets its share of the time that ctx leaves.
func ask[Answer any](ctx context.Context, e endpoints, question func(context.Context, *admin.Client) (Answer, error)) (Answer, error) {
	var errs []error
	for i, address := range e.addresses {
		share, cancel := shareOf(ctx, len(e.addresses)-i)
		answer, err := askOne(share, address, e.token, question)
		cancel()
		if err == nil {
			return answer, nil
		}
		errs = append(errs, &askError{address, err})
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
			break // another instance would say the same
		}
	}
	var none Answer
	return none, errors.Join(errs...)
}

// askError is what came of asking one instance. It says what the instance said,
// without gRPC's frame around it.
type askError struct {
	address string
	err     error
}

func (e *askError) Error() string {
	text := e.err.Error()
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](e.err); ok {
		text = s.GRPCStatus().Message()
	}
	return "ask " + e.address + ": " + text
}

func (e *askError) Unwrap() error { return e.err }

func askOne[Answer any](ctx context.Context, address, token string, question func(context.Context, *admin.Client) (Answer, error)) (answer Answer, err error) {
	cc, err := storage.NewClient(address, token)
	if err != nil {
		return answer, coded{exitUsage, err}
	}
	defer func() { err = errors.Join(err, cc.Close()) }()
	return question(ctx, admin.NewClient(cc))
}

// shareOf bounds one of several attempts that have to fit into ctx.
func shareOf(ctx context.Context, attempts int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(attempts))
}
