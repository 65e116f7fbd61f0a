package votes

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// allServe wants every storage to serve, to be reachable and to vote, as an instance
// says.
func allServe(ctx context.Context, i *cluster.Instance) error {
	storages, err := storagesAt(ctx, i)
	if err != nil {
		return err
	}
	for _, s := range storages {
		if s.State != state.Serving || !s.Reachable || !s.Votes {
			return fmt.Errorf("%s says that %s is %v, that it is reachable: %v, that it votes: %v", i.Label(), s.Name, s.State, s.Reachable, s.Votes)
		}
	}
	return nil
}

// storagesAt are the storages as an instance sees them.
func storagesAt(ctx context.Context, i *cluster.Instance) ([]admin.Storage, error) {
	answer, err := i.Admin().Status(ctx, admin.StatusRequest{VirtualStorage: vs})
	if err != nil {
		return nil, fmt.Errorf("ask %s for the status: %w", i.Label(), err)
	}
	return answer.VirtualStorages[0].Storages, nil
}

// behind are the storages that an instance knows to be behind for a repository.
func behind(ctx context.Context, i *cluster.Instance, path string) ([]string, error) {
	answer, err := i.Admin().Dataloss(ctx, admin.DatalossRequest{VirtualStorage: vs})
	if err != nil {
		return nil, fmt.Errorf("ask %s for data loss: %w", i.Label(), err)
	}
	var names []string
	for _, r := range answer.Repositories {
		if r.RelativePath == path {
			names = append(names, r.Behind...)
		}
	}
	slices.Sort(names)
	return names, nil
}

// equalNow wants the replicas of a repository to be equal at once, nothing to be in
// the ledger, and nothing in the queue.
func (w *harness) equalNow(t *testing.T, path string) {
	t.Helper()
	sums, err := w.Checksums(t.Context(), vs, path)
	must.Succeed(t, err)
	distinct := make(map[string]bool)
	for _, sum := range sums {
		distinct[sum] = true
	}
	if len(distinct) != 1 || distinct[""] {
		t.Errorf("the checksums of %q are %v, want equal ones", path, sums)
	}
	w.nobodyBehind(t, path)
	for _, i := range w.Instances {
		queue, err := i.Admin().QueueList(t.Context(), admin.QueueListRequest{Limit: 1})
		must.Succeed(t, err)
		if len(queue.Jobs) > 0 {
			t.Errorf("%s has work to do: %+v", i.Label(), queue.Jobs)
		}
	}
}

// nobodyBehind wants no instance to know of a storage that is behind for a repository.
func (w *harness) nobodyBehind(t *testing.T, path string) {
	t.Helper()
	for _, i := range w.Instances {
		names, err := behind(t.Context(), i, path)
		must.Succeed(t, err)
		if len(names) > 0 {
			t.Errorf("%s says that %q are behind for %q, want none", i.Label(), names, path)
		}
	}
}

// sum adds a metric of all instances up.
func (w *harness) sum(t *testing.T, name string) (sum float64) {
	t.Helper()
	for _, i := range w.Instances {
		metrics, err := i.Metrics(t.Context())
		must.Succeed(t, err)
		value, _ := metrics.Sum(name)
		sum += value
	}
	return sum
}

// onDisk wants a reference to lead to a commit on each of the storages.
func onDisk(t *testing.T, storages []*cluster.Storage, path, ref, id string) {
	t.Helper()
	for _, s := range storages {
		got, err := workload.OnDisk(t.Context(), s, path, "for-each-ref", "--format=%(objectname)", ref)
		must.Succeed(t, err)
		if got != id {
			t.Errorf("%s of %q is %q on %s, want %q", ref, path, got, s.Label(), id)
		}
	}
}

// refs are the references of a repository on each storage's disk.
func (w *harness) refs(t *testing.T, path string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, s := range w.Storages {
		refs, err := workload.OnDisk(t.Context(), s, path, "for-each-ref")
		must.Succeed(t, err)
		all[s.Name] = refs
	}
	return all
}

// unchanged wants a repository to be as it was everywhere, and no storage to be behind
// for it.
func (w *harness) unchanged(t *testing.T, path string, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, w.refs(t, path)); diff != "" {
		t.Errorf("%q has changed: %s", path, diff)
	}
	w.nobodyBehind(t, path)
}
