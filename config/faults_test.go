package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse_tenFaultsAtOnce(t *testing.T) {
	_, err := Parse([]byte(`listen_addr = "localhost"
tls_listen_addr = ":3305"
graceful_stop_timeout = "1 minute"
prometheus_listen_adr = ":9652"
memory_queue_enabled = true

[database]
host = "db.internal"
sslmode = "preferred"

[replication]
batch_size = "ten"

[[virtual_storage]]
name = "default"
default_replication_factor = 1

  [[virtual_storage.node]]
  storage = "gitaly-1"
  address = "gitaly-1:8075"

  [[virtual_storage.node]]
  storage = "gitaly-1"
  address = "tcp://gitaly-2:8075"

[[virtual_storage]]
name = "default"
`), noEnv)
	type place struct {
		Key          string
		Line, Column int
	}
	want := []place{
		{"listen_addr", 1, 1},
		{"graceful_stop_timeout", 3, 1},
		{"prometheus_listen_adr", 4, 1},
		{"memory_queue_enabled", 5, 1},
		{"database.sslmode", 9, 1},
		{"replication.batch_size", 12, 1},
		{"virtual_storage.0.default_replication_factor", 16, 1},
		{"virtual_storage.0.node.0.address", 20, 3},
		{"virtual_storage.0.node.1.storage", 23, 3},
		{"virtual_storage.1.node", 26, 3},
		{"virtual_storage.1.name", 27, 1},
		{"tls.certificate_path", 0, 0},
		{"tls.key_path", 0, 0},
	}
	faults := faultsIn(t, err)
	var got []place
	for _, f := range faults {
		got = append(got, place{dotted(f), f.Line, f.Column})
		if !strings.Contains(err.Error(), f.String()) {
			t.Errorf("the error's text lacks %q", f)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s\n%v", diff, err)
	}
	const first = "line 1 column 1: listen_addr: "
	if !strings.HasPrefix(faults[0].String(), first) {
		t.Errorf("first fault reads %q, want it to begin with %q", faults[0], first)
	}
}

// Each row is valid but for one thing, and that one is named.
func TestParse_faults(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after string
		key           string
		line, column  int
		says          string
	}{
		{name: "unknown key of our own table", after: "[raft]\ncolour = 'blue'", key: "raft.colour", line: 11, column: 1, says: "remove it or check its spelling"},
		{name: "unknown key of a peer", after: cluster + "name = 'a'\n[[raft.peer]]\nname = 'a'\naddr = 'a:2307'\ncolour = 'blue'", key: "raft.peer.0.colour", line: 17, column: 1, says: "remove it or check its spelling"},
		{name: "key that resembles a known one", after: "adress = 'blue'", key: "virtual_storage.0.node.0.adress", line: 10, column: 1, says: `did you mean "address"?`},
		{name: "unknown section", after: "[rafft]\nname = 'a'", key: "rafft", line: 10, column: 2, says: `did you mean "raft"?`},
		{name: "unknown key of an unused section", after: "[sentry]\nsentry_dns = 'x'", key: "sentry.sentry_dns", line: 11, column: 1, says: `did you mean "sentry_dsn"?`},
		{name: "unknown dotted key", after: "[admin]\na.b = 1", key: "admin.a", line: 11, column: 1, says: "unknown key"},
		{name: "wrong case", before: "Drain_Wait = '1s'", key: "Drain_Wait", line: 1, column: 1, says: `did you mean "drain_wait"?`},
		{name: "empty key", before: "'' = 1", key: "", line: 1, column: 1, says: "unknown key"},

		{name: "zero with a fraction for a duration", before: "drain_wait = 0.0", key: "drain_wait", line: 1, column: 1, says: "must be a duration in quotes"},
		{name: "zero for a time that must pass", after: "[detection]\nprobe_timeout = 0", key: "detection.probe_timeout", line: 11, column: 1, says: "more than 0s"},
		{name: "number for a duration", before: "drain_wait = 5", key: "drain_wait", line: 1, column: 1, says: "must be a duration in quotes"},
		{name: "duration without a unit", before: "drain_wait = '5'", key: "drain_wait", line: 1, column: 1, says: "with a unit"},
		{name: "negative duration", before: "drain_wait = '-5s'", key: "drain_wait", line: 1, column: 1, says: "negative"},
		{name: "no time at all", after: "[detection]\nprobe_timeout = '0s'", key: "detection.probe_timeout", line: 11, column: 1, says: "more than 0s"},
		{name: "string for a number", after: "[yamux]\naccept_backlog = '1'", key: "yamux.accept_backlog", line: 11, column: 1, says: "must be a whole number, not a string"},
		{name: "fraction for a number", after: "[consistency]\ncopies = 1.5", key: "consistency.copies", line: 11, column: 1, says: "must be a whole number, not a number with a fraction"},
		{name: "number for a boolean", after: "[failover]\nenabled = 1", key: "failover.enabled", line: 11, column: 1, says: "must be true or false"},
		{name: "number out of range", after: "[yamux]\nmaximum_stream_window_size_bytes = 4294967296", key: "yamux.maximum_stream_window_size_bytes", line: 11, column: 1, says: "from 0 to 4294967295"},
		{name: "date for a string", before: "socket_path = 2020-01-01", key: "socket_path", line: 1, column: 1, says: "must be a string, not a date or time"},
		{name: "table for a list", after: "[raft]\npeer = {}", key: "raft.peer", line: 11, column: 1, says: "must be an array, not a table"},
		{name: "value for a table", before: "raft = 1", key: "raft", line: 1, column: 1, says: "must be a table"},
		{name: "string for a bucket", after: "[prometheus]\ngrpc_latency_buckets = [1, 'x']", key: "prometheus.grpc_latency_buckets.1", line: 11, column: 28, says: "must be a number"},
		{name: "NUL in a string", before: `socket_path = "a\u0000b"`, key: "socket_path", line: 1, column: 1, says: "NUL"},

		{name: "queue in memory", before: "memory_queue_enabled = true", key: "memory_queue_enabled", line: 1, column: 1, says: "always in Postgres"},
		{name: "queue not in Postgres", before: "postgres_queue_enabled = false", key: "postgres_queue_enabled", line: 1, column: 1, says: "always in Postgres"},
		{name: "queue switch of another type", before: "postgres_queue_enabled = 'no'", key: "postgres_queue_enabled", line: 1, column: 1, says: "true or false"},
		{name: "partial replication", after: "[[virtual_storage]]\nname = 'b'\ndefault_replication_factor = 2\nnode = [{storage = 'a', address = 'unix:a'}]",
			key: "virtual_storage.1.default_replication_factor", line: 12, column: 1, says: "write 0 for all storages"},
		{name: "replication factor of another type", after: "[[virtual_storage]]\nname = 'b'\ndefault_replication_factor = 'all'\nnode = [{storage = 'a', address = 'unix:a'}]",
			key: "virtual_storage.1.default_replication_factor", line: 12, column: 1, says: "whole number"},
		{name: "no such mode", after: "[consistency]\nmode = 'weak'", key: "consistency.mode", line: 11, column: 1, says: "strong"},
		{name: "two instances", after: cluster + "name = 'a'\n[[raft.peer]]\nname = 'a'\naddr = 'a:2307'\n[[raft.peer]]\nname = 'b'\naddr = 'b:2307'", key: "raft.peer", line: 14, column: 8, says: "list 3 or 5"},
		{name: "two others and nowhere to listen", after: "[raft]\nname = 'a'\nsecret_file = 's'\n" + others, key: "raft.listen_addr", line: 10, column: 2, says: "connect to"},
		{name: "nothing to show to others", after: "[raft]\nname = 'a'\nlisten_addr = 'a:2307'\n" + others, key: "raft.certificate_path", line: 10, column: 2, says: "nor is secret_file"},
		{name: "certificates and a secret", after: cluster + "advertise_addr = 'a:2307'\ncertificate_path = 'c'\nkey_path = 'c'\nca_path = 'c'", key: "raft.secret_file", line: 12, column: 1, says: "remove one"},
		{name: "no address for others", after: "[raft]\nlisten_addr = ':2307'\nsecret_file = 's'", key: "raft.advertise_addr", line: 10, column: 2, says: "in its place"},
		{name: "one address of two peers", after: cluster + "name = 'a'\nadvertise_addr = 'a:2307'\n[[raft.peer]]\nname = 'b'\naddr = 'b:2307'\n[[raft.peer]]\nname = 'c'\naddr = 'b:2307'", key: "raft.peer.1.addr", line: 20, column: 1, says: "another peer"},
		{name: "two addresses of this instance", after: cluster + "name = 'b'\nadvertise_addr = 'c:2307'\n" + others + "[[raft.peer]]\nname = 'a'\naddr = 'a:2307'", key: "raft.advertise_addr", line: 14, column: 1, says: "differs from the addr of peer"},
		{name: "report age", after: "[detection]\nreport_age = '100ms'", key: "detection.report_age", line: 11, column: 1, says: "200ms or more"},
		{name: "return upside down", after: "[failover]\nreturn_after = '10m'", key: "failover.return_after_max", line: 10, column: 2, says: "less than return_after"},
		{name: "failover both ways", before: "failover_enabled = true", after: "[failover]\nenabled = false", key: "failover_enabled", line: 1, column: 1, says: "remove this older spelling"},
		{name: "failover_enabled of another type", before: "failover_enabled = 'yes'", key: "failover_enabled", line: 1, column: 1, says: "true or false"},
		{name: "unknown election strategy", after: "[failover]\nelection_strategy = 'best'", key: "failover.election_strategy", line: 11, column: 1, says: "per_repository"},
		{name: "node with two names", after: "name = 'other'", key: "virtual_storage.0.node.0.name", line: 10, column: 1, says: "differs from storage"},

		{name: "node with two names of no use", after: "[[virtual_storage.node]]\nname = []\nstorage = []\naddress = 'unix:a'", key: "virtual_storage.0.node.1.storage", line: 12, column: 1, says: "must be a string"},

		{name: "two secrets", after: "token = 'a'\ntoken_file = 'b'", key: "virtual_storage.0.node.0.token_file", line: 11, column: 1, says: "token is set too"},
		{name: "previous token alone", after: "[auth]\nprevious_token = 'a'", key: "auth.previous_token", line: 11, column: 1, says: "every client"},
		{name: "two previous tokens", after: "[auth]\ntoken = 'c'\nprevious_token = 'a'\nprevious_token_file = 'b'", key: "auth.previous_token_file", line: 13, column: 1, says: "previous_token is set too"},
		{name: "two passwords", before: "database.password = 'a'\ndatabase.password_file = 'b'\ndatabase.host = 'db'", key: "database.password_file", line: 2, column: 10, says: "password is set too"},
		{name: "two private keys", after: "[tls]\ncertificate_path = 'a'\nkey_path = 'b'\nkey = 'c'", key: "tls.key", line: 13, column: 1, says: "remove one"},
		{name: "key without certificate", after: "[tls]\nkey = 'c'", key: "tls.certificate_path", line: 10, column: 2, says: "not set"},
		{name: "old TLS", after: "[tls]\nmin_version = '1.1'", key: "tls.min_version", line: 11, column: 1, says: "'1.2' or '1.3'"},

		{name: "metrics on the clients' address", before: "prometheus_listen_addr = '0.0.0.0:2305'", key: "prometheus_listen_addr", line: 1, column: 1, says: "taken by listen_addr"},
		{name: "port that is none", before: "prometheus_listen_addr = ':http'", key: "prometheus_listen_addr", line: 1, column: 1, says: "not a number from 0 to 65535"},
		{name: "host that is none", before: "prometheus_listen_addr = 'http://a:80'", key: "prometheus_listen_addr", line: 1, column: 1, says: "not host:port"},
		{name: "log format", after: "[logging]\nformat = 'xml'", key: "logging.format", line: 11, column: 1, says: "'text' or 'json'"},
		{name: "log level", after: "[logging]\nlevel = 'loud'", key: "logging.level", line: 11, column: 1, says: "'debug', 'info', 'warn' or 'error'"},
		{name: "buckets that fall", after: "[prometheus]\ngrpc_latency_buckets = [1, 1]", key: "prometheus.grpc_latency_buckets.1", line: 11, column: 28, says: "rising order"},
		{name: "bucket without end", after: "[prometheus]\ngrpc_latency_buckets = [inf]", key: "prometheus.grpc_latency_buckets.0", line: 11, column: 25, says: "finite"},
		{name: "small window", after: "[yamux]\nmaximum_stream_window_size_bytes = 262143", key: "yamux.maximum_stream_window_size_bytes", line: 11, column: 1, says: "262144 or more"},
		{name: "no backlog", after: "[yamux]\naccept_backlog = 0", key: "yamux.accept_backlog", line: 11, column: 1, says: "1 or more"},
		{name: "no batch", after: "[replication]\nbatch_size = 0", key: "replication.batch_size", line: 11, column: 1, says: "1 or more"},
		{name: "retry upside down", after: "[replication]\nretry_min = '2s'\nretry_max = '1s'", key: "replication.retry_max", line: 12, column: 1, says: "less than retry_min"},
		{name: "when_short", after: "[consistency]\nwhen_short = 'panic'", key: "consistency.when_short", line: 11, column: 1, says: "'degrade' or 'block'"},
		{name: "conflicts", after: "[consistency]\nconflicts = 'maybe'", key: "consistency.conflicts", line: 11, column: 1, says: "'serve' or 'refuse'"},
		{name: "reads_without_lease", after: "[consistency]\nreads_without_lease = 'maybe'", key: "consistency.reads_without_lease", line: 11, column: 1, says: "'serve' or 'refuse'"},

		{name: "database with spaces", before: "database.host = 'a, b'", key: "database.host", line: 1, column: 10, says: "no spaces"},
		{name: "database both local and remote", before: "database.host = '/run,db'", key: "database.host", line: 1, column: 10, says: "cannot be mixed"},
		{name: "database port", before: "database = {host = 'a', port = 0}", key: "database.port", line: 1, column: 25, says: "from 1 to 65535"},
		{name: "unknown sslmode", before: "database = {host = 'a', sslmode = 'yes'}", key: "database.sslmode", line: 1, column: 25, says: "is not known"},
		{name: "client certificate without key", before: "database = {host = 'a', sslcert = 'b'}", key: "database.sslkey", line: 1, column: 1, says: "private key"},
		{name: "client key without certificate", before: "database = {host = 'a', sslkey = 'b'}", key: "database.sslcert", line: 1, column: 1, says: "certificate"},
		{name: "system roots half used", before: "database = {host = 'a', sslmode = 'require', sslrootcert = 'system'}", key: "database.sslrootcert", line: 1, column: 46, says: "verify-full"},

		{name: "virtual storage without name", after: "[[virtual_storage]]\nnode = [{storage = 'a', address = 'unix:a'}]", key: "virtual_storage.1.name", line: 10, column: 3, says: "needs a name"},
		{name: "virtual storage without nodes", after: "[[virtual_storage]]\nname = 'b'", key: "virtual_storage.1.node", line: 10, column: 3, says: "at least one"},
		{name: "two primaries", after: "primary = true\n[[virtual_storage.node]]\nstorage = 'a'\naddress = 'unix:a'\nprimary = true", key: "virtual_storage.0.node.1.primary", line: 14, column: 1, says: `node 0 ("gitaly-1") is the primary`},
		{name: "node without name", after: "[[virtual_storage.node]]\naddress = 'unix:a'", key: "virtual_storage.0.node.1.storage", line: 10, column: 19, says: "needs a name"},
		{name: "node without address", after: "[[virtual_storage.node]]\nstorage = 'a'", key: "virtual_storage.0.node.1.address", line: 10, column: 19, says: "where its Gitaly server listens"},

		{name: "raft profile", after: "[raft]\nprofile = 'slow'", key: "raft.profile", line: 11, column: 1, says: "'fast' or 'cautious'"},
		{name: "short disk_timeout", after: "[raft]\ndisk_timeout = '900ms'", key: "raft.disk_timeout", line: 11, column: 1, says: "900ms is too small: write 1s or more"},
		{name: "negative disk_timeout", after: "[raft]\ndisk_timeout = '-2s'", key: "raft.disk_timeout", line: 11, column: 1, says: "write 1s or more"},
		{name: "unreachable advertise_addr", after: "[raft]\nadvertise_addr = '0.0.0.0:2307'", key: "raft.advertise_addr", line: 11, column: 1, says: "others can reach"},
		{name: "raft on the clients' address", after: "[raft]\nsecret_file = 's'\nlisten_addr = '10.0.0.1:2305'", key: "raft.listen_addr", line: 12, column: 1, says: "taken by listen_addr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.before + minimal + tt.after
			if strings.HasPrefix(tt.before, "database") {
				text = tt.before + strings.Replace(minimal, "[database]\nhost = \"/run/postgresql\"\n", "", 1) + tt.after
			}
			got := onlyFault(t, text)
			if dotted(got) != tt.key || got.Line != tt.line || got.Column != tt.column {
				t.Errorf("fault is %q at %d:%d, want %q at %d:%d", dotted(got), got.Line, got.Column, tt.key, tt.line, tt.column)
			}
			if !strings.Contains(got.Message, tt.says) {
				t.Errorf("message is %q, want it to say %q", got.Message, tt.says)
			}
		})
	}
}

