package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"praefect/proxy/admin"
)

// Instance is one instance of praefect and its process. The fields are set once.
type Instance struct {
	*Process
	Addr        string // host:port for clients
	MetricsAddr string // host:port of /metrics, /livez and /readyz
	Dir         string // all that it keeps
	Config      string // the path of its configuration

	conn *grpc.ClientConn
}

// Conn is a connection of a client with the client's token. It lives as long as
// the cluster and follows restarts.
func (i *Instance) Conn() *grpc.ClientConn { return i.conn }

// Admin asks the instance what operators ask.
func (i *Instance) Admin() *admin.Client { return admin.NewClient(i.conn) }

// URL is where git finds a repository through this instance.
func (i *Instance) URL(virtualStorage, relativePath string) string {
	return gitalyURL(i.Addr, virtualStorage, relativePath)
}

// WaitReady waits until the instance says on /readyz that it takes requests. Its
// error wraps an *ExitError if the process ended badly.
func (i *Instance) WaitReady(ctx context.Context) error {
	return i.await(ctx, "be ready", func(ctx context.Context) error {
		_, err := i.get(ctx, "/readyz")
		return err
	})
}

// Metrics are the instance's metrics now.
func (i *Instance) Metrics(ctx context.Context) (Metrics, error) {
	body, err := i.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(body)
}

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
func (c *Cluster) newInstance(name string) (*Instance, error) {
	i := &Instance{Dir: filepath.Join(c.Dir, name)}
	i.Config = filepath.Join(i.Dir, "config.toml")
	if err := os.MkdirAll(i.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", name, err)
	}
	i.Process = c.newProcess(name, Praefect, filepath.Join(i.Dir, "log"), c.options.Env...)
	i.args = []string{"-config", i.Config}
	return i, nil
}

// launch configures the instance and starts it, for clients at the wanted address
// if that is free.
func (i *Instance) launch(ctx context.Context, c *Cluster, wanted string) (err error) {
	if wanted != "" && c.ports.take(ctx, wanted) {
		i.Addr = wanted
	} else if i.Addr, err = c.ports.free(ctx); err != nil {
		return err
	}
	if i.MetricsAddr, err = c.ports.free(ctx); err != nil {
		return err
	}
	if i.conn, err = redial(i.conn, i.Addr, c.Token); err != nil {
		return err
	}
	if err := c.writeConfig(i); err != nil {
		return err
	}
	return i.Start()
}
