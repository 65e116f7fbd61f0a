package alerts

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"praefect/test/must"
	"praefect/test/promql"
)

var (
	metricsPage = filepath.Join("..", "..", "docs", "operations", "metrics.md")
	metricRow   = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")
)

// queries runs each expression of a rule or dashboard on what the cluster exported during the
// faults. A series that no fault made must have a row on the page of metrics, which another test
// compares with the registry of an instance.
func (w *harness) queries() {
	w.Helper()
	text, err := os.ReadFile(metricsPage)
	must.Succeed(w, err)
	onPage := make(map[string]bool)
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		onPage[row[1]] = true
	}
	exported := make(map[string][]string)
	labels := func(series string) []string {
		if names, ok := exported[series]; ok {
			return names
		}
		var found []map[string]string
		must.Succeed(w, w.p.get(w.ctx, "/api/v1/series", url.Values{"match[]": {series}}, &found))
		var names []string
		for _, s := range found {
			for name := range s {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		exported[series] = names
		return names
	}
	inWords := strings.NewReplacer("$job", job, "$__rate_interval", "1m")
	answered := 0
	check := func(where, expression string) {
		expression = inWords.Replace(expression)
		var data struct{ Result []any }
		if err := w.p.get(w.ctx, "/api/v1/query", url.Values{"query": {expression}}, &data); err != nil {
			w.Errorf("%s: %v", where, err)
		}
		if len(data.Result) > 0 {
			answered++
		}
		use, err := promql.Parse(expression)
		must.Succeed(w, err)
		var all []string
		for series, matched := range use.Metrics {
			has := labels(series)
			all = append(all, has...)
			if len(has) == 0 {
				if !onPage[promql.Base(series, func(name string) bool { return onPage[name] })] && !strings.Contains(series, ":") {
					w.Errorf("%s: the cluster exports no %s", where, series)
				}
				continue
			}
			for _, label := range matched {
				if !slices.Contains(has, label) {
					w.Errorf("%s: %s has no label %s, it has %q", where, series, label, has)
				}
			}
		}
		for _, label := range use.Groups {
			if len(all) > 0 && !slices.Contains(all, label) {
				w.Errorf("%s: no series of %q has the label %s", where, expression, label)
			}
		}
	}
	rules, err := promql.ReadRules(filepath.Join(deployed, "prometheus", "rules.yml"))
	must.Succeed(w, err)
	for _, r := range rules.All() {
		check(r.Alert+r.Record, r.Expr)
	}
	dashboards, err := promql.ReadDashboards(filepath.Join(deployed, "grafana"))
	must.Succeed(w, err)
	total := 0
	for _, d := range dashboards {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				total++
				check(d.File+": "+p.Title, target.Expr)
			}
		}
	}
	w.Logf("%d of %d queries of dashboards and rules have an answer now", answered, total+len(rules.All()))
	if answered < total/2 {
		w.Errorf("only %d queries have an answer", answered)
	}
}
