package config

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// placeless compares settings without where the text has them.
var placeless = cmp.Options{cmpopts.IgnoreFields(VirtualStorage{}, "Line"), cmpopts.IgnoreFields(Node{}, "Line")}

func TestLoad_upstreamFull(t *testing.T) {
	c, err := Load(t.Context(), "testdata/upstream.toml", noEnv)
	must(t, err)
	var ignored []string
	for _, key := range c.Ignored {
		ignored = append(ignored, key.Key)
		if key.Line == 0 || key.Why == "" {
			t.Errorf("ignored key %+v has no line or no reason", key)
		}
	}
	slices.Sort(ignored)
	var unused []string
	for key := range unusedKeys() {
		unused = append(unused, key)
	}
	for key := range idleKeys() {
		if !strings.HasPrefix(key, "consistency.") { // which are not upstream's
			unused = append(unused, key)
		}
	}
	slices.Sort(unused)
	if diff := cmp.Diff(unused, ignored); diff != "" {
		t.Errorf("ignored keys (-want +got):\n%s", diff)
	}

	c.Ignored = nil
	want := defaults()
	want.ListenAddr = "0.0.0.0:2305"
	want.TLSListenAddr = "0.0.0.0:3305"
	want.SocketPath = "/run/praefect.socket"
	want.PrometheusListenAddr = "localhost:9652"
	want.GracefulStopTimeout = Duration(30 * time.Second)
	want.TLS = TLS{CertificatePath: "testdata/upstream.toml", KeyPath: "testdata/upstream.toml", MinVersion: "1.3"}
	want.Auth = Auth{Token: "outer secret", Transitioning: true}
	want.Logging = Logging{Format: "json", Level: "warning"}
	want.Prometheus = Prometheus{ScrapeTimeout: Duration(time.Second), GRPCLatencyBuckets: []float64{0.5, 1, 10}}
	want.Database = Database{
		Host: "db.internal", Port: 6432, User: "praefect", Password: "db secret", DBName: "praefect_production",
		SSLMode: "verify-ca", SSLCert: "testdata/upstream.toml", SSLKey: "testdata/upstream.toml",
		SSLRootCert: "testdata/upstream.toml", ConnectTimeout: Duration(5 * time.Second),
	}
	want.Failover.Enabled = false
	want.Replication.BatchSize = 7
	want.Replication.ParallelStorageProcessingWorkers = 3
	want.Reconciliation.SchedulingInterval = 0
	want.Yamux = Yamux{MaximumStreamWindowSizeBytes: 1 << 20, AcceptBacklog: 1}
	want.VirtualStorages = []VirtualStorage{
		{Name: "default", Nodes: []Node{
			{Storage: "gitaly-1", Address: "tcp://10.0.0.1:8075", Token: "inner secret"},
			{Storage: "gitaly-2", Address: "tls://gitaly-2:9999", Token: "inner secret"},
		}},
		{Name: "second", Nodes: []Node{
			{Storage: "gitaly-1", Address: "unix:///run/gitaly.socket"},
			{Storage: "gitaly-2", Address: "dns://10.0.0.53:53/gitaly.internal:8075"},
			{Storage: "gitaly-3", Address: "dns:gitaly.internal:8075"},
		}},
	}
	want.Raft.DataDir = defaultDataDir
	want.Raft.DiskTimeout = Duration(10 * time.Second)
	want.Raft.Name = c.Raft.Name
	if diff := cmp.Diff(want, *c, placeless); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	same(t, "log level", c.Logging.SlogLevel(), slog.LevelWarn)
}

func TestLoad_missingFile(t *testing.T) {
	_, err := Load(t.Context(), filepath.Join(t.TempDir(), "none.toml"), noEnv)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want one that wraps fs.ErrNotExist", err)
	}
}

func TestLoad_namesTheFile(t *testing.T) {
	path := writeFile(t, "broken.toml", "listen_addr = ", 0o600)
	_, err := Load(t.Context(), path, noEnv)
	if _, ok := errors.AsType[*SyntaxError](err); !ok || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want a syntax error that names %q", err, path)
	}
}

