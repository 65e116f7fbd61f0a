package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"praefect/deploy"
)

// balanced is how many instances deploy/haproxy.cfg knows.
const balanced = 3

// Balancer is HAProxy in front of the instances, set up as deploy/haproxy.cfg
// says. The fields are set once.
type Balancer struct {
	*Process
	Addr string // host:port for clients

	conn *grpc.ClientConn
}

// Conn is a connection of a client with the client's token. It lives as long as
// the cluster and follows restarts.
func (b *Balancer) Conn() *grpc.ClientConn { return b.conn }

// WaitReady waits until a client gets through to an instance.
func (b *Balancer) WaitReady(ctx context.Context) error {
	return b.await(ctx, "find an instance", func(ctx context.Context) error {
		_, err := healthpb.NewHealthClient(b.conn).Check(ctx, &healthpb.HealthCheckRequest{})
		return err
	})
}

// ClientAddr is where clients come in: the balancer, or the first instance
// without one.
func (c *Cluster) ClientAddr() string {
	if c.Balancer != nil {
		return c.Balancer.Addr
	}
	return c.Instances[0].Addr
}

// Conn is a connection of a client to ClientAddr.
func (c *Cluster) Conn() *grpc.ClientConn {
	if c.Balancer != nil {
		return c.Balancer.conn
	}
	return c.Instances[0].conn
}

// URL is where git finds a repository of the cluster.
func (c *Cluster) URL(virtualStorage, relativePath string) string {
	return gitalyURL(c.ClientAddr(), virtualStorage, relativePath)
}

// startBalancer starts the balancer, if one is wanted.
func (c *Cluster) startBalancer(ctx context.Context) error {
	if !c.options.Balancer {
		return nil
	}
	program, err := haproxy()
	if err != nil {
		return err
	}
	dir := filepath.Join(c.Dir, "haproxy")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of haproxy: %w", err)
	}
	settings := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(settings, []byte(deploy.HAProxy), 0o644); err != nil {
		return fmt.Errorf("write the configuration of haproxy: %w", err)
	}
	b := &Balancer{Process: c.newProcess("haproxy", program, filepath.Join(dir, "log"))}
	b.args = []string{"-f", settings, "-db"} // in the foreground
	if b.place, err = c.options.Place(ctx, "haproxy"); err != nil {
		return fmt.Errorf("find a place for haproxy: %w", err)
	}
	c.Balancer = b
	wanted := c.options.ClientAddr
	launch := func() error {
		addr := wanted
		wanted = "" // taken, if there is a second time
		return b.launch(ctx, c, addr)
	}
	if err := launch(); err != nil {
		return err
	}
	if err := serving(ctx, b.WaitReady, launch); err != nil {
		return err
	}
	c.options.Progress(b.Label(), b.Addr)
	return nil
}

// launch starts the balancer at the wanted address, if that is free.
func (b *Balancer) launch(ctx context.Context, c *Cluster, wanted string) (err error) {
	if wanted != "" && b.place.Here() && c.ports.take(ctx, wanted) {
		b.Addr = wanted
	} else if b.Addr, err = c.ports.in(ctx, b.place, clientPort); err != nil {
		return err
	}
	if b.conn, err = redial(b.conn, b.Addr, c.Token); err != nil {
		return err
	}
	env := []string{"GITALY_BIND=" + b.Addr, "HAPROXY_LOG=stdout"}
	for n, i := range c.Instances {
		_, metrics, err := net.SplitHostPort(i.MetricsAddr)
		if err != nil {
			return fmt.Errorf("read the address of %s: %w", i.Label(), err)
		}
		variable := "PRAEFECT_" + strconv.Itoa(n+1)
		env = append(env, variable+"="+i.Addr, variable+"_METRICS="+metrics)
	}
	b.env = append(c.Binaries.environment(), env...)
	return b.Start()
}

// haproxy is the program, which Debian keeps off most people's path.
func haproxy() (string, error) {
	found, err := exec.LookPath("haproxy")
	if err == nil {
		return found, nil
	}
	if found, fault := exec.LookPath("/usr/sbin/haproxy"); fault == nil {
		return found, nil
	}
	return "", fmt.Errorf("no HAProxy: install it, on Debian with: apt-get install haproxy: %w", err)
}