func TestParse_faultsOfPeers(t *testing.T) {
	_, err := Parse([]byte(minimal+`
[raft]
certificate_path = "a"
[[raft.peer]]
name = "one"
addr = "one:2307"
[[raft.peer]]
name = "one"
addr = ":2307"
[[raft.peer]]
`), noEnv)
	var got []string
	for _, f := range faultsIn(t, err) {
		got = append(got, fmt.Sprintf("%d %s", f.Line, dotted(f)))
	}
	want := []string{
		"11 raft.key_path",
		"11 raft.ca_path",
		"11 raft.listen_addr",
		"13 raft.peer",
		"17 raft.peer.1.name",
		"18 raft.peer.1.addr",
		"19 raft.peer.2.name",
		"19 raft.peer.2.addr",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestParse_nothingAtAll(t *testing.T) {
	_, err := Parse(nil, noEnv)
	faults := faultsIn(t, err)
	if len(faults) != 2 || dotted(faults[0]) != "listen_addr" || dotted(faults[1]) != "virtual_storage" {
		t.Errorf("faults:\n%v\nwant one of listen_addr and one of virtual_storage", faults)
	}
}

func TestParse_noConsequentialFaults(t *testing.T) {
	for text, want := range map[string]string{
		"listen_addr = 1" + strings.Replace(minimal, `listen_addr = ":2305"`, "", 1): "listen_addr",
		minimal + "[raft]\npeer = 3":                                       "raft.peer",
		"virtual_storage = 3\nlisten_addr = ':1'\ndatabase.host = 'a'":     "virtual_storage",
		"virtual_storage = [3]\nlisten_addr = ':1'\ndatabase.host = 'a'":   "virtual_storage.0",
		"failover = 3\nfailover_enabled = true" + minimal:                  "failover",
		"virtual_storage = 3\nnode = []\nlisten_addr = ':1'\ndatabase = 1": "node database virtual_storage",
	} {
		_, err := Parse([]byte(text), noEnv)
		faults := faultsIn(t, err)
		for _, f := range faults {
			if !strings.Contains(want, dotted(f)) {
				t.Errorf("text %q has the fault %v, want %q only", text, f, want)
			}
		}
	}
}

func TestParse_syntaxError(t *testing.T) {
	for text, want := range map[string]string{
		"listen_addr = \":1\"\n\n[tls\n": "line 3 column 5: toml: ",
		"a = 1\na = 2\n":                 "line 2 column 1: toml: ",
		"a = 99999999999999999999":       "line 1 column 5: toml: ",
		"a = \xff":                       "line 1 column 5: toml: ",
	} {
		_, err := Parse([]byte(text), noEnv)
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Errorf("Parse(%q) is %T (%v), want a syntax error", text, err, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Parse(%q) says %q, want it to begin with %q", text, err, want)
		}
	}
}

func TestFaults_report(t *testing.T) {
	faults := Faults{{Key: []string{"virtual_storage", "0", "name"}, Message: "not set", Line: 3, Column: 1}}
	got, err := json.Marshal(faults.Report())
	must(t, err)
	const want = `{"errors":[{"key":["virtual_storage","0","name"],"message":"not set"}]}`
	if string(got) != want {
		t.Errorf("report is %s, want %s", got, want)
	}
}

func TestParse_faultsKeepSecrets(t *testing.T) {
	_, err := Parse([]byte(minimal+`
token = ["hunter2"]
[auth]
token = { hunter2 = "hunter2" }
[admin]
token = "hunter2"
token_file = "x"
[tls]
key = "hunter2\u0000"
`), noEnv)
	if text := faultsIn(t, err).Error(); strings.Contains(text, "hunter2") {
		t.Errorf("faults show a secret:\n%s", text)
	}
}
