package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/place"
	"praefect/test/promql"
	"praefect/test/scenario"
)

// shortened is the waiting time of every alert that has one.
const shortened = "2s"

// prometheus is a running Prometheus.
type prometheus struct {
	t   *testing.T
	url string
	log *bytes.Buffer
}

// job is how the instances are scraped.
const job = "praefect"

// watch starts a Prometheus that scrapes every instance each second and evaluates the rules.
func watch(t *testing.T, c *cluster.Cluster, rules promql.RuleFile) *prometheus {
	t.Helper()
	dir := t.TempDir()
	for g := range rules.Groups {
		rules.Groups[g].Interval = "1s"
		for r := range rules.Groups[g].Rules {
			if rule := &rules.Groups[g].Rules[r]; rule.For != "" {
				rule.For = shortened
			}
		}
	}
	text, err := yaml.Marshal(rules)
	must.Succeed(t, err)
	must.Succeed(t, os.WriteFile(filepath.Join(dir, "rules.yml"), text, 0o600))
	var targets []string
	for _, i := range c.Instances {
		targets = append(targets, i.MetricsAddr)
	}
	config := map[string]any{
		"global":         map[string]string{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files":     []string{"rules.yml"},
		"scrape_configs": []any{map[string]any{"job_name": job, "static_configs": []any{map[string]any{"targets": targets}}}},
	}
	text, err = yaml.Marshal(config)
	must.Succeed(t, err)
	must.Succeed(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), text, 0o600))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	addr := listener.Addr().String()
	must.Succeed(t, listener.Close())
	p := &prometheus{t: t, url: "http://" + addr, log: new(bytes.Buffer)}
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, err := place.Place{}.Start(cmd)
	must.Succeed(t, err)
	t.Cleanup(func() {
		must.Succeed(t, errors.Join(cmd.Process.Signal(syscall.SIGTERM)))
		<-ended
		if t.Failed() {
			t.Logf("the log of Prometheus: %s", p.log)
		}
	})
	return p
}

// get asks the API and decodes its data.
func (p *prometheus) get(ctx context.Context, path string, query url.Values, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	document := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if document.Status != "success" {
		return errors.New(document.Error)
	}
	return nil
}

// firing are the names of the alerts that fire.
func (p *prometheus) firing(ctx context.Context) (map[string]string, error) {
	var data struct {
		Alerts []struct {
			State       string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
	if err := p.get(ctx, "/api/v1/alerts", nil, &data); err != nil {
		return nil, err
	}
	names := make(map[string]string)
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names[a.Labels["alertname"]] += a.Annotations["summary"] + "; "
		}
	}
	return names, nil
}

// value is the answer to a query with one number.
func (p *prometheus) value(ctx context.Context, query string) (string, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := p.get(ctx, "/api/v1/query", url.Values{"query": {query}}, &data); err != nil {
		return "", err
	}
	if len(data.Result) != 1 {
		return "", fmt.Errorf("%d answers to %s", len(data.Result), query)
	}
	return fmt.Sprint(data.Result[0].Value[1]), nil
}

// await waits until all the alerts fire.
func (p *prometheus) await(names ...string) {
	p.t.Helper()
	scenario.Within(p.t, patience, "the alerts fire", func(ctx context.Context) error {
		firing, err := p.firing(ctx)
		if err != nil {
			return err
		}
		var missing []string
		for _, name := range names {
			if firing[name] == "" {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%s do not fire; these do: %v", strings.Join(missing, ", "), firing)
		}
		return nil
	})
}
