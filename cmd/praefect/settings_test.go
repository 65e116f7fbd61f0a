package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"praefect/config"
	peersettings "praefect/consensus/settings"
)

func TestReporter_tellsOfStorages(t *testing.T) {
	cfg := &config.Config{VirtualStorages: []config.VirtualStorage{{Name: "default", Line: 4, Nodes: []config.Node{
		{Storage: "a", Address: "tcp://gitaly-a:8075", Line: 6}, {Storage: "b", Address: "tls://10.0.0.2:9999", Primary: true, Line: 9},
		{Storage: "c", Address: "unix:/run/gitaly.sock"}, {Storage: "d", Address: "dns://10.0.0.53/gone:1"},
	}}}}
	r := newReporter(func() *config.Config { return cfg })
	r.lookup = func(_ context.Context, host string) ([]string, error) {
		if host == "gitaly-a" {
			return []string{"10.0.0.9", "10.0.0.1"}, nil
		}
		return nil, errors.New("no such host")
	}
	unresolved := r.report().Digest
	r.publish(r.resolve(t.Context()))
	report := r.report()
	if report.Digest == unresolved || report.Digest != report.Seal().Digest {
		t.Errorf("digests %q, %q", unresolved, report.Digest)
	}
	vs := report.VirtualStorage("default")
	if vs.Line != 4 || vs.Storages[0].Name != "b" {
		t.Errorf("got %+v, want the configured primary first", vs)
	}
	for name, want := range map[string][]string{"a": {"10.0.0.1:8075", "10.0.0.9:8075"}, "b": {"10.0.0.2:9999"}, "c": nil, "d": nil} {
		if s := vs.Storage(name); !slices.Equal(s.Resolved, want) {
			t.Errorf("%s: got %q, want %q", name, s.Resolved, want)
		}
	}
	if vs.Storage("a").Line != 6 {
		t.Errorf("got line %d", vs.Storage("a").Line)
	}
}

func TestMustAgree(t *testing.T) {
	changed := func(change func(*config.Config)) []string {
		one, other := &config.Config{}, &config.Config{}
		one.Admin.Token = "a secret"
		other.Admin.Token = one.Admin.Token
		change(other)
		return peersettings.Differences([]peersettings.Report{
			{Instance: "one", Values: mustAgree(one)}, {Instance: "other", Values: mustAgree(other)},
		})
	}
	for key, change := range map[string]func(*config.Config){
		"consistency.mode":         func(c *config.Config) { c.Consistency.Mode = "eventual" },
		"consistency.copies":       func(c *config.Config) { c.Consistency.Copies = 3 },
		"consistency.when_short":   func(c *config.Config) { c.Consistency.WhenShort = "block" },
		"consistency.conflicts":    func(c *config.Config) { c.Consistency.Conflicts = "refuse" },
		"raft.profile":             func(c *config.Config) { c.Raft.Profile = "cautious" },
		"failover.enabled":         func(c *config.Config) { c.Failover.Enabled = true },
		"failover.return_after":    func(c *config.Config) { c.Failover.ReturnAfter = 1 },
		"failover.retire_after":    func(c *config.Config) { c.Failover.RetireAfter = 1 },
		"detection.silence":        func(c *config.Config) { c.Detection.Silence = 1 },
		"detection.stall":          func(c *config.Config) { c.Detection.Stall = 1 },
		"detection.probe_interval": func(c *config.Config) { c.Detection.ProbeInterval = 1 },
		"detection.report_age":     func(c *config.Config) { c.Detection.ReportAge = 1 },
		"admin.token":              func(c *config.Config) { c.Admin.Token = "another secret" },
		"method_descriptors":       func(c *config.Config) { c.MethodDescriptors = []string{"/does/not/exist"} },
	} {
		got := changed(change)
		if len(got) != 1 || !strings.Contains(got[0], key+" is ") || strings.Contains(got[0], "secret") {
			t.Errorf("%s: got %q", key, got)
		}
	}
	if got := changed(func(*config.Config) {}); len(got) > 0 {
		t.Errorf("of equal settings: %q", got)
	}
}
