package main

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// metricsPage names every metric, in the root of the tree.
var metricsPage = filepath.Join("docs", "operations", "metrics.md")

var (
	// metricRow is a row of a table of metrics: name, type, labels.
	metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\|([^|]*)\\|")
	// described is how a description prints itself, which does not tell its parts otherwise.
	described = regexp.MustCompile(`^Desc\{fqName: "([a-z_]+)", help: ".*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	labelName = regexp.MustCompile("[a-z_]+")
	quoted    = regexp.MustCompile(`"[^"]*"`)
	// libraries are the prefixes of metrics that libraries of ours name.
	libraries = []string{"go_", "process_", "promhttp_", "raft_", "grpc_server_", "grpc_client_"}
	// upstreamMetrics are the names that dashboards of upstream's Praefect know.
	upstreamMetrics = []string{
		"gitaly_authentications_total",
		"gitaly_praefect_connections_total",
		"gitaly_praefect_method_types",
		"gitaly_praefect_node_last_healthcheck_up",
		"gitaly_praefect_node_latency",
		"gitaly_praefect_primaries",
		"gitaly_praefect_read_distribution",
		"gitaly_praefect_reconciliation_scheduling_seconds",
		"gitaly_praefect_replication_delay",
		"gitaly_praefect_replication_jobs",
		"gitaly_praefect_replication_latency",
		"gitaly_praefect_replication_queue_depth",
		"gitaly_praefect_stale_verification_leases_released_total",
		"gitaly_praefect_subtransactions_per_transaction_total",
		"gitaly_praefect_transactions_delay_seconds",
		"gitaly_praefect_transactions_total",
		"gitaly_praefect_tx_replications_total",
		"gitaly_praefect_unavailable_repositories",
		"gitaly_praefect_verification_jobs_completed_total",
		"gitaly_praefect_verification_jobs_dequeued_total",
		"gitaly_praefect_verification_queue_depth",
		"gitaly_praefect_voters_per_transaction_total",
		"gitaly_service_client_requests_total",
		"gitlab_build_info",
	}
)

// isOfALibrary tells that the name of a metric is not ours to choose.
func isOfALibrary(name string) bool {
	return slices.ContainsFunc(libraries, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// registeredMetrics are the metrics of a registry by name, with their labels, sorted.
func registeredMetrics(t *testing.T, registry *prometheus.Registry) map[string][]string {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	found := make(map[string][]string)
	for d := range descriptions {
		parts := described.FindStringSubmatch(d.String())
		if parts == nil {
			t.Errorf("a description prints itself in an unknown form: %s", d)
			continue
		}
		if isOfALibrary(parts[1]) {
			continue
		}
		labels := labelName.FindAllString(quoted.ReplaceAllString(parts[2], "")+" "+parts[3], -1)
		slices.Sort(labels)
		found[parts[1]] = labels
	}
	return found
}

// TestMetrics_pageNamesEveryMetric compares docs/operations/metrics.md with the registry of a
// daemon that runs: each metric of one is in the other, with its labels and its type, and its
// name is upstream's or has the prefix of ours.
func TestMetrics_pageNamesEveryMetric(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", metricsPage))
	must(t, err)
	node := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{{
		StorageName: "gitaly-1", FilesystemId: "disk-1", Readable: true, Writeable: true,
	}}}.serve(t)
	i := serve(t, settings{nodes: []string{node}}.write(t))
	i.awaitReady()
	registered := registeredMetrics(t, i.registry)
	families, err := i.registry.Gather()
	must(t, err)
	kinds := make(map[string]string)
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}

	named := make(map[string]bool)
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		name, kind := row[1], row[2]
		if named[name] {
			t.Errorf("%s has two rows for %s", metricsPage, name)
		}
		named[name] = true
		labels := labelName.FindAllString(row[3], -1)
		slices.Sort(labels)
		want, ok := registered[name]
		switch {
		case !ok:
			t.Errorf("%s names %s, which no daemon registers", metricsPage, name)
		case !slices.Equal(labels, want):
			t.Errorf("%s gives %s the labels %q, the daemon has %q", metricsPage, name, labels, want)
		case kinds[name] != "" && kinds[name] != kind:
			t.Errorf("%s calls %s a %s, the daemon has a %s", metricsPage, name, kind, kinds[name])
		}
	}
	for name, labels := range registered {
		if total := strings.HasSuffix(name, "_total"); kinds[name] != "" && total != (kinds[name] == "counter") && !slices.Contains(upstreamMetrics, name) {
			t.Errorf("%s is a %s: the names of counters end in _total, and no others", name, kinds[name])
		}
		if !named[name] {
			kind := cmp.Or(kinds[name], "counter, gauge or histogram") // a vector without a value yet has none
			t.Errorf("%s lacks this row, in the table that fits: | `%s` | %s | %s | MEANING |", metricsPage, name, kind, strings.Join(labels, ", "))
		}
		if !strings.HasPrefix(name, "praefect_") && !strings.HasPrefix(name, "go_sql_") && !slices.Contains(upstreamMetrics, name) {
			t.Errorf("%s has neither the prefix praefect_ nor a name of upstream", name)
		}
	}
	if len(registered) < 40 {
		t.Errorf("only %d metrics are registered: are they found?", len(registered))
	}
	i.endsWell()
}
