package votes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"praefect/fsm/condition"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
)

// TestVerify_findsWhatAHookWrote: a post-receive hook runs on the primary alone, and no vote is
// held on the references that it writes. The verification in the background finds them; repair
// brings them to every storage; the operator's command then finds all alike.
func TestVerify_findsWhatAHookWrote(t *testing.T) {
	t.Parallel()
	w := start(t, cluster.Options{Settings: settings + "\n[background_verification]\nverification_interval = \"20s\"\nfsck_sample = 1.0\n"})
	const path, hooked = "group/hook-writes.git", "refs/heads/from-a-hook"
	w.make(t, path, "group/beside.git")
	// Without git's own environment no hook of Gitaly sees the write, as if it came from elsewhere.
	must.Succeed(t, w.setHooks(t.Context(), path, map[string]string{
		"post-receive": "#!/bin/sh\nread -r old new ref\nexec env -i PATH=\"$PATH\" git --git-dir=\"$(pwd)\" update-ref " + hooked + " \"$new\"\n",
	}))
	_, err := w.clone(t, path).Push(t.Context(), w.Instances[1].URL(vs, path), "pushed", "push")
	must.Succeed(t, err)

	var found []admin.Event
	scenario.Eventually(t, "the verification finds it", func(ctx context.Context) error {
		history, err := w.Instances[0].Admin().History(ctx, admin.HistoryRequest{VirtualStorage: vs})
		found = slices.DeleteFunc(history.Changes, func(e admin.Event) bool { return e.Change != "differs" })
		if err == nil && len(found) < 2 {
			err = fmt.Errorf("it found %v", found)
		}
		return err
	})
	primary := scenario.Primary(t, w.Cluster, vs).Name
	for _, e := range found {
		if e.RelativePath != path || e.Storage == primary || e.Why != "its references differ" {
			t.Errorf("it found %+v, the primary is %s", e, primary)
		}
	}
	w.lap(t, "the verification found it")
	scenario.Eventually(t, "every storage has it", func(ctx context.Context) error {
		var errs []error
		for _, s := range w.StoragesOf(vs) {
			_, err := w.Git(ctx, filepath.Join(s.Dir, path), "rev-parse", "--verify", hooked)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	w.settled(t)
	w.lap(t, "every storage has it")

	var verified admin.VerifyResponse
	out, err := w.Operate(t.Context(), "-o", "json", "verify", path)
	must.Succeed(t, err)
	must.Succeed(t, json.Unmarshal([]byte(out), &verified))
	for _, r := range verified.Replicas {
		if r.Result != admin.ReplicaAlike || !r.Checked {
			t.Errorf("afterwards: %+v", r)
		}
	}
	if verified.NotNoted != "" || len(verified.Replicas) != 3 {
		t.Errorf("afterwards: %+v", verified)
	}
	out, err = w.Operate(t.Context(), "verify", "-all", "-y")
	must.Succeed(t, err)
	if !strings.Contains(out, "no replica differs") {
		t.Errorf("all: %s", out)
	}
	status, err := w.Instances[0].Admin().Status(t.Context(), admin.StatusRequest{})
	must.Succeed(t, err)
	if !slices.ContainsFunc(status.Conditions, func(c condition.Condition) bool {
		return c.Name == condition.ReplicaDiffered && strings.Contains(c.Text, path)
	}) {
		t.Errorf("the status does not tell of it: %+v", status.Conditions)
	}
}

// TestVerify_makesADamagedReplicaAgain: an object that is lost on the disk of a secondary is found
// by a check of the objects, and the replica is made again.
func TestVerify_makesADamagedReplicaAgain(t *testing.T) {
	t.Parallel()
	w := start(t, cluster.Options{})
	const path = "group/damaged.git"
	w.make(t, path)
	secondary := w.secondary(t)
	dir := filepath.Join(secondary.Dir, path)
	tree, err := w.Git(t.Context(), dir, "rev-parse", "--verify", "refs/heads/main^{tree}")
	must.Succeed(t, err)
	tree = strings.TrimSpace(tree)
	must.Succeed(t, os.Remove(filepath.Join(dir, "objects", tree[:2], tree[2:])))
	out, code, err := w.Praefectctl(t.Context(), "-o", "json", "verify", path)
	must.Succeed(t, err)
	var verified admin.VerifyResponse
	must.Succeed(t, json.Unmarshal([]byte(out), &verified))
	damaged := slices.ContainsFunc(verified.Replicas, func(r admin.VerifiedReplica) bool {
		return r.Storage == secondary.Name && r.Result == admin.ReplicaDiffers && strings.HasPrefix(r.What, "damaged: ")
	})
	if code != 3 || !damaged {
		t.Fatalf("exit code %d: %s", code, out)
	}
	scenario.Eventually(t, "the replica is sound", func(ctx context.Context) error {
		_, err := w.Operate(ctx, "verify", path)
		return err
	})
	w.settled(t)
}
