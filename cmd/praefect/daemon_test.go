package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"praefect/fsm/condition"
	"praefect/proxy/admin"
	"praefect/proxy/storage"
)

// instance is a daemon that runs in this process.
type instance struct {
	t      *testing.T
	cancel func()
	code   chan int
	stderr bytes.Buffer // read it when code was received
	hangup chan os.Signal
	// registry has its metrics.
	registry *prometheus.Registry

	http, grpc    string // its addresses; grpc is the last of those for clients
	plain, secure string // those for clients without and with TLS
	console       string // host:port of the web console

	mu    sync.Mutex
	lines []string // of the log so far; guarded by mu
}

// serve starts the daemon with the settings and waits until it listens.
func serve(t *testing.T, config string) *instance {
	t.Helper()
	return serveAt(t, config, 2)
}

// serveAt is serve for a daemon that listens at so many addresses; of those for
// clients the last one is kept.
func serveAt(t *testing.T, config string, listeners int) *instance {
	t.Helper()
	return serveWith(t, config, listeners, func(string) string { return "" })
}

// serveWith is serveAt with an environment.
func serveWith(t *testing.T, config string, listeners int, getenv func(string) string) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	i := &instance{t: t, cancel: cancel, code: make(chan int, 1), hangup: make(chan os.Signal, 1), registry: prometheus.NewRegistry()}
	log, stdout := io.Pipe()
	p := &program{
		version: "1.2.3", stdin: strings.NewReader(""), stdout: stdout, stderr: &i.stderr, hangups: i.hangup,
		getenv: getenv, registry: i.registry,
	}
	go func() {
		i.code <- p.run(ctx, []string{"praefect", "-config", config})
		_ = stdout.Close() // a pipe's end never fails
	}()
	addresses := make(chan [2]string, listeners)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			t.Log(lines.Text())
			i.logged(lines.Text())
			var line struct{ Msg, Schema, Address string }
			if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Msg == "listening" {
				addresses <- [2]string{line.Schema, line.Address}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
	})
	for range listeners {
		select {
		case a := <-addresses:
			switch a[0] {
			case "http":
				i.http = "http://" + a[1]
				continue
			case "console":
				i.console = a[1]
				continue
			case "tcp":
				i.plain = "tcp://" + a[1]
			case "tls":
				i.secure = "tls://" + a[1]
			}
			i.grpc = a[0] + "://" + a[1]
		case <-read:
			t.Fatalf("the daemon ended with code %d: %s", <-i.code, i.stderr.String())
		}
	}
	return i
}

func (i *instance) logged(line string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lines = append(i.lines, line)
}

// log is what the daemon has logged so far.
func (i *instance) log() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return strings.Join(i.lines, "\n")
}

// TestServe_warnsThatItIsOpen: an instance that asks clients for no token says so at its start.
func TestServe_warnsThatItIsOpen(t *testing.T) {
	log := serve(t, settings{}.write(t)).log()
	if !strings.Contains(log, `"msg":"the instance is open to strangers"`) || !strings.Contains(log, `"key":"auth.token"`) {
		t.Errorf("the log has no such warning: %s", log)
	}
}

// stop ends the daemon and returns its exit code.
func (i *instance) stop() int {
	i.cancel()
	return <-i.code
}

// endsWell is stop for a daemon that has to end well.
func (i *instance) endsWell() {
	i.t.Helper()
	if code := i.stop(); code != 0 {
		i.t.Errorf("exit code %d: %s", code, i.stderr.String())
	}
}

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(err)
		}
	}
}

func (i *instance) awaitReady() {
	i.t.Helper()
	eventually(i.t, func() error {
		if code, body := get(i.t, i.http+"/readyz"); code != http.StatusOK {
			return errors.New(body)
		}
		return nil
	})
}

// status asks the daemon as praefectctl does.
func (i *instance) status() (admin.StatusResponse, error) {
	cc, err := storage.NewClient(i.grpc, "")
	if err != nil {
		return admin.StatusResponse{}, err
	}
	answer, err := admin.NewClient(cc).Status(i.t.Context(), admin.StatusRequest{})
	return answer, errors.Join(err, cc.Close())
}

