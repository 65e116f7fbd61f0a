package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"praefect/test/cluster"
	"praefect/test/workload"
)

const (
	// briefConnections are made for one call each, by briefClients at once.
	briefConnections = 1000
	briefClients     = 16
	// idleConnections are left open after one call each. An instance takes 10,000 by default.
	idleConnections = 9900
	// connectionCalm is how long the memory is left alone before it is read: garbage is collected after
	// 30 s at most.
	connectionCalm = 35 * time.Second
)

// connections measures connections rather than calls: the time of a call on a connection of its own, and the
// memory that a connection takes which does nothing after its first call.
func connections(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	m, err := memoryCluster(ctx, binaries, eventual, 1, 0)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	for _, path := range bulkPaths {
		if err := create(ctx, m.conns[path], benchRepository(path, storageOn(path), 0)); err != nil {
			return nil, err
		}
	}
	brief, err := briefCalls(ctx, m, s)
	if err != nil {
		return nil, fmt.Errorf("one call each: %w", err)
	}
	idle, err := idleMemory(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	return append(brief, idle...), nil
}

// briefCalls are calls on a connection of their own.
func briefCalls(ctx context.Context, m *inMemory, s settings) (figures, error) {
	p50, rate := map[string][]float64{}, map[string][]float64{}
	for range s.few() {
		for _, path := range bulkPaths {
			l := load{clients: briefClients, call: func(int) error {
				conn, err := m.dialOnce(ctx, path)
				if err != nil {
					return err
				}
				return conn.Close()
			}}
			start := time.Now()
			latencies, err := l.lap(briefConnections)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			p50[path] = append(p50[path], median(latencies))
			rate[path] = append(rate[path], briefConnections/time.Since(start).Seconds())
		}
	}
	var all figures
	for _, path := range bulkPaths {
		name, as := "connection_"+path, proxied
		if path == direct || path == proxied {
			name, as = "connection", path
		}
		all = append(all, of(name+"_p50", as, briefClients, "ms", p50[path]), of(name+"_rate", as, briefClients, "/s", rate[path]))
	}
	return all, nil
}

// dialOnce makes a connection that takes little memory at the client, and one call on it.
func (m *inMemory) dialOnce(ctx context.Context, path string) (*grpc.ClientConn, error) {
	conn, err := cluster.Dial(m.gateways[path].addr, m.gateways[path].token, grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(0))
	if err != nil {
		return nil, err
	}
	if err := refExists(ctx, conn, benchRepository(path, storageOn(path), 0), 0); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// idleMemory opens many connections on each path, one path after the other, as far as the limit of open files permits.
func idleMemory(ctx context.Context, m *inMemory) (figures, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}
	n := int(min(idleConnections, files.Cur/2-100)) // a process that copies bytes has two for each
	var all figures
	for _, path := range []string{proxied, bare, copying} {
		before, err := residentKiB(m.pids[path])
		if err != nil {
			return nil, err
		}
		conns, err := m.hold(ctx, path, n)
		if err == nil {
			err = workload.Pass(ctx, connectionCalm)
		}
		after, failed := residentKiB(m.pids[path])
		for _, conn := range conns {
			err = errors.Join(err, conn.Close())
		}
		if err = errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		name := "idle_connection_memory"
		if path != proxied {
			name += "_" + path
		}
		all = append(all, of(name, proxied, n, "KiB", []float64{(after - before) / float64(n)}))
	}
	return all, nil
}

// hold makes n connections of one call each. The caller closes them, after an error too.
func (m *inMemory) hold(ctx context.Context, path string, n int) (conns []*grpc.ClientConn, err error) {
	var mu sync.Mutex
	_, err = load{clients: briefClients, call: func(int) error {
		conn, err := m.dialOnce(ctx, path)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
		return err
	}}.lap(n)
	return conns, err
}

// residentKiB is the memory that a process has of the host.
func residentKiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize()) / 1024, err
}