func TestRead_readsAllItRefersTo(t *testing.T) {
	token := writeFile(t, "token", "from a file\n", 0o400)
	c, err := Read(t.Context(), strings.NewReader(minimal+"token_file = '"+token+"'"), noEnv)
	must(t, err)
	same(t, "token", c.VirtualStorages[0].Nodes[0].Token.Reveal(), "from a file")
}

func TestRead_failingReader(t *testing.T) {
	broken := errors.New("pipe is gone")
	if _, err := Read(t.Context(), iotest.ErrReader(broken), noEnv); !errors.Is(err, broken) {
		t.Errorf("error is %v, want it to wrap %v", err, broken)
	}
}

func TestParse_seedForm(t *testing.T) {
	// The form of the 12.10 documentation, with the database it asks for.
	c := parseText(t, `
socket_path = "/run/praefect.socket"
failover_enabled = false

[logging]
format = "json"
level = "info"

[database]
host = "10.1.2.3"
user = "praefect"
dbname = "praefect_production"

[[virtual_storage]]
name = "default"

[[virtual_storage.node]]
  name = "storage_0"
  address = "tcp://localhost:9999"
  token = "inner"

[[virtual_storage.node]]
  name = "storage_1"
  address = "tcp://localhost:9998"
  primary = true
  token = "inner"
`)
	if c.Failover.Enabled {
		t.Error("failover is enabled, want failover_enabled = false to have disabled it")
	}
	want := []VirtualStorage{{Name: "default", Nodes: []Node{
		{Storage: "storage_0", Address: "tcp://localhost:9999", Token: "inner"},
		{Storage: "storage_1", Address: "tcp://localhost:9998", Token: "inner", Primary: true},
	}}}
	if diff := cmp.Diff(want, c.VirtualStorages, placeless); diff != "" {
		t.Errorf("virtual storages (-want +got):\n%s", diff)
	}
	if got, want := c.VirtualStorages[0].Succession(), []string{"storage_1", "storage_0"}; !slices.Equal(got, want) {
		t.Errorf("succession is %q, want %q", got, want)
	}
	if len(c.Ignored) > 0 {
		t.Errorf("ignored keys %v, want none", c.Ignored)
	}
}

func TestParse_oldestForm(t *testing.T) {
	c := parseText(t, `
listen_addr = "tcp://:2305"
virtual_storage_name = "praefect"
postgres_queue_enabled = true
memory_queue_enabled = false
database = { host = "db" }
[[node]]
storage = "a"
address = "unix:gitaly.socket"
`)
	want := []VirtualStorage{{Name: "praefect", Nodes: []Node{{Storage: "a", Address: "unix:gitaly.socket"}}}}
	if diff := cmp.Diff(want, c.VirtualStorages, placeless); diff != "" {
		t.Errorf("virtual storages (-want +got):\n%s", diff)
	}
	if c.ListenAddr != ":2305" {
		t.Errorf("listen_addr is %q, want it without a scheme", c.ListenAddr)
	}
}

func TestParse_defaults(t *testing.T) {
	c := parseText(t, minimal)
	want := defaults()
	want.ListenAddr = ":2305"
	want.Database.Host, want.Database.SSLMode = "/run/postgresql", "disable"
	want.VirtualStorages = []VirtualStorage{{Name: "default", Nodes: []Node{{Storage: "gitaly-1", Address: "tcp://gitaly-1:8075"}}}}
	want.Raft.DataDir = "/var/lib/praefect/raft"
	want.Raft.DiskTimeout = Duration(10 * time.Second)
	host, err := os.Hostname()
	must(t, err)
	want.Raft.Name = host
	if diff := cmp.Diff(want, *c, placeless); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if !c.Failover.Enabled {
		t.Error("failover is disabled, want it enabled when nobody says anything")
	}
}

