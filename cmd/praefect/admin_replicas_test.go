package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"praefect/config"
)

// What goes into a debug bundle has everything but secrets.
func TestDebugFiles_holdNoSecret(t *testing.T) {
	const secret = "hunter2-and-some"
	cfg := &config.Config{}
	cfg.Auth.Token, cfg.Admin.Token, cfg.Database.Password = secret, secret, secret
	cfg.Raft.Secret, cfg.Raft.FormerSecret, cfg.Raft.DataDir = secret, secret, "/var/lib/praefect/raft"
	cfg.VirtualStorages = []config.VirtualStorage{{Name: "default", Nodes: []config.Node{{Storage: "gitaly-1", Address: "tcp://10.0.0.9:8075", Token: secret}}}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	want := map[string]string{
		"settings.json": "tcp://10.0.0.9:8075", "metrics.txt": "go_goroutines", "goroutines.txt": "TestDebugFiles_holdNoSecret", "process.json": "/var/lib/praefect/raft",
	}
	for _, file := range debugFiles(func() *config.Config { return cfg }, "1.2.3", registry)() {
		var content bytes.Buffer
		if err := file.Write(&content); err != nil {
			t.Errorf("%s: %v", file.Name, err)
		}
		if !strings.Contains(content.String(), want[file.Name]) || want[file.Name] == "" {
			t.Errorf("%s lacks %q:\n%s", file.Name, want[file.Name], content.String())
		}
		if strings.Contains(content.String(), secret) {
			t.Errorf("%s holds a secret:\n%s", file.Name, content.String())
		}
		delete(want, file.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
