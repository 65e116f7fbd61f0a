package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/storage"
)

func TestReadiness_followsTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var node error
		r := newReadiness(func() error { return node })
		if got := r.check(); got != errStarting {
			t.Errorf("before the start: got %v", got)
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

func TestIsAgreed(t *testing.T) {
	view := &state.State{VirtualStorages: []state.VirtualStorage{{Name: "default", Succession: []state.Storage{
		{Name: "known", FilesystemID: "disk"}, {Name: "new"},
	}}}}
	for _, row := range []struct {
		name       string
		configured []string
		seen       []string
		want       bool
	}{
		{"nothing is reached", []string{"default"}, nil, true},
		{"a known disk", []string{"default"}, []string{"known"}, true},
		{"a new disk", []string{"default"}, []string{"known", "new"}, false},
		{"a storage that the cluster refused", []string{"default"}, []string{"refused"}, true},
		{"a new virtual storage", []string{"default", "other"}, nil, false},
	} {
		cfg := &config.Config{}
		for _, name := range row.configured {
			cfg.VirtualStorages = append(cfg.VirtualStorages, config.VirtualStorage{Name: name})
		}
		var seen []storage.Reach
		for _, name := range row.seen {
			seen = append(seen, storage.Reach{VirtualStorage: "default", Storage: name, Reachable: true})
		}
		if got := isAgreed(view, cfg, seen); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}
