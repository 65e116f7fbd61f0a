package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"praefect/test/promql"
)

var (
	rulesFile   = filepath.Join("prometheus", "rules.yml")
	alertsPage  = filepath.Join("..", "docs", "operations", "alerts.md")
	metricsPage = filepath.Join("..", "docs", "operations", "metrics.md")
)

// Prometheus itself accepts the rules, and each alert that the tests of promtool name behaves as
// they say.
func TestRules_areAccepted(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		check := exec.CommandContext(t.Context(), "promtool", args...)
		check.Dir = "prometheus"
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}

// Each alert links to a section of the page, and each section is that of an alert.
func TestRules_haveRunBooks(t *testing.T) {
	rules, err := promql.ReadRules(rulesFile)
	must(t, err)
	text, err := os.ReadFile(alertsPage)
	must(t, err)
	sections := make(map[string]string)
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		sections[title] = body
	}
	for _, r := range rules.All() {
		if r.Alert == "" {
			continue
		}
		body, ok := sections[r.Alert]
		if !ok {
			t.Errorf("the page has no section %s", r.Alert)
		}
		delete(sections, r.Alert)
		for _, part := range []string{"\n- Check: ", "\n- Fix: ", "\n- Done: "} {
			if !strings.Contains(body, part) {
				t.Errorf("the section %s has no line %q", r.Alert, part)
			}
		}
		severity := strings.ToUpper(r.Labels["severity"][:1]) + r.Labels["severity"][1:]
		if wait := "after " + r.For; !strings.HasPrefix(strings.TrimSpace(body), severity+", "+wait+".") && r.For != "" {
			t.Errorf("the section %s does not begin with %q", r.Alert, severity+", "+wait+".")
		}
		if want := "docs/operations/alerts.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("the run-book of %s is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if r.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%s has the summary %q and the severity %q", r.Alert, r.Annotations["summary"], r.Labels["severity"])
		}
	}
	for title := range sections {
		t.Errorf("the page has the section %s, and there is no such alert", title)
	}
}

// metricRow is a row of the page of metrics.
var metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\|([^|]*)\\|")

// ofLibraries are prefixes of metrics that the page has no row for; test/alerts compares them with
// a running cluster.
var ofLibraries = []string{"go_", "process_", "grpc_server_", "grpc_client_", "raft_"}

// Each metric of an expression is on the page, and has the labels that the expression names.
func TestExpressions_nameWhatIsExported(t *testing.T) {
	text, err := os.ReadFile(metricsPage)
	must(t, err)
	labels := map[string][]string{"up": nil}
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		labels[row[1]] = regexp.MustCompile("[a-z_]+").FindAllString(row[3], -1)
	}
	rules, err := promql.ReadRules(rulesFile)
	must(t, err)
	for _, r := range rules.All() {
		if r.Record != "" {
			labels[r.Record] = nil
		}
	}
	known := func(name string) bool { _, ok := labels[name]; return ok }
	checked := 0
	check := func(where, expression string) {
		use, err := promql.Parse(expression)
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
		available := []string{"job", "instance", "le"}
		libraries := false
		for series, matched := range use.Metrics {
			if slices.ContainsFunc(ofLibraries, func(prefix string) bool { return strings.HasPrefix(series, prefix) }) {
				libraries = true
				continue
			}
			checked++
			base := promql.Base(series, known)
			if !known(base) {
				t.Errorf("%s: the page has no metric %s", where, series)
			}
			available = append(available, labels[base]...)
			for _, label := range matched {
				if !slices.Contains(append([]string{"job", "instance", "le"}, labels[base]...), label) {
					t.Errorf("%s: %s has no label %s", where, series, label)
				}
			}
		}
		for _, label := range use.Groups {
			if !slices.Contains(available, label) && !libraries {
				t.Errorf("%s: no metric of %q has the label %s", where, expression, label)
			}
		}
	}
	for _, r := range rules.All() {
		check(r.Alert+r.Record, r.Expr)
	}
	dashboards, err := promql.ReadDashboards("grafana")
	must(t, err)
	for _, d := range dashboards {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				check(d.File+": "+p.Title, target.Expr)
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d metrics: are they found?", checked)
	}
}

// A dashboard has what Grafana wants of one: ids, a data source for each query, and a place for
// each panel that no other one has.
func TestDashboards_areWellFormed(t *testing.T) {
	dashboards, err := promql.ReadDashboards("grafana")
	if err != nil || len(dashboards) != 4 {
		t.Fatalf("%d dashboards, %v", len(dashboards), err)
	}
	kinds := []string{"row", "timeseries", "stat", "state-timeline"}
	uids := make(map[string]bool)
	for _, d := range dashboards {
		if d.UID == "" || uids[d.UID] || !strings.HasPrefix(d.Title, "Praefect / ") || d.SchemaVersion < 36 || !slices.Contains(d.Tags, "praefect") {
			t.Errorf("%s: uid %q, title %q, schema %d, tags %q", d.File, d.UID, d.Title, d.SchemaVersion, d.Tags)
		}
		uids[d.UID] = true
		if l := d.Templating.List; len(l) != 2 || l[0].Name != "datasource" || l[0].Type != "datasource" || l[1].Name != "job" || l[1].Type != "query" {
			t.Errorf("%s has the variables %+v", d.File, l)
		}
		taken := make(map[[2]int]string)
		ids := make(map[int]bool)
		for _, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 || p.Title == "" || !slices.Contains(kinds, p.Type) {
				t.Errorf("%s: the panel %q has the id %d and the type %q", d.File, p.Title, p.ID, p.Type)
			}
			ids[p.ID] = true
			if (p.Type == "row") != (len(p.Targets) == 0) {
				t.Errorf("%s: the panel %q has %d queries", d.File, p.Title, len(p.Targets))
			}
			if p.Type != "row" && p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s: the panel %q has no unit", d.File, p.Title)
			}
			refs := make(map[string]bool)
			for _, target := range p.Targets {
				if refs[target.RefID] || target.RefID == "" || target.Datasource != p.Datasource || p.Datasource != (promql.Datasource{Type: "prometheus", UID: "${datasource}"}) {
					t.Errorf("%s: the panel %q has a query with the reference %q and the source %+v", d.File, p.Title, target.RefID, target.Datasource)
				}
				refs[target.RefID] = true
				if !strings.Contains(target.Expr, `job="$job"`) {
					t.Errorf("%s: a query of %q is not of one job", d.File, p.Title)
				}
			}
			g := p.GridPos
			if g.H < 1 || g.W < 1 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: the panel %q is at %+v", d.File, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %q and %q overlap", d.File, other, p.Title)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}
