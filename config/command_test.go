package config

import (
	"strings"
	"testing"
	"time"
)

// script writes an executable that a config_command can name.
func script(t *testing.T, body string) string {
	t.Helper()
	return writeFile(t, "command", "#!/bin/sh\n"+body+"\n", 0o700)
}

func readWithCommand(t *testing.T, body, text string) (*Config, error) {
	t.Helper()
	return Read(t.Context(), strings.NewReader("config_command = '"+script(t, body)+"'\n"+text), noEnv)
}

func TestRead_configCommandMerges(t *testing.T) {
	c, err := readWithCommand(t, `cat <<'END'
{
  "graceful_stop_timeout": "5s",
  "failover_enabled": false,
  "database": {"password": "printed", "port": 6432, "user": null},
  "prometheus": {"grpc_latency_buckets": [0.5, 1]},
  "virtual_storage": [{"name": "other", "node": [{"storage": "a", "address": "unix:a"}]}],
  "sentry": {"sentry_dsn": "x"}
}
END`, strings.Replace(minimal, "[database]", "[database]\nuser = 'kept'\npassword = 'file'", 1))
	must(t, err)
	same(t, "password", c.Database.Password.Reveal(), "printed")
	if c.Database.User != "kept" || c.Database.Host != "/run/postgresql" || c.Database.Port != 6432 {
		t.Errorf("database is %+v, want it merged key by key", c.Database)
	}
	if c.Failover.Enabled || time.Duration(c.GracefulStopTimeout) != 5*time.Second {
		t.Errorf("failover %v, graceful_stop_timeout %v: want the command's", c.Failover, c.GracefulStopTimeout)
	}
	if len(c.VirtualStorages) != 1 || c.VirtualStorages[0].Name != "other" {
		t.Errorf("virtual storages are %+v, want the command's only", c.VirtualStorages)
	}
	if len(c.Ignored) != 1 || c.Ignored[0].Line != 0 {
		t.Errorf("ignored keys are %+v, want one without a line", c.Ignored)
	}
}

func TestRead_configCommandIsStrict(t *testing.T) {
	_, err := readWithCommand(t, `echo '{"auth": {"tokn": "x"}, "drain_wait": 1, "prometheus": {"grpc_latency_buckets": [1e999]}}'`, minimal+"[auth]\ntoken = 'a'")
	faults := faultsIn(t, err)
	want := []string{"auth.tokn", "drain_wait", "prometheus.grpc_latency_buckets.0"}
	if len(faults) != len(want) {
		t.Fatalf("faults:\n%v\nwant those of %q", faults, want)
	}
	for i, f := range faults {
		if dotted(f) != want[i] || f.Line != 0 {
			t.Errorf("fault %d is %v, want %q without a line", i, f, want[i])
		}
	}
}

func TestRead_configCommandFails(t *testing.T) {
	for _, tt := range []struct{ name, body, says string }{
		{"exit status", "echo reason >&2; exit 3", "exit status 3: reason"},
		{"no JSON", "echo hello", "must print one JSON object"},
		{"nothing", "true", "must print one JSON object"},
		{"not an object", "echo '[1]'", "must print one JSON object"},
		{"two objects", "echo '{} {}'", "there is more after it"},
		{"too much", "head -c 5000000 /dev/zero", "printed more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readWithCommand(t, tt.body, minimal)
			faults := faultsIn(t, err)
			if len(faults) != 1 || dotted(faults[0]) != "config_command" || faults[0].Line != 1 {
				t.Fatalf("faults:\n%v\nwant one, of config_command on line 1", faults)
			}
			if !strings.Contains(faults[0].Message, tt.says) {
				t.Errorf("message is %q, want it to say %q", faults[0].Message, tt.says)
			}
		})
	}
}

func TestRead_configCommandTimeoutIsJudged(t *testing.T) {
	_, err := readWithCommand(t, "echo '{}'", "config_command_timeout = '-1s'"+minimal)
	if faults := faultsIn(t, err); len(faults) != 1 || dotted(faults[0]) != "config_command_timeout" {
		t.Errorf("faults:\n%v\nwant one, of config_command_timeout", faults)
	}
}

func TestRead_configCommandMissing(t *testing.T) {
	_, err := Read(t.Context(), strings.NewReader("config_command = '/does/not/exist'"+minimal), noEnv)
	if faults := faultsIn(t, err); len(faults) != 1 || dotted(faults[0]) != "config_command" {
		t.Errorf("faults:\n%v\nwant one, of config_command", faults)
	}
}

func TestRead_configCommandHangs(t *testing.T) {
	// The shell's children hold the output open: they must end with it.
	begun := time.Now()
	_, err := readWithCommand(t, "sleep 600 & sleep 600", "config_command_timeout = '50ms'"+minimal)
	faults := faultsIn(t, err)
	if len(faults) != 1 || !strings.Contains(faults[0].Message, "did not end within 50ms") {
		t.Errorf("faults:\n%v\nwant one that says what the bound was", faults)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v, want the command to have been cut off", took)
	}
}
