package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"praefect/test/postgres"
)

const (
	startLimit  = 2 * time.Minute  // of a whole cluster, on a busy machine
	stopLimit   = 30 * time.Second // of all instances, then of all storages
	removeLimit = 20 * time.Second
)

// AdminTokenName is the name, in the directory of a cluster, of the file with the
// operators' secret.
const AdminTokenName = "admin-token"

// Cluster is a running cluster. Make one with Start or Run; its owner calls Stop.
// Its fields are set once, and its methods may be called by several goroutines.
type Cluster struct {
	// Dir holds everything but the data of a Postgres that is not detached.
	Dir string
	// Binaries are the programs that run.
	Binaries Binaries
	// Token is the clients' secret; TokenFile holds it.
	Token, TokenFile string
	// AdminTokenFile holds the operators' secret.
	AdminTokenFile string
	// Postgres is the server of the queue, and DSN the instances' database on it.
	Postgres *postgres.Server
	DSN      string
	// Storages are all storages, in the order of Options.VirtualStorages.
	Storages []*Storage
	// Instances are the instances of praefect.
	Instances []*Instance
	// Balancer is in front of them; nil without Options.Balancer.
	Balancer *Balancer

	options   Options
	gitlab    *Process // for a real Gitaly, else nil
	ports     ports
	temporary bool
	stopOnce  sync.Once
	stopErr   error
}

// Start starts a cluster and returns when every process of it serves, within two
// minutes. Every process that was started is stopped when it fails; the error then carries the
// end of the log in question.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	options.applyDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c := &Cluster{Binaries: options.Binaries, options: options, ports: ports{given: make(map[string]bool)}}
	for _, step := range []func(context.Context) error{
		c.prepare, c.startPostgres, c.startGitlab, c.startStorages, c.startInstances, c.startBalancer,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start a cluster: %w", err), c.Stop(context.WithoutCancel(ctx)))
		}
	}
	return c, nil
}

// Storage is the storage of the given names; nil if there is none.
func (c *Cluster) Storage(virtualStorage, name string) *Storage {
	for _, s := range c.StoragesOf(virtualStorage) {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// StoragesOf are the storages of one virtual storage, in the order of the options.
func (c *Cluster) StoragesOf(virtualStorage string) []*Storage {
	var found []*Storage
	for _, s := range c.Storages {
		if s.VirtualStorage == virtualStorage {
			found = append(found, s)
		}
	}
	return found
}

// WaitReady waits until every storage serves and every instance is ready.
func (c *Cluster) WaitReady(ctx context.Context) error {
	for _, s := range c.Storages {
		if err := s.WaitReady(ctx); err != nil {
			return err
		}
	}
	for _, i := range c.Instances {
		if err := i.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends every process, instances first, and returns when they are gone; a process that
// does not end in time is killed. The error names these, the ones that ended
// badly, and the ones that had done so before without Kill, Terminate or Wait
// having been called. Further calls return the same.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { c.stopErr = c.stop(ctx) })
	return c.stopErr
}

func (c *Cluster) stop(ctx context.Context) error {
	var faults []error
	for _, p := range c.processes() {
		faults = append(faults, p.surprise())
	}
	var instances, storages []*Process
	var conns []*grpc.ClientConn
	for _, i := range c.Instances {
		instances, conns = append(instances, i.Process), append(conns, i.conn)
	}
	for _, s := range c.Storages {
		storages, conns = append(storages, s.Process), append(conns, s.conn)
	}
	if c.Balancer != nil {
		// It keeps nothing, and to end in good order it would wait for all clients.
		faults = append(faults, c.Balancer.Kill())
		conns = append(conns, c.Balancer.conn)
	}
	faults = append(faults, terminateAll(ctx, instances), terminateAll(ctx, storages))
	if c.gitlab != nil {
		faults = append(faults, terminateAll(ctx, []*Process{c.gitlab}))
	}
	for _, conn := range conns {
		if conn != nil { // not so if its launch failed
			faults = append(faults, conn.Close())
		}
	}
	if c.Postgres != nil && c.options.Postgres == nil {
		faults = append(faults, c.Postgres.Close())
	}
	if c.temporary {
		faults = append(faults, removeAll(ctx, c.Dir))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("stop a cluster: %w", err)
	}
	return nil
}

// terminateAll ends processes side by side.
func terminateAll(ctx context.Context, processes []*Process) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	faults := make([]error, len(processes))
	var all sync.WaitGroup
	for i, p := range processes {
		all.Go(func() { faults[i] = p.Terminate(ctx) })
	}
	all.Wait()
	return errors.Join(faults...)
}

// processes are all but Postgres, which keeps its own.
func (c *Cluster) processes() []*Process {
	var all []*Process
	for _, i := range c.Instances {
		all = append(all, i.Process)
	}
	for _, s := range c.Storages {
		all = append(all, s.Process)
	}
	if c.Balancer != nil {
		all = append(all, c.Balancer.Process)
	}
	if c.gitlab != nil {
		all = append(all, c.gitlab)
	}
	return all
}

// prepare makes the directory and the secrets.
func (c *Cluster) prepare(context.Context) error {
	if c.options.Dir == "" {
		dir, err := os.MkdirTemp("", "cluster-")
		if err != nil {
			return fmt.Errorf("make its directory: %w", err)
		}
		c.Dir, c.temporary = dir, true
	} else {
		dir, err := filepath.Abs(c.options.Dir)
		if err != nil {
			return fmt.Errorf("find its directory: %w", err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make its directory: %w", err)
		}
		c.Dir = dir
	}
	c.TokenFile, c.AdminTokenFile = filepath.Join(c.Dir, "token"), filepath.Join(c.Dir, AdminTokenName)
	var err error
	if c.Token, err = newToken(c.TokenFile); err != nil {
		return err
	}
	for _, path := range []string{c.AdminTokenFile, filepath.Join(c.Dir, raftSecret)} {
		if _, err := newToken(path); err != nil {
			return err
		}
	}
	return nil
}
