package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/condition"
)

// loopback is a listener on a free port.
func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return l
}

// get returns the status and body of an answer.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	must(t, err)
	body, err := io.ReadAll(response.Body)
	must(t, errors.Join(err, response.Body.Close()))
	return response.StatusCode, string(body)
}

func TestHTTPPart(t *testing.T) {
	var notReady atomic.Pointer[error]
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "praefect_test_gauge", Help: "A gauge."}))
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "gitaly_praefect_unavailable_repositories", Help: "Another."}))
	l := loopback(t)
	ready := newReadiness(func() string { return "" }, func() error {
		if err := notReady.Load(); err != nil {
			return *err
		}
		return nil
	}, func() []condition.Condition {
		return []condition.Condition{{Name: condition.StorageAway, Level: condition.Degraded, Text: "gitaly-3 is away"}}
	})
	ready.phase.Store(nil)
	p := httpPart(l, registry, ready, true, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()

	url := "http://" + l.Addr().String()
	for path, want := range map[string]string{
		"/livez": "ok\n", "/readyz": "ok\ndegraded: storage-away: gitaly-3 is away\n", "/metrics": "praefect_test_gauge 0", "/debug/pprof/": "goroutine",
	} {
		if code, body := get(t, url+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %q", path, code, body)
		}
	}
	if code, body := get(t, url+"/db_metrics"); code != http.StatusOK || !strings.Contains(body, "gitaly_praefect_unavailable_repositories 0") ||
		strings.Contains(body, "praefect_test_gauge") {
		t.Errorf("/db_metrics: got %d %q, want what upstream has there and nothing else", code, body)
	}
	hostile := errors.New("storage: \x1b[2J")
	notReady.Store(&hostile)
	if _, body := get(t, url+"/readyz"); !strings.HasPrefix(body, `storage: \x1b[2J`) {
		t.Errorf("/readyz with what a storage says: got %q", body)
	}
	stopping := errors.New("stopping")
	notReady.Store(&stopping)
	if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || body != "stopping\ndegraded: storage-away: gitaly-3 is away\n" {
		t.Errorf("/readyz of one that stops: got %d %q", code, body)
	}
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez of one that stops: got %d", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// TestHTTPPart_withoutProfiles: they are served only where that is set.
func TestHTTPPart_withoutProfiles(t *testing.T) {
	l := loopback(t)
	p := httpPart(l, prometheus.NewRegistry(), newReadiness(func() string { return "" }, func() error { return nil }, func() []condition.Condition { return nil }), false, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		if code, _ := get(t, "http://"+l.Addr().String()+path); code != http.StatusNotFound {
			t.Errorf("%s: got %d", path, code)
		}
	}
	cancel()
	should(t, <-done)
}