func TestServe_withoutPostgres(t *testing.T) {
	node := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{{
		StorageName: "gitaly-1", FilesystemId: "disk-1", Readable: true, Writeable: true,
	}}}.serve(t)
	config := settings{nodes: []string{node}}.write(t)
	for life := range 2 { // the second one finds what the first one left
		i := serve(t, config)
		i.awaitReady()
		eventually(t, func() error {
			answer, err := i.status()
			// Without Postgres repairs wait: that is said, and nothing else is the matter.
			if err == nil && !onlyConditions(answer, condition.PostgresAway, condition.NoSpare, condition.NoVotes) {
				err = fmt.Errorf("%+v", answer.Conditions)
			}
			return err
		})
		answer, err := i.status()
		must(t, err)
		if err := i.readinessCheck(); err != nil {
			t.Errorf("life %d: readiness: %v", life, err)
		}
		for n, name := range []string{"default", "other"} {
			if vs := answer.VirtualStorages[n]; vs.Name != name || vs.Primary != "gitaly-1" {
				t.Errorf("life %d: got %+v", life, vs)
			}
		}
		if _, body := get(t, i.http+"/metrics"); !strings.Contains(body, `gitlab_build_info{version="1.2.3"} 1`) ||
			!strings.Contains(body, `gitaly_praefect_node_last_healthcheck_up{gitaly_storage="gitaly-1",virtual_storage="default"} 1`) {
			t.Errorf("metrics: got\n%s", body)
		}
		cc, err := storage.NewClient(i.grpc, "")
		must(t, err)
		explained, err := admin.NewClient(cc).Explain(t.Context(), admin.ExplainRequest{VirtualStorage: "default", RelativePath: "@hashed/a.git"})
		if err != nil || !explained.Routes.Leased || explained.Routes.Writes.Primary != "gitaly-1" || len(explained.Routes.Reads.Storages) != 1 ||
			explained.Entry != nil || explained.Existence.Storage != "gitaly-1" || explained.JobsError == "" || len(explained.Changes) == 0 {
			t.Errorf("explain: got %+v, %v", explained, err)
		}
		if n := strings.Count(i.log(), `"change":"define-virtual-storage"`); n != map[int]int{0: 2}[life] {
			t.Errorf("life %d: the definition of two virtual storages is told in %d lines", life, n)
		}
		_, err = admin.NewClient(cc).QueueList(t.Context(), admin.QueueListRequest{})
		if grpcstatus.Code(err) != codes.Unavailable {
			t.Errorf("queue list: got %v", err)
		}
		should(t, cc.Close())
		i.endsWell()
	}
}

func TestServe_failsIfItCannotListen(t *testing.T) {
	l := loopback(t)
	defer func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}()
	config := settings{listen: l.Addr().String()}.write(t)
	praefect(t, "", "-config", config, "serve").ends(t, 1, "address already in use")
}

func TestServe_namesADescriptorSetThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later.binpb")
	must(t, os.WriteFile(path, []byte("not a set"), 0o600))
	config := settings{top: fmt.Sprintf("method_descriptors = [%q]\n", path)}.write(t)
	praefect(t, "", "-config", config).ends(t, 1, path, "method_descriptors")
	text, err := os.ReadFile(config)
	must(t, err)
	praefect(t, string(text), "configuration", "validate").ends(t, 2, path, "method_descriptors")
}

func TestServe_namesSettingsWithoutEffect(t *testing.T) {
	l := loopback(t)
	defer func() { should(t, l.Close()) }()
	config := settings{listen: l.Addr().String(), more: "[sentry]\nsentry_dsn = \"x\"\n"}.write(t)
	got := praefect(t, "", "-config", config)
	if n := strings.Count(got.stdout, `"key":"sentry.sentry_dsn"`); n != 1 {
		t.Errorf("named %d times in %s", n, got.stdout)
	}
}

func TestServe_namesAndCountsUnknownSettings(t *testing.T) {
	i := serve(t, settings{more: "[sentry]\nzone = \"x\"\n"}.write(t))
	eventually(t, func() error {
		if _, body := get(t, i.http+"/metrics"); !strings.Contains(body, "praefect_config_unknown_keys 1\n") {
			return errors.New(body)
		}
		return nil
	})
	i.endsWell()
	if n := strings.Count(i.log(), `"key":"sentry.zone"`); n != 1 {
		t.Errorf("the log names the key %d times, want once", n)
	}
}

func TestServe_migratesAndAnswersFromTheQueue(t *testing.T) {
	node := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{{
		StorageName: "gitaly-1", FilesystemId: "disk-1", Readable: true, Writeable: true,
	}}}.serve(t)
	i := serve(t, settings{nodes: []string{node}, database: databaseSettings(t)}.write(t))
	i.awaitReady()
	cc, err := storage.NewClient(i.grpc, "")
	must(t, err)
	eventually(t, func() error {
		_, err := admin.NewClient(cc).QueueList(t.Context(), admin.QueueListRequest{})
		return err
	})
	should(t, cc.Close())
	i.endsWell()
}
