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
		same(t, "before the start", r.check(), errStarting)
		waits = "peers are missing"
		if got := r.check(); !errors.Is(got, errStarting) || got.Error() != "starting: peers are missing" {
			t.Errorf("while it waits for something: got %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.part(10 * time.Second).run(ctx) }()
		synctest.Wait()
		same(t, "while it runs", r.check(), nil)
		node = errors.New("no leader")
		same(t, "without a leader", r.check(), node)
		cancel()
		begun := time.Now()
		synctest.Wait()
		same(t, "while load balancers take notice", r.check(), errStopping)
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
		same(t, row.name, notAgreed(view, cfg, seen), row.want)
	}
}
