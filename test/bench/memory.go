package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"praefect/test/cluster"
	"praefect/test/gitaly/memory"
)

const memoryToken = "bench-memory"

// serveMemory is this program as a storage in memory: a process of its own, as
// storages are, so that a direct call crosses as many processes as it would. It
// prints its address, and ends with its standard input. Its blobs and packs are of
// the given size.
func serveMemory(name string, size int64) error {
	server, err := memory.New(memory.Config{Storages: []string{name}, Token: memoryToken, BlobSize: size, PackSize: size})
	if err != nil {
		return err
	}
	return serveUntilEOF(server.Run)
}

// serveUntilEOF prints the address that it serves on, and ends with the
// standard input.
func serveUntilEOF(run func(context.Context, net.Listener) error) error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(lis.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin) // its end is all that matters
		cancel()
	}()
	return run(ctx, lis)
}

// helper is this program, started to serve.
type helper struct {
	addr string
	pid  int
	stop func() error
}

// startSelf starts this program with arguments that make it serve.
func startSelf(args ...string) (h helper, err error) {
	self, err := os.Executable()
	if err != nil {
		return helper{}, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return helper{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return helper{}, err
	}
	if err := cmd.Start(); err != nil {
		return helper{}, err
	}
	h = helper{pid: cmd.Process.Pid, stop: func() error { return errors.Join(in.Close(), cmd.Wait()) }}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return helper{}, errors.Join(fmt.Errorf("%q did not start: %w", args, err), h.stop())
	}
	h.addr = strings.TrimSpace(line)
	return h, nil
}

// inMemory is one instance in front of storages in memory: only the proxy is left to
// measure.
type inMemory struct {
	c *cluster.Cluster
	// conns lead to the first storage directly, through the instance, and through
	// processes that do less. Behind the virtual storage "alone" there is only the
	// first storage, behind "default" there are all.
	conns map[string]*grpc.ClientConn
	pids  map[string]int // of the processes between, by path
	// gateways are where the paths begin.
	gateways map[string]gateway
	settings string   // of the instance
	first    string   // address of the first storage
	addrs    []string // of all storages
	undo     []func() error
}

// memoryCluster starts one, with storages whose blobs and packs are of a size.
func memoryCluster(ctx context.Context, binaries cluster.Binaries, mode string, storages int, size int64) (*inMemory, error) {
	return inFront(ctx, binaries, mode, storages, func(name string) []string {
		return []string{"-serve-memory", name, "-bulk", fmt.Sprint(size)}
	})
}

// inFront starts an instance in front of storages that are this program with some arguments.
func inFront(ctx context.Context, binaries cluster.Binaries, mode string, storages int, serving func(name string) []string) (m *inMemory, err error) {
	m = &inMemory{conns: make(map[string]*grpc.ClientConn)}
	defer func() {
		if err != nil {
			m.stop()
		}
	}()
	var text strings.Builder
	fmt.Fprintf(&text, tuning, mode)
	text.WriteString("[[virtual_storage]]\nname = \"default\"\n")
	node := func(name, addr string) {
		fmt.Fprintf(&text, "[[virtual_storage.node]]\nstorage = %q\naddress = \"tcp://%s\"\ntoken = %q\n", name, addr, memoryToken)
	}
	for n := range storages {
		name := fmt.Sprint("gitaly-", n+1)
		addr, err := m.start(serving(name)...)
		if err != nil {
			return nil, err
		}
		m.addrs = append(m.addrs, addr)
		node(name, addr)
	}
	m.first = m.addrs[0]
	text.WriteString("[[virtual_storage]]\nname = \"alone\"\n")
	node("gitaly-1", m.first)
	m.settings = text.String()
	if m.c, err = m.startCluster(ctx, binaries, m.settings); err != nil {
		return nil, err
	}
	m.conns[proxied] = m.c.Instances[0].Conn()
	conn, err := cluster.Dial(m.first, memoryToken)
	if err != nil {
		return nil, err
	}
	m.undo = append(m.undo, conn.Close)
	m.conns[direct] = conn
	less, helpers, stop, err := past(m.first, memoryToken)
	m.undo = append(m.undo, stop)
	maps.Copy(m.conns, less)
	m.pids, m.gateways = make(map[string]int), make(map[string]gateway)
	for path, h := range helpers {
		m.pids[path], m.gateways[path] = h.pid, gateway{h.addr, memoryToken}
	}
	m.pids[proxied] = m.c.Instances[0].PID()
	m.gateways[proxied], m.gateways[direct] = gateway{m.c.Instances[0].Addr, m.c.Token}, gateway{m.first, memoryToken}
	return m, err
}

// startCluster starts an instance that ends with the world.
func (m *inMemory) startCluster(ctx context.Context, binaries cluster.Binaries, settings string) (*cluster.Cluster, error) {
	c, err := cluster.Start(ctx, cluster.Options{Binaries: binaries, Settings: settings})
	if err == nil {
		m.undo = append(m.undo, func() error { stopCluster(ctx, c); return nil })
	}
	return c, err
}

// streamed is the path through a second instance, in front of the same storages, that does not forward
// reads as frames: every call goes through gRPC's streams.
const streamed = "streams"

// addStreamed starts that instance, if s wants it.
func (m *inMemory) addStreamed(ctx context.Context, binaries cluster.Binaries, s settings) error {
	if !s.streams {
		return nil
	}
	c, err := m.startCluster(ctx, binaries, m.settings+"[forwarding]\nframes = false\n")
	if err != nil {
		return err
	}
	i := c.Instances[0]
	m.conns[streamed], m.pids[streamed], m.gateways[streamed] = i.Conn(), i.PID(), gateway{i.Addr, c.Token}
	return nil
}

// ways are the ways to the first storage, through instances to a virtual storage.
func (m *inMemory) ways(virtualStorage string) map[string]way {
	ways := map[string]way{direct: {conn: m.conns[direct], storage: "gitaly-1"}}
	for path, pid := range m.pids {
		storage := "gitaly-1"
		if path == proxied || path == streamed {
			storage = virtualStorage
		}
		ways[path] = way{conn: m.conns[path], storage: storage, pid: pid}
	}
	return ways
}

// gateway is where a connection leads, and the secret that its calls prove to know.
type gateway struct{ addr, token string }

// past leads to a storage past praefect, through processes that do less. The started
// processes end with stop, even after an error.
func past(storage, token string) (conns map[string]*grpc.ClientConn, helpers map[string]helper, stop func() error, err error) {
	conns, helpers = make(map[string]*grpc.ClientConn), make(map[string]helper)
	var undo []func() error
	stop = func() (err error) {
		for _, f := range slices.Backward(undo) {
			err = errors.Join(err, f())
		}
		return err
	}
	for path, flag := range map[string]string{bare: "-pass-to", copying: "-copy-to"} {
		h, err := startSelf(flag, storage)
		if err != nil {
			return conns, helpers, stop, err
		}
		undo = append(undo, h.stop)
		conn, err := cluster.Dial(h.addr, token)
		if err != nil {
			return conns, helpers, stop, err
		}
		undo = append(undo, conn.Close)
		conns[path], helpers[path] = conn, h
	}
	return conns, helpers, stop, nil
}

// start starts a process that ends with the world.
func (m *inMemory) start(args ...string) (addr string, err error) {
	h, err := startSelf(args...)
	if err == nil {
		m.undo = append(m.undo, h.stop)
	}
	return h.addr, err
}

func (m *inMemory) stop() {
	for _, f := range slices.Backward(m.undo) {
		if err := f(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: stop:", err)
		}
	}
}
