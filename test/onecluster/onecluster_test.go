// Package onecluster shows on real processes that there is one cluster or none, and that settings
// take no storage away.
package onecluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"praefect/consensus/store"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/runbook"
	"praefect/test/scenario"
)

const (
	vs = "default"
	// limit bounds a test, and patience each wait, on a busy machine.
	limit, patience = 5 * time.Minute, time.Minute
)

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

type table = map[string]any

// harness is a cluster of three whose instances may have different settings.
type harness struct {
	*testing.T
	ctx context.Context
	c   *cluster.Cluster
}

func begin(t *testing.T, options cluster.Options) *harness {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	options.Binaries, options.Instances = programs, 3
	return &harness{T: t, ctx: ctx, c: cluster.Run(t, options)}
}

// eventually waits until check finds nothing missing.
func (w *harness) eventually(what string, check func() error) {
	w.Helper()
	scenario.Eventually(w, what, func(context.Context) error { return check() })
}

// edit changes the settings of an instance, and restarts it.
func (w *harness) edit(i *cluster.Instance, change func(table)) {
	w.Helper()
	w.write(i, change)
	must.Succeed(w, scenario.Restart(w.ctx, i))
}

func (w *harness) write(i *cluster.Instance, change func(table)) {
	w.Helper()
	text, err := os.ReadFile(i.Config)
	must.Succeed(w, err)
	settings := table{}
	must.Succeed(w, toml.Unmarshal(text, &settings))
	change(settings)
	text, err = toml.Marshal(settings)
	must.Succeed(w, err)
	must.Succeed(w, os.WriteFile(i.Config, text, 0o600))
}

// nodes are those of a virtual storage in settings.
func nodes(settings table, name string) (list []any, set func([]any)) {
	for _, v := range settings["virtual_storage"].([]any) {
		if v := v.(table); v["name"] == name {
			return v["node"].([]any), func(list []any) { v["node"] = list }
		}
	}
	return nil, nil
}

func without(settings table, vs, storage string) {
	list, set := nodes(settings, vs)
	var left []any
	for _, n := range list {
		if n.(table)["storage"] != storage {
			left = append(left, n)
		}
	}
	set(left)
}

// storages are those of a virtual storage as instance i knows them: "name state, …".
func (w *harness) storages(i *cluster.Instance, name string) (string, error) {
	status, err := i.Admin().Status(w.ctx, admin.StatusRequest{})
	if err != nil {
		return "", err
	}
	for _, v := range status.VirtualStorages {
		if v.Name != name {
			continue
		}
		var all []string
		for _, s := range v.Storages {
			all = append(all, s.Name+" "+string(s.State))
		}
		return strings.Join(all, ", "), nil
	}
	return "", fmt.Errorf("%s is not defined", name)
}

// says waits until a condition of the cluster has each of the parts.
func (w *harness) says(i *cluster.Instance, parts ...string) {
	w.Helper()
	w.eventually(fmt.Sprintf("status says %q", parts), func() error {
		status, err := i.Admin().Status(w.ctx, admin.StatusRequest{})
		if err != nil {
			return err
		}
		for _, c := range status.Conditions {
			found := true
			for _, part := range parts {
				found = found && strings.Contains(c.Text, part)
			}
			if found {
				return nil
			}
		}
		return fmt.Errorf("the conditions are %+v", status.Conditions)
	})
}