func TestParse_emptyMeansDefault(t *testing.T) {
	c := parseText(t, minimal+`
[logging]
format = ""
level = ""
[consistency]
mode = ""
when_short = ""
reads_without_lease = ""
conflicts = ""
[raft]
profile = ""
name = ""
data_dir = ""
[tls]
min_version = ""
`)
	c.Ignored = nil // keys were named, and that is said
	if diff := cmp.Diff(parseText(t, minimal), c, placeless); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestParse_stateDirectory(t *testing.T) {
	for env, want := range map[string]string{
		"":                        "/var/lib/praefect/raft",
		"/var/lib/praefect":       "/var/lib/praefect",
		"/var/lib/one:/var/lib/b": "/var/lib/one",
	} {
		c, err := Parse([]byte(minimal), func(name string) string {
			if name == "STATE_DIRECTORY" {
				return env
			}
			return ""
		})
		must(t, err)
		if c.Raft.DataDir != want {
			t.Errorf("with STATE_DIRECTORY=%q data_dir is %q, want %q", env, c.Raft.DataDir, want)
		}
	}
}

func TestParse_durations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"90s"`: 90 * time.Second, `"1h30m"`: 90 * time.Minute, `"0"`: 0, `"1.5ms"`: 1500 * time.Microsecond, `0`: 0,
	} {
		c := parseText(t, "drain_wait = "+text+minimal)
		same(t, fmt.Sprintf("drain_wait = %s", text), time.Duration(c.DrainWait), want)
	}
}

func TestParse_touchesNothing(t *testing.T) {
	c := parseText(t, "config_command = '/does/not/exist'"+minimal+`
token_file = "/does/not/exist"
[tls]
certificate_path = "/does/not/exist"
key_path = "/does/not/exist"
`)
	if token := c.VirtualStorages[0].Nodes[0].Token; token != "" {
		t.Errorf("token is %q, want none", token.Reveal())
	}
}

func TestLoad_cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Read(ctx, strings.NewReader("config_command = '/bin/true'"+minimal), noEnv)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

func TestLogging_slogLevel(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo, "INFO": slog.LevelInfo,
		"warn": slog.LevelWarn, "warning": slog.LevelWarn,
		"error": slog.LevelError, "fatal": slog.LevelError, "panic": slog.LevelError,
	} {
		c := parseText(t, minimal+"[logging]\nlevel = '"+name+"'")
		same(t, fmt.Sprintf("level %q", name), c.Logging.SlogLevel(), want)
	}
}

func TestTLS_minVersionID(t *testing.T) {
	for text, want := range map[string]uint16{
		"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "tls1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13, "tls1.3": tls.VersionTLS13,
		"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13,
	} {
		c := parseText(t, minimal+"[tls]\nmin_version = '"+text+"'")
		same(t, fmt.Sprintf("min_version %q", text), c.TLS.MinVersionID(), want)
	}
}

func TestIgnored_notice(t *testing.T) {
	for want, key := range map[string]Ignored{
		"logging.dir (line 7) has no effect: why": {Key: "logging.dir", Line: 7, Why: "why"},
		"logging.dir has no effect: why":          {Key: "logging.dir", Why: "why"},
	} {
		same(t, "notice", key.String(), want)
	}
}

func TestParse_notesWhereStoragesStand(t *testing.T) {
	c, err := Parse([]byte("listen_addr = ':1'\n[database]\nhost = '/run'\n[[virtual_storage]]\nname = 'v'\n"+
		"[[virtual_storage.node]]\nstorage = 'g1'\naddress = 'tcp://h:1'\n\n[[virtual_storage.node]]\nstorage = 'g2'\naddress = 'tcp://h:2'\n"), func(string) string { return "" })
	must(t, err)
	v := c.VirtualStorages[0]
	if v.Line != 4 || v.Nodes[0].Line != 6 || v.Nodes[1].Line != 10 {
		t.Errorf("got lines %d, %d, %d, want 4, 6, 10", v.Line, v.Nodes[0].Line, v.Nodes[1].Line)
	}
}
