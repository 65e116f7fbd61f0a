package proxy

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"praefect/proxy/channel"
	"praefect/proxy/storage"
	"praefect/test/must"
)

// TestDial_ignoresProxies: a proxy in the environment gets no connection to a peer or to a
// storage. The environment is read once in a process, so the test runs in another one.
func TestDial_ignoresProxies(t *testing.T) {
	const marker = "TEST_BEHIND_A_PROXY"
	if os.Getenv(marker) == "" {
		proxy, err := net.Listen("tcp", "127.0.0.1:0")
		must.Succeed(t, err)
		came := make(chan int)
		go func() {
			n := 0
			defer func() { came <- n }()
			for {
				conn, err := proxy.Accept()
				if err != nil {
					return
				}
				n++
				_ = conn.Close()
			}
		}()
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), marker+"=1", "HTTPS_PROXY=http://"+proxy.Addr().String(), "HTTP_PROXY=http://"+proxy.Addr().String(), "NO_PROXY=")
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "3 dialled") {
			t.Errorf("%v: %s", err, out)
		}
		_ = proxy.Close()
		if n := <-came; n > 0 {
			t.Errorf("the proxy got %d connections", n)
		}
		return
	}
	dialled := 0
	const elsewhere = "tcp://praefect-2.invalid:2305" // no proxy is ever used for loopback
	for _, dial := range []func() (healthpb.HealthClient, func() error, error){
		func() (healthpb.HealthClient, func() error, error) {
			cc, err := dialPeer(elsewhere, nil)
			return healthpb.NewHealthClient(cc), cc.Close, err
		},
		func() (healthpb.HealthClient, func() error, error) {
			cc, err := dialPeer(elsewhere, &channel.Client{})
			return healthpb.NewHealthClient(cc), cc.Close, err
		},
		func() (healthpb.HealthClient, func() error, error) {
			cc, err := storage.NewClient(elsewhere, "token")
			return healthpb.NewHealthClient(cc), cc.Close, err
		},
	} {
		client, end, err := dial()
		must.Succeed(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); err == nil {
			t.Error("a host that does not exist answers")
		} else if text := err.Error(); strings.Contains(text, "proxy") {
			t.Errorf("got %v", err)
		}
		cancel()
		if err := end(); err != nil {
			t.Error(err)
		}
		dialled++
	}
	t.Logf("%d dialled", dialled)
}