// praefect runs a command of the daemon's program beside an instance.
func (w *harness) praefect(i *cluster.Instance, args ...string) (string, error) {
	cmd := exec.CommandContext(w.ctx, w.c.Binaries.Path(cluster.Praefect), append([]string{"-config", i.Config}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Three instances were each started once without [raft]; then the section is added everywhere.
func TestThreeClustersOfOne(t *testing.T) {
	w := begin(t, cluster.Options{WithoutPostgres: true})
	several := make(map[string][]byte)
	for _, i := range w.c.Instances {
		must.Succeed(w, i.Terminate(w.ctx))
		text, err := os.ReadFile(i.Config)
		must.Succeed(w, err)
		several[i.Label()] = text
		entries, err := os.ReadDir(i.RaftDir)
		must.Succeed(w, err)
		for _, e := range entries {
			must.Succeed(w, os.RemoveAll(filepath.Join(i.RaftDir, e.Name())))
		}
		w.write(i, func(s table) {
			s["raft"] = table{"data_dir": i.RaftDir, "begin_without_postgres": true}
		})
		must.Succeed(w, i.Start())
		must.Succeed(w, i.WaitReady(w.ctx))
		must.Succeed(w, i.Terminate(w.ctx))
	}
	for _, i := range w.c.Instances {
		must.Succeed(w, os.WriteFile(i.Config, several[i.Label()], 0o600))
		must.Succeed(w, i.Start())
	}
	for _, i := range w.c.Instances {
		w.eventually(i.Label()+" takes no lease and says why", func() error {
			err := i.Ready(w.ctx)
			if err == nil || !strings.Contains(err.Error(), "takes no lease") || !strings.Contains(err.Error(), store.RejoinCommand) {
				return fmt.Errorf("/readyz says %w", err)
			}
			status, err := i.Admin().Status(w.ctx, admin.StatusRequest{})
			if err != nil || !strings.Contains(fmt.Sprint(status.Conditions), "takes no lease") {
				return fmt.Errorf("status says %+v, %w", status.Conditions, err)
			}
			raft, err := i.Admin().RaftStatus(w.ctx)
			if err != nil || !strings.Contains(fmt.Sprint(raft.Instances), "takes no lease") {
				return fmt.Errorf("raft status says %+v, %w", raft, err)
			}
			log, err := os.ReadFile(i.Log())
			if err != nil || !strings.Contains(string(log), "this instance serves nothing") {
				return fmt.Errorf("the log does not say it: %w", err)
			}
			return nil
		})
	}
	kept, err := w.c.Instances[0].Admin().RaftStatus(w.ctx)
	must.Succeed(w, err)
	for _, i := range w.c.Instances[1:] {
		must.Succeed(w, i.Terminate(w.ctx))
	}
	page, root := runbook.Open(t, "begin.md"), t.TempDir()
	for _, i := range w.c.Instances[1:] {
		host := runbook.OnInstance(w.c, i, root)
		host.Input = i.Label() + "\n"
		if out := page.CarryOut(host, "rejoin"); !strings.Contains(out, "of cluster "+kept.ClusterID) || !strings.Contains(out, "was set aside") {
			t.Fatalf("rejoin: %s", out)
		}
	}
	for _, i := range w.c.Instances[1:] {
		must.Succeed(w, i.Start())
	}
	for _, i := range w.c.Instances {
		must.Succeed(w, i.WaitReady(w.ctx))
		status, err := i.Admin().RaftStatus(w.ctx)
		if err != nil || status.ClusterID != kept.ClusterID {
			t.Errorf("%s is of cluster %q, want %q: %v", i.Label(), status.ClusterID, kept.ClusterID, err)
		}
	}
	w.claimsAndNames(page, root, kept.ClusterID)
}

// claimsAndNames removes the claim of a cluster that seems to be gone, and renames an instance; the
// cluster then goes on, and claims again.
func (w *harness) claimsAndNames(page *runbook.Page, root, cluster string) {
	w.Helper()
	first, last := w.c.Instances[0], w.c.Instances[2]
	must.Succeed(w, w.c.Postgres.Start(w.ctx))
	claimed := func() error {
		if out, err := w.praefect(first, "claim", "list"); err != nil || !strings.Contains(out, cluster) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	w.eventually("the cluster claims its virtual storage", claimed)
	const name = "praefect-9"
	for _, i := range w.c.Instances {
		must.Succeed(w, i.Terminate(w.ctx))
		w.write(i, func(s table) {
			raft := s["raft"].(table)
			for _, peer := range raft["peer"].([]any) {
				if peer := peer.(table); peer["name"] == last.Label() {
					peer["name"] = name
				}
			}
			if i == last {
				raft["name"] = name
			}
		})
	}
	_, err := w.c.Postgres.SQL(w.ctx, "praefect", "update praefect_raft.claims set seen_at = now() - interval '1 hour'")
	must.Succeed(w, err)
	host := runbook.OnInstance(w.c, first, root)
	host.Input = vs + "\n"
	if out := page.CarryOut(host, "claims"); !strings.Contains(out, "was removed") {
		w.Errorf("claim remove: %s", out)
	}
	host = runbook.OnInstance(w.c, last, root)
	host.Input = name + "\n"
	page.CarryOut(host, "rename")
	for _, i := range w.c.Instances {
		must.Succeed(w, i.Start())
	}
	for _, i := range w.c.Instances {
		must.Succeed(w, i.WaitReady(w.ctx))
	}
	w.eventually("the cluster claims again", claimed)
}

// A storage is added by a rolling edit, kept though a leader's file lacks it, and removed by command;
// a mistyped virtual storage is taken back.
func TestStoragesComeBySettingsAndGoByCommand(t *testing.T) {
	w := begin(t, cluster.Options{VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(vs, 3), {Name: "spare", Storages: []string{"gitaly-4"}}}})
	must.Succeed(w, w.c.WaitConverged(w.ctx))
	first := w.c.Instances[0]
	before, err := w.storages(first, vs)
	must.Succeed(w, err)
	history, err := first.Admin().History(w.ctx, admin.HistoryRequest{VirtualStorage: vs})
	must.Succeed(w, err)
	for n, i := range w.c.Instances {
		if n > 0 {
			w.says(first, `storage "gitaly-4" of "default" is in the settings of "praefect-1"`, `and not in those of `)
			if got, err := w.storages(i, vs); err != nil || got != before {
				t.Fatalf("after %d of 3 edits: %q, %v, want %q", n, got, err, before)
			}
		}
		w.edit(i, func(s table) {
			spare, _ := nodes(s, "spare")
			list, set := nodes(s, vs)
			set(append(list, spare[0]))
		})
	}
	w.eventually("the new storage serves", func() error {
		got, err := w.storages(first, vs)
		if err == nil && got != before+", gitaly-4 serving" {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
	// Nothing has flapped: the only changes are those of the new storage.
	after, err := first.Admin().History(w.ctx, admin.HistoryRequest{VirtualStorage: vs})
	must.Succeed(w, err)
	var changes []string
	for _, c := range after.Changes[len(history.Changes):] {
		changes = append(changes, c.Storage+" "+c.Change)
	}
	if got, want := strings.Join(changes, ", "), "gitaly-4 backfilling, gitaly-4 serving"; got != want {
		t.Errorf("changes: %q, want %q", got, want)
	}

	// A file with a typo, at the leader.
	last := w.c.Instances[2]
	w.edit(last, func(s table) { without(s, vs, "gitaly-3") })
	w.eventually("the instance with the typo leads", func() error {
		if _, err := w.c.Operate(w.ctx, "raft", "transfer", last.Label()); err != nil {
			return err
		}
		status, err := last.Admin().RaftStatus(w.ctx)
		if err == nil && status.Leader != last.Label() {
			err = fmt.Errorf("%q leads", status.Leader)
		}
		return err
	})
	w.says(last, `storage "gitaly-3" of "default" is not in the settings of "praefect-3" (virtual_storage.node, line `)
	if got, err := w.storages(first, vs); err != nil || !strings.Contains(got, "gitaly-3 ") {
		t.Errorf("the leader's typo has made %q, %v", got, err)
	}
	saved, err := os.ReadFile(first.Config)
	must.Succeed(w, err)
	var good table
	must.Succeed(w, toml.Unmarshal(saved, &good))
	w.edit(last, func(s table) { s["virtual_storage"] = good["virtual_storage"] })

	// Removal by command.
	if out, code, err := w.c.Praefectctl(w.ctx, "storage", "remove", "gitaly-4", "-virtual-storage", vs, "-confirm", "gitaly-4"); err != nil || code != 5 {
		t.Errorf("removed what the settings have: %d, %v: %s", code, err, out)
	}
	// With the same edit comes a virtual storage whose name is mistyped.
	for _, i := range w.c.Instances {
		w.edit(i, func(s table) {
			without(s, vs, "gitaly-4")
			list, _ := nodes(s, "spare")
			s["virtual_storage"] = append(s["virtual_storage"].([]any), table{"name": "defualt", "node": list})
		})
	}
	w.eventually("the mistyped virtual storage is defined", func() error { _, err := w.storages(first, "defualt"); return err })
	w.says(first, `storage "gitaly-4" of "default" is in the cluster and in no instance's settings`, "praefectctl storage remove gitaly-4 -virtual-storage default")
	page, host := runbook.Open(t, "storages.md"), runbook.OnInstance(w.c, first, t.TempDir())
	host.Input = "gitaly-4\n"
	page.CarryOut(host, "remove")
	if got, err := w.storages(first, vs); err != nil || strings.Contains(got, "gitaly-4") {
		t.Errorf("left are %q, %v", got, err)
	}
	for _, i := range w.c.Instances {
		w.edit(i, func(s table) {
			all := s["virtual_storage"].([]any)
			s["virtual_storage"] = all[:len(all)-1]
		})
	}
	host.Input = "defualt\n"
	page.CarryOut(host, "forget")
	if got, err := w.storages(first, "defualt"); err == nil {
		t.Errorf("it is still there: %q", got)
	}
	must.Succeed(w, w.c.WaitConverged(w.ctx))
}
