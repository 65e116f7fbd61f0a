package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/replicator"
)

// adminReplicas is the replicator's comparison in the terms of the operators' service.
type adminReplicas struct{ repair *replicator.Replicator }

// Diff implements admin.Replicas.
func (r adminReplicas) Diff(ctx context.Context, key state.Key, here, there string, each func(state.DifferingReference) bool) (hereHas, thereHas bool, err error) {
	return r.repair.Diff(ctx, key, here, there, func(d replicator.Difference) bool { return each(state.DifferingReference(d)) })
}

// debugFiles describe this instance. The settings come as they are in force, and a
// config.Secret hides itself from JSON.
func debugFiles(cfg func() *config.Config, version string, metrics prometheus.Gatherer) func() []admin.DebugFile {
	return func() []admin.DebugFile {
		return []admin.DebugFile{
			{Name: "settings.json", Write: func(w io.Writer) error { return indented(w, cfg()) }},
			{Name: "metrics.txt", Write: func(w io.Writer) error { return writeMetrics(w, metrics) }},
			{Name: "goroutines.txt", Write: func(w io.Writer) error { return pprof.Lookup("goroutine").WriteTo(w, 2) }},
			{Name: "process.json", Write: func(w io.Writer) error { return indented(w, process(cfg(), version)) }},
		}
	}
}

// process describes the process itself.
func process(cfg *config.Config, version string) map[string]any {
	about := map[string]any{
		"version": version, "go": runtime.Version(), "goroutines": runtime.NumGoroutine(), "time": time.Now().UTC(),
		"raft_data_dir": cfg.Raft.DataDir, "logs": "standard error of the process: journalctl -u praefect where systemd runs it",
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		modules := make(map[string]string, len(build.Deps))
		for _, m := range build.Deps {
			modules[m.Path] = m.Version
		}
		about["modules"] = modules
	}
	return about
}

func indented(w io.Writer, document any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

func writeMetrics(w io.Writer, metrics prometheus.Gatherer) error {
	families, err := metrics.Gather()
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("write %s: %w", f.GetName(), err)
		}
	}
	return err
}
