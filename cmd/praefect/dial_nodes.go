package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"praefect/config"
	"praefect/proxy/storage"
)

// dialTimeout is how long dial-nodes gives a server if it is not told.
const dialTimeout = 10 * time.Second

func (p *program) dialNodes() *cli.Command {
	return &cli.Command{
		Name:  "dial-nodes",
		Usage: "check that every storage can be reached and serves what is configured",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Usage: "how long a server may take; 0 is 10s"},
		},
		Action: p.withSettings(func(ctx context.Context, cmd *cli.Command, cfg *config.Config) error {
			timeout := cmd.Duration("timeout")
			if timeout <= 0 {
				timeout = dialTimeout
			}
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return dialAll(ctx, &lines{write: p.println}, servers(cfg))
		}),
	}
}

// server is one configured address, with the storages that are expected there.
type server struct {
	address, token string
	storages       []string            // in the order of the settings
	wantedBy       map[string][]string // virtual storages, by storage
}

// servers lists the configured addresses, each once.
func servers(cfg *config.Config) []*server {
	var list []*server
	for _, vs := range cfg.VirtualStorages {
		for _, node := range vs.Nodes {
			i := slices.IndexFunc(list, func(s *server) bool { return s.address == node.Address })
			if i < 0 {
				i = len(list)
				list = append(list, &server{address: node.Address, token: node.Token.Reveal(), wantedBy: make(map[string][]string)})
			}
			s := list[i]
			if _, known := s.wantedBy[node.Storage]; !known {
				s.storages = append(s.storages, node.Storage)
			}
			s.wantedBy[node.Storage] = append(s.wantedBy[node.Storage], vs.Name)
		}
	}
	return list
}

// lines is output that several goroutines write to, line by line.
type lines struct {
	mu    sync.Mutex
	write func(string) error
	err   error // guarded by mu; the first that write returned
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, l.write(fmt.Sprintf(format, args...)))
}

// dialAll checks all servers at once.
func dialAll(ctx context.Context, out *lines, list []*server) error {
	failed := make([]bool, len(list))
	var wg sync.WaitGroup
	for i, s := range list {
		wg.Go(func() {
			if err := s.check(ctx, out); err != nil {
				out.printf("[%s]: ERROR: %s", s.address, strings.ReplaceAll(err.Error(), "\n", "; "))
				failed[i] = true
			}
		})
	}
	wg.Wait()
	var unhealthy []string
	for i, s := range list {
		if failed[i] {
			unhealthy = append(unhealthy, s.address)
		}
	}
	if len(unhealthy) > 0 {
		return errors.Join(out.err, fmt.Errorf("the following nodes are not healthy: %s", strings.Join(unhealthy, ", ")))
	}
	return out.err
}

func (s *server) check(ctx context.Context, out *lines) (err error) {
	say := func(text string) { out.printf("[%s]: %s", s.address, text) }
	cc, err := storage.NewClient(s.address, s.token)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cc.Close()) }()

	say("dialing...")
	if err := connect(ctx, cc); err != nil {
		return fmt.Errorf("dialing failed: %w", err)
	}
	say("dialed successfully!")

	say("checking health...")
	health, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("health check failed: %w", err)
	}
	if health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("health check did not report serving, instead: %s", health.GetStatus())
	}
	say("SUCCESS: node is healthy!")

	say("checking consistency...")
	info, err := gitalypb.NewServerServiceClient(cc).ServerInfo(ctx, &gitalypb.ServerInfoRequest{})
	if err != nil {
		return fmt.Errorf("receiving ServerInfo failed: %w", err)
	}
	if err := s.consistent(info, say); err != nil {
		return err
	}
	say("SUCCESS: node configuration is consistent!")
	return nil
}

// connect waits until the connection is made. If that fails, the error of the
// RPC that needs it says why.
func connect(ctx context.Context, cc *grpc.ClientConn) error {
	cc.Connect()
	for {
		switch state := cc.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			_, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		default:
			if !cc.WaitForStateChange(ctx, state) {
				return ctx.Err()
			}
		}
	}
}

// consistent compares the storages that a server says it serves with the configured ones.
func (s *server) consistent(info *gitalypb.ServerInfoResponse, say func(string)) error {
	served := make(map[string]*gitalypb.ServerInfoResponse_StorageStatus)
	for _, status := range info.GetStorageStatuses() {
		served[status.GetStorageName()] = status
	}
	var faults []error
	for _, name := range s.storages {
		status := served[name]
		switch {
		case status == nil:
			faults = append(faults, fmt.Errorf("configured storage %q is not served", name))
		case !status.GetReadable() || !status.GetWriteable():
			faults = append(faults, fmt.Errorf("storage %q is not readable and writeable (readable: %t, writeable: %t)",
				name, status.GetReadable(), status.GetWriteable()))
		default:
			say(fmt.Sprintf("SUCCESS: confirmed Gitaly storage %q in virtual storages %v is served", name, s.wantedBy[name]))
		}
	}
	return errors.Join(faults...)
}
