package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	callmetrics "praefect/proxy/measure"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/proxy/transaction"
	"praefect/test/gitaly/memory"
)

// benchmarkRole has this program be a storage or the clients of a benchmark, in a process of its own:
// then the processor time of the benchmark's process, and its profile, are of the proxy alone.
const benchmarkRole = "PRAEFECT_BENCHMARK_ROLE"

// playRole ends the process if it is one of a benchmark's.
func playRole() {
	role, of, _ := strings.Cut(os.Getenv(benchmarkRole), "=")
	roles := map[string]func(string) error{"storage": benchmarkStorage, "clients": benchmarkClients}
	play, ok := roles[role]
	if !ok {
		return
	}
	if err := play(of); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// benchmarkStorage is a storage in memory. It prints its address, and ends with its input.
func benchmarkStorage(name string) error {
	server, err := memory.New(memory.Config{Storages: []string{name}, Token: storageToken})
	if err != nil {
		return err
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(lis.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // until the end of the input
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that matters
		cancel()
	}()
	return server.Run(ctx, lis)
}

// benchmarkClients makes calls through the instance at addr: as many by so many clients as each line
// of its input says. It answers with a line.
func benchmarkClients(addr string) error {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(storage.Credentials(clientToken)))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := gitalypb.NewRepositoryServiceClient(conn)
	var made int
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var calls int64
		var clients int
		if _, err := fmt.Sscan(lines.Text(), &calls, &clients); err != nil {
			return err
		}
		for ; made < 4*clients; made++ {
			if _, err := client.CreateRepository(context.Background(), &gitalypb.CreateRepositoryRequest{Repository: benchmarkRepository(made)}); err != nil {
				return err
			}
		}
		var next atomic.Int64
		var all sync.WaitGroup
		var failed atomic.Pointer[error]
		for range clients {
			all.Go(func() {
				for n := next.Add(1); n <= calls && failed.Load() == nil; n = next.Add(1) {
					_, err := client.WriteRef(context.Background(), &gitalypb.WriteRefRequest{
						Repository: benchmarkRepository(int(n) % (4 * clients)), Ref: []byte("refs/heads/main"), Revision: fmt.Appendf(nil, "%040x", n),
					})
					if err != nil {
						failed.Store(&err)
					}
				}
			})
		}
		all.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		fmt.Println("done")
	}
	return nil
}

func benchmarkRepository(n int) *gitalypb.Repository {
	return repository(fmt.Sprintf("bench/%d.git", n))
}

// helperProcess starts this program in a role.
func helperProcess(b *testing.B, role string) (in io.Writer, out *bufio.Scanner) {
	b.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = append(os.Environ(), benchmarkRole+"="+role), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close() // the process ends, which is waited for
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	return stdin, bufio.NewScanner(stdout)
}

func line(b *testing.B, out *bufio.Scanner) string {
	b.Helper()
	if !out.Scan() {
		b.Fatal("a process of the benchmark ended: ", out.Err())
	}
	return out.Text()
}

// BenchmarkVotedWrite writes to three storages that vote, while the intent of each repository is open.
// Clients and storages are other processes: cpu-ms/op is the processor time of the proxy.
func BenchmarkVotedWrite(b *testing.B) {
	addr := benchmarkInstance(b)
	in, out := helperProcess(b, "clients="+addr)
	call := func(calls, clients int) {
		fmt.Fprintln(in, calls, clients)
		line(b, out)
	}
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			call(4*clients, clients)
			before := processorTime(b)
			b.ResetTimer()
			call(b.N, clients)
			b.StopTimer()
			b.ReportMetric((processorTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchmarkInstance is an instance with three storages, of which the state is applied at once. It
// returns its address.
func benchmarkInstance(b *testing.B) string {
	b.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(null, nil))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		running.Wait()
		_ = null.Close() // nothing was kept
	})
	names := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	var targets []storage.Target
	for _, name := range names {
		_, out := helperProcess(b, "storage="+name)
		targets = append(targets, storage.Target{VirtualStorage: "default", Storage: name, Address: "tcp://" + line(b, out), Token: storageToken})
	}
	node, registry := newNode(), prometheus.NewRegistry()
	votes := transaction.NewManager(node.Incarnation, log, registry)
	set, err := storage.New(targets, log, storage.NewMetrics(registry), storage.Config{
		Backchannel: VoteServer(votes, framesOn),
		DialOptions: append(callmetrics.NewClient(registry, nil).DialOptions(), grpc.WithStatsHandler(stream.StatsHandler{})),
	})
	if err != nil {
		b.Fatal(err)
	}
	running.Go(func() { set.Run(ctx) })
	l := ledger.New(node, newSession(), Connections(set), ledger.Config{
		Linger: time.Minute, QueueTimeout: time.Second, QueueLimit: 1000, LeaseWait: 5 * time.Second,
	})
	running.Go(func() { l.Run(ctx) })
	server, err := New(Deps{Node: node, Storages: set, Ledger: l, Logger: log, Transactions: votes}, registry, Config{
		Auth: Auth{Token: clientToken}, WriteTimeout: time.Minute, Copies: 2,
	})
	if err != nil {
		b.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	running.Go(func() {
		if err := server.Serve(lis, "tcp", nil); err != nil {
			b.Errorf("serve: %v", err)
		}
	})
	b.Cleanup(func() { server.Shutdown(context.Background()) })
	serveAll(b, node, set, names)
	return lis.Addr().String()
}

// serveAll waits until all storages are reached, and has them serve.
func serveAll(b *testing.B, node *node, set *storage.Set, names []string) {
	b.Helper()
	must := func(c state.Command) {
		for _, result := range node.apply(c) {
			if result.Refusal != nil {
				b.Fatal(result.Refusal)
			}
		}
	}
	must(state.Command{Define: &state.Define{VirtualStorage: "default", Storages: names}})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, name := range names {
		conn, err := set.Conn("default", name)
		for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); conn, err = set.Conn("default", name) {
			<-tick.C
		}
		if err != nil {
			b.Fatal(err)
		}
		id := conn.FilesystemID()
		must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: id}})
		if s := node.View().VirtualStorage("default").Storage(name); s.State == state.Backfilling {
			must(state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: name, Since: s.Since}})
			must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: id, Backfilled: s.Since}})
		}
	}
}
