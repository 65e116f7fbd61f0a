package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"praefect/config"
	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

func TestReadiness_followsTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var node error
		waits := ""
		r := newReadiness(func() string { return waits }, func() error { return node }, func() []condition.Condition { return nil })
		if got := r.check(); got != errStarting {
			t.Errorf("before the start: got %v", got)
		}
		waits = "peers are missing"
		if got := r.check(); !errors.Is(got, errStarting) || got.Error() != "starting: peers are missing" {
			t.Errorf("while it waits for something: got %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.part(10 * time.Second).run(ctx) }()
		synctest.Wait()
		if got := r.check(); got != nil {
			t.Errorf("while it runs: got %v", got)
		}
		node = errors.New("no leader")
		if got := r.check(); got != node {
			t.Errorf("without a leader: got %v", got)
		}
		cancel()
		begun := time.Now()
		synctest.Wait()
		if got := r.check(); got != errStopping {
			t.Errorf("while load balancers take notice: got %v", got)
		}
		if err := <-done; err != nil || time.Since(begun) != 10*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(begun))
		}
	})
}

func TestNotAgreed(t *testing.T) {
	view := &state.State{VirtualStorages: []state.VirtualStorage{{Name: "default", Succession: []state.Storage{
		{Name: "known", FilesystemID: "disk"}, {Name: "new"},
	}}}}
	for _, row := range []struct {
		name       string
		configured []string
		seen       []string
		want       string
	}{
		{"nothing is reached", []string{"default"}, nil, ""},
		{"a known disk", []string{"default"}, []string{"known"}, ""},
		{"a new disk", []string{"default"}, []string{"known", "new"}, `the disk of storage "new" of "default" is not agreed on yet`},
		{"a storage that the cluster refused", []string{"default"}, []string{"refused"}, ""},
		{"one more virtual storage", []string{"default", "other"}, []string{"known"}, ""},
		{"only new virtual storages", []string{"new", "other"}, nil, "no virtual storage of the settings is defined yet: new, other"},
	} {
		cfg := &config.Config{}
		for _, name := range row.configured {
			cfg.VirtualStorages = append(cfg.VirtualStorages, config.VirtualStorage{Name: name})
		}
		var seen []reachability.Observation
		for _, name := range row.seen {
			seen = append(seen, reachability.Observation{VirtualStorage: "default", Storage: name, Reachable: true})
		}
		if got := notAgreed(view, cfg, seen); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}
