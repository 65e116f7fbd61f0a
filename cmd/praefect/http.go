package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"praefect/cmd/terminal"
)

// httpStop bounds how long answers under way may take when the daemon ends.
const httpStop = 2 * time.Second

// httpPart serves /metrics, /db_metrics, /livez and /readyz on a
// listener, and /debug/pprof if profiles are wanted.
func httpPart(listener net.Listener, registry *prometheus.Registry, ready *readiness, profiles bool, log *slog.Logger) part {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.Handle("GET /db_metrics", promhttp.HandlerFor(repairMetrics(registry), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", answer(log, func() error { return nil }, func() []string { return nil }))
	mux.HandleFunc("GET /readyz", answer(log, ready.check, ready.lines))
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return part{name: "metrics server", run: func(ctx context.Context) error {
		log.Info("listening", "schema", "http", "address", listener.Addr().String())
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpStop)
		defer cancel()
		err := server.Shutdown(stopping)
		if errors.Is(err, context.DeadlineExceeded) {
			// A client takes a profile; it is no reason to end badly.
			err = server.Close()
		}
		<-ended
		return err
	}}
}

// repairMetrics are the metrics that upstream computes in its database, and
// serves apart from the others. Here they cost no query, and are in /metrics too:
// the path is there for scrapers that were configured for upstream.
func repairMetrics(all prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := all.Gather()
		return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return !slices.Contains(repairMetricNames, f.GetName()) }), err
	})
}

var repairMetricNames = []string{
	"gitaly_praefect_replication_jobs",
	"praefect_replication_queue_available",
	"gitaly_praefect_replication_queue_depth",
	"gitaly_praefect_unavailable_repositories",
	"gitaly_praefect_verification_queue_depth",
}

// answer tells in a status and its first line whether all is well; more lines follow.
func answer(log *slog.Logger, check func() error, more func() []string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, code := "ok", http.StatusOK
		if err := check(); err != nil {
			text, code = err.Error(), http.StatusServiceUnavailable
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		if _, err := fmt.Fprintln(w, terminal.Text(strings.Join(append([]string{text}, more()...), "\n"))); err != nil {
			log.Debug("answer a check of health", "err", err)
		}
	}
}
