package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestProgram_printsItsVersion(t *testing.T) {
	for _, args := range [][]string{{"-version"}, {"--version"}, {"version"}} {
		praefect(t, "", args...).is(t, outcome{0, "Praefect, version 1.2.3\n", ""})
	}
}

func TestProgram_usage(t *testing.T) {
	config := settings{}.write(t)
	for _, row := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"no settings for the daemon", nil, 2, "praefect -config FILE", ""},
		{"no settings for serve", []string{"serve"}, 2, "praefect -config FILE", ""},
		{"no settings for a sub-command", []string{"sql-ping"}, 1, "", "-config FILE sql-ping"},
		{"no such file", []string{"-config", "/none", "sql-ping"}, 1, "", "/none"},
		{"a surplus argument", []string{"-config", config, "sql-ping", "now"}, 1, "", "sql-ping doesn't accept positional arguments"},
		{"a surplus argument of version", []string{"version", "now"}, 1, "", "version doesn't accept positional arguments"},
		{"an unknown command", []string{"--config", config, "sql-pong"}, 1, "", "praefect doesn't accept positional arguments"},
		{"an unknown flag", []string{"-config", config, "dial-nodes", "-fast"}, 1, "", "fast"},
		{"help", []string{"-h"}, 0, "dial-nodes", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := praefect(t, "", row.args...)
			if got.code != row.code || !strings.Contains(got.stdout, row.stdout) || !strings.Contains(got.stderr, row.stderr) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestProgram_interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	if got := p.run(ctx, []string{"praefect", "-config", settings{}.write(t), "sql-ping"}); got != exitInterrupted {
		t.Errorf("got %d, %s", got, stderr.String())
	}
}

func TestConfigurationValidate(t *testing.T) {
	valid := "listen_addr = \":2305\"\n[database]\nhost = \"/run\"\n[[virtual_storage]]\nname = \"v\"\n" +
		"[[virtual_storage.node]]\nstorage = \"s\"\naddress = \"tcp://h:1\"\n"
	for _, row := range []struct {
		name  string
		stdin string
		args  []string
		want  outcome
	}{
		{"valid", valid, nil, outcome{}},
		{"a finding", strings.Replace(valid, "tcp://h:1", "", 1), nil, outcome{2, `{
  "errors": [
    {
      "key": [
        "virtual_storage",
        "0",
        "node",
        "0",
        "address"
      ],
      "message": "not set: write where its Gitaly server listens, such as 'tcp://host:8075'"
    }
  ]
}
`, ""}},
		{"a warning", valid + "zone = 1\n", nil, outcome{0, "", "warning: virtual_storage.node.zone (line 9): this version does not know the key"}},
		{"no TOML", "listen_addr = \n", nil, outcome{2, "", "line 1 column 15: toml: "}},
		{"an argument", valid, []string{"now"}, outcome{1, "", "invalid argument(s)\n"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := praefect(t, row.stdin, append([]string{"configuration", "validate"}, row.args...)...)
			if got.code != row.want.code || got.stdout != row.want.stdout || !strings.HasPrefix(got.stderr, row.want.stderr) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}
