package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Storage is one storage server and its process. The fields are set once.
type Storage struct {
	*Process
	VirtualStorage string // whose storage it is
	Name           string // as the configuration calls it
	Addr           string // host:port
	Token          string // its secret
	TokenFile      string // what holds the secret
	Dir            string // its disk: the repositories

	more []table // storages of the same server, of a Node
	conn *grpc.ClientConn
}

// Conn is a connection straight to the storage, past the proxy, with the
// storage's token. It lives as long as the cluster and follows restarts.
func (s *Storage) Conn() *grpc.ClientConn { return s.conn }

// URL is where git finds a repository of the storage, past the proxy.
func (s *Storage) URL(relativePath string) string { return gitalyURL(s.Addr, s.Name, relativePath) }

// WaitReady waits until the storage serves. Its error wraps an *ExitError if the
// process ended badly.
func (s *Storage) WaitReady(ctx context.Context) error {
	return s.await(ctx, "serve", func(ctx context.Context) error {
		answer, err := healthpb.NewHealthClient(s.conn).Check(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return fmt.Errorf("check its health: %w", err)
		}
		if got := answer.GetStatus(); got != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("its health is %v", got)
		}
		return nil
	})
}

// ReplaceDisk kills the storage, replaces its disk by an empty one, which gives
// it another file system id, and returns when it serves again.
func (s *Storage) ReplaceDisk(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	// Renamed first: git processes of the old life may still write there.
	old := s.Dir + ".replaced"
	err := errors.Join(os.Rename(s.Dir, old), os.Mkdir(s.Dir, 0o755))
	if err == nil {
		err = removeAll(ctx, old)
	}
	if err != nil {
		return fmt.Errorf("replace the disk of %s: %w", s.Label(), err)
	}
	if err := s.Start(); err != nil {
		return err
	}
	return s.WaitReady(ctx)
}

// removeAll removes a directory in which git processes of a killed storage may
// still write for a moment.
func removeAll(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	return poll(ctx, pollEvery, func(context.Context) (bool, error) {
		err := os.RemoveAll(dir)
		return err == nil, err
	})
}

// newStorage prepares a storage that was not launched yet.
func (c *Cluster) newStorage(ctx context.Context, virtualStorage, name string) (*Storage, error) {
	home := filepath.Join(c.Dir, "storages", url.PathEscape(virtualStorage), url.PathEscape(name))
	s := &Storage{
		VirtualStorage: virtualStorage, Name: name,
		Dir: filepath.Join(home, "disk"), TokenFile: filepath.Join(home, "token"),
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the disk of storage %q: %w", name, err)
	}
	if err := c.options.Disk(ctx, virtualStorage, s.Dir); err != nil {
		return nil, fmt.Errorf("fill the disk of storage %q: %w", name, err)
	}
	var err error
	if s.Token, err = newToken(s.TokenFile); err != nil {
		return nil, err
	}
	label := name
	if len(c.options.VirtualStorages) > 1 {
		label = virtualStorage + "/" + name
	}
	program := c.Binaries.Path(TestGitaly)
	if c.options.Gitaly != nil {
		program = c.options.Gitaly.Bin
	}
	s.Process = c.newProcess(label, program, filepath.Join(home, "log"))
	if c.options.Gitaly != nil {
		s.onTerm = gitalyOnTerm
	}
	if s.place, err = c.options.Place(ctx, label); err != nil {
		return nil, fmt.Errorf("find a place for %s: %w", label, err)
	}
	return s, nil
}

// launch starts the storage, at a free address if it is here.
func (s *Storage) launch(ctx context.Context, c *Cluster) (err error) {
	if s.Addr, err = c.ports.in(ctx, s.place, storagePort); err != nil {
		return err
	}
	if s.conn, err = redial(s.conn, s.Addr, s.Token); err != nil {
		return err
	}
	if c.options.Gitaly != nil {
		config, err := c.writeGitalyConfig(s)
		if err != nil {
			return err
		}
		s.args = []string{"serve", config}
		return s.Start()
	}
	s.args = []string{"-listen", "tcp://" + s.Addr, "-storage", s.Name + "=" + s.Dir, "-token-file", s.TokenFile}
	return s.Start()
}
