package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"praefect/test/cluster"
	"praefect/test/gitaly/memory"
)

const memoryToken = "bench-memory"

// serveMemory is this program as a storage in memory: a process of its own, as
// storages are, so that a direct call crosses as many processes as it would. It
// prints its address, and ends with its standard input.
func serveMemory(name string, blobSize int64) error {
	server, err := memory.New(memory.Config{Storages: []string{name}, Token: memoryToken, BlobSize: blobSize})
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

// startSelf starts this program with arguments that make it serve, and returns
// its address.
func startSelf(args ...string) (addr string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("%q did not start: %w", args, err), stop())
	}
	return strings.TrimSpace(line), stop, nil
}

// memoryCluster is one instance in front of storages in memory: what is left
// to measure is the proxy. The returned connections lead to the first storage
// directly, through the instance, and through processes that do less. Behind
// the virtual storage "alone" there is only the first storage.
func memoryCluster(ctx context.Context, binaries cluster.Binaries, storages int, blobSize int64) (c *cluster.Cluster, conns map[string]*grpc.ClientConn, stop func(), err error) {
	var undo []func() error
	stop = func() {
		for _, f := range slices.Backward(undo) {
			if err := f(); err != nil {
				fmt.Fprintln(os.Stderr, "bench: stop:", err)
			}
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	var text strings.Builder
	text.WriteString("[logging]\nlevel = \"warn\"\n[[virtual_storage]]\nname = \"default\"\n")
	node := func(name, addr string) {
		fmt.Fprintf(&text, "[[virtual_storage.node]]\nstorage = %q\naddress = \"tcp://%s\"\ntoken = %q\n", name, addr, memoryToken)
	}
	var first string
	for n := range storages {
		name := fmt.Sprint("gitaly-", n+1)
		addr, stopStorage, err := startSelf("-serve-memory", name, "-bulk", fmt.Sprint(blobSize))
		if err != nil {
			return nil, nil, nil, err
		}
		undo = append(undo, stopStorage)
		if n == 0 {
			first = addr
		}
		node(name, addr)
	}
	text.WriteString("[[virtual_storage]]\nname = \"alone\"\n")
	node("gitaly-1", first)
	if c, err = cluster.Start(ctx, cluster.Options{Binaries: binaries, Settings: text.String()}); err != nil {
		return nil, nil, nil, err
	}
	undo = append(undo, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return c.Stop(ctx)
	})
	conns = map[string]*grpc.ClientConn{proxied: c.Instances[0].Conn(), alone: c.Instances[0].Conn()}
	for path, flag := range map[string]string{direct: "", bare: "-pass-to", copying: "-copy-to"} {
		addr := first
		if flag != "" {
			through, stopThrough, err := startSelf(flag, first)
			if err != nil {
				return nil, nil, nil, err
			}
			undo = append(undo, stopThrough)
			addr = through
		}
		conn, err := cluster.Dial(addr, memoryToken)
		if err != nil {
			return nil, nil, nil, err
		}
		undo = append(undo, conn.Close)
		conns[path] = conn
	}
	return c, conns, stop, nil
}
