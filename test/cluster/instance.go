package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"praefect/deploy"
	"praefect/proxy/admin"
)

// Instance is one instance of praefect and its process. Its addresses are set
// while it is launched, the other fields once.
type Instance struct {
	*Process
	Addr        string // host:port for clients
	MetricsAddr string // host:port of /metrics, /livez and /readyz
	RaftAddr    string // host:port for the other instances
	ConsoleAddr string // host:port of the web console; empty without Options.Console
	Dir         string // its configuration, its log and, unless it is elsewhere, its state
	RaftDir     string // its replicated state
	Config      string // the path of its configuration

	conn *grpc.ClientConn
}

// Conn is a connection of a client with the client's token. It lives as long as
// the cluster and follows restarts.
func (i *Instance) Conn() *grpc.ClientConn { return i.conn }

// Admin asks the instance the questions of operators.
func (i *Instance) Admin() *admin.Client { return admin.NewClient(i.conn) }

// URL is where git finds a repository through this instance.
func (i *Instance) URL(virtualStorage, relativePath string) string {
	return gitalyURL(i.Addr, virtualStorage, relativePath)
}

// Ready tells whether the instance says on /readyz that it takes requests; the
// error says why not.
func (i *Instance) Ready(ctx context.Context) error {
	_, err := i.get(ctx, "/readyz")
	return err
}

// WaitReady waits until the instance says on /readyz that it takes requests. Its
// error wraps an *ExitError if the process ended badly.
func (i *Instance) WaitReady(ctx context.Context) error {
	return i.await(ctx, "be ready", i.Ready)
}

// Metrics are the instance's metrics now.
func (i *Instance) Metrics(ctx context.Context) (Metrics, error) {
	body, err := i.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(body)
}

// Reload has the instance read its settings again, and returns when it has. The error
// says that it refused them.
func (i *Instance) Reload(ctx context.Context) error {
	before, err := i.Metrics(ctx)
	if err != nil {
		return err
	}
	if err := i.Hangup(); err != nil {
		return err
	}
	err = poll(ctx, pollEvery, func(ctx context.Context) (bool, error) {
		now, err := i.Metrics(ctx)
		switch {
		case err != nil:
			return !i.Running(), err
		case now[reloadsRefused] > before[reloadsRefused]:
			return true, fmt.Errorf("they are refused; its log %s says why", i.Log())
		case now[reloadsApplied] == before[reloadsApplied]:
			return false, fmt.Errorf("no reload has ended yet")
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("have %s read its settings again: %w", i.Label(), err)
	}
	return nil
}

// The ends of reloads, as /metrics counts it.
const (
	reloadsApplied = `praefect_config_reloads_total{outcome="applied"}`
	reloadsRefused = `praefect_config_reloads_total{outcome="refused"}`
)

// get asks the HTTP side of the instance and returns the body of a 200.
func (i *Instance) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.MetricsAddr+path, nil)
	if err != nil {
		return "", fmt.Errorf("ask %s of %s: %w", path, i.Label(), err)
	}
	request.Close = true // a kept connection is a goroutine that nobody waits for
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask %s of %s: %w", path, i.Label(), err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("ask %s of %s: %w", path, i.Label(), err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask %s of %s: %s: %s", path, i.Label(), response.Status, body)
	}
	return string(body), nil
}

// newInstance prepares an instance that was not launched yet.
func (c *Cluster) newInstance(ctx context.Context, name string) (_ *Instance, err error) {
	i := &Instance{Dir: filepath.Join(c.Dir, name), RaftDir: c.options.RaftDir(name)}
	i.Config = filepath.Join(i.Dir, "config.toml")
	if i.RaftDir == "" {
		i.RaftDir = filepath.Join(i.Dir, "raft")
	}
	if err := os.MkdirAll(i.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", name, err)
	}
	i.Process = c.newProcess(name, c.Binaries.Path(Praefect), filepath.Join(i.Dir, "log"), c.options.Env...)
	i.args = []string{"-config", i.Config}
	if i.place, err = c.options.Place(ctx, name); err != nil {
		return nil, fmt.Errorf("find a place for %s: %w", name, err)
	}
	i.place.Nice = preferred()
	return i, nil
}

// preferred is the priority of instances. They have hosts of their own elsewhere,
// where nothing delays their heartbeats; here storages, git, Postgres and the clients
// share the processors with them.
func preferred() int {
	if os.Geteuid() != 0 {
		return 0
	}
	return deploy.Nice
}

// address chooses where the instance listens, for clients at the wanted address if
// that is free.
func (i *Instance) address(ctx context.Context, c *Cluster, wanted string) (err error) {
	if wanted != "" && i.place.Here() && c.ports.take(ctx, wanted) {
		i.Addr = wanted
	} else if i.Addr, err = c.ports.in(ctx, i.place, clientPort); err != nil {
		return err
	}
	if i.MetricsAddr, err = c.ports.in(ctx, i.place, metricsPort); err != nil {
		return err
	}
	if i.RaftAddr, err = c.ports.in(ctx, i.place, raftPort); err != nil {
		return err
	}
	if c.options.Console {
		if i.ConsoleAddr, err = c.ports.in(ctx, i.place, consolePort); err != nil {
			return err
		}
	}
	i.conn, err = redial(i.conn, i.Addr, c.Token)
	return err
}
