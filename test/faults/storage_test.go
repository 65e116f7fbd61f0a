package faults

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// statusOf is how a storage is, as the first instance sees it.
func statusOf(ctx context.Context, c *cluster.Cluster, s *cluster.Storage) (admin.Storage, error) {
	status, err := c.Instances[0].Admin().Status(ctx, admin.StatusRequest{VirtualStorage: s.VirtualStorage})
	if err != nil {
		return admin.Storage{}, err
	}
	for _, v := range status.VirtualStorages {
		for _, found := range v.Storages {
			if found.Name == s.Name {
				return found, nil
			}
		}
	}
	return admin.Storage{}, fmt.Errorf("the status does not name %s", s.Label())
}

// serves wants a storage to serve, and to be reached.
func serves(ctx context.Context, c *cluster.Cluster, s *cluster.Storage) error {
	found, err := statusOf(ctx, c, s)
	if err == nil && (found.State != state.Serving || !found.Reachable) {
		err = fmt.Errorf("%s is %s, reachable: %v (%s)", s.Label(), found.State, found.Reachable, found.Error)
	}
	return err
}

func allServe(ctx context.Context, c *cluster.Cluster) error {
	for _, s := range c.Storages {
		if err := serves(ctx, c, s); err != nil {
			return err
		}
	}
	return nil
}

// praefect runs a sub-command with the settings of an instance.
func praefect(t *testing.T, c *cluster.Cluster, i *cluster.Instance, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Binaries.Path(cluster.Praefect), append([]string{"-config", i.Config}, args...)...)
	var complaints strings.Builder
	cmd.Env, cmd.Stderr = []string{"HOME=/"}, &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run praefect %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	return string(out), nil
}

// readsFrom is how many reads the first instance has sent to a storage.
func readsFrom(ctx context.Context, c *cluster.Cluster, s *cluster.Storage) (float64, error) {
	metrics, err := c.Instances[0].Metrics(ctx)
	if err != nil {
		return 0, err
	}
	return metrics[fmt.Sprintf("gitaly_praefect_read_distribution{storage=%q,virtual_storage=%q}", s.Name, s.VirtualStorage)], nil
}

// moreReads waits until a storage gets more reads than it had.
func moreReads(t *testing.T, c *cluster.Cluster, s *cluster.Storage) {
	t.Helper()
	before, err := readsFrom(t.Context(), c, s)
	must.Succeed(t, err)
	eventually(t, time.Minute, func(ctx context.Context) error {
		now, err := readsFrom(ctx, c, s)
		if err == nil && now <= before {
			err = fmt.Errorf("%s gets no reads", s.Label())
		}
		return err
	})
}

// TestStorage_secondaryWithAnEmptyDiskIsRefilled replaces the disk of a secondary
// while clients read and write: it is backfilled and serves again, and no request
// fails meanwhile.
func TestStorage_secondaryWithAnEmptyDiskIsRefilled(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: patient})
	h, to, s := workload.NewHistory(), clientOf(c, vs), c.Storages[1]
	const quiet = 20
	for n := range quiet {
		made(t, to, h, fmt.Sprintf("quiet/%d.git", n))
	}
	made(t, to, h, "busy/0.git", "busy/1.git")
	settled(t, c, h)
	l := startLoad(t, c, h, operationLimit)
	for n := range 3 {
		l.reader(to, fmt.Sprintf("quiet/%d.git", n))
	}
	l.committer(to, "busy/0.git", "api-0")
	l.committer(to, "busy/1.git", "api-1")
	l.pusher(clone(t, c, vs, "busy/1.git"), vs, "busy/1.git", "git-1")
	l.mayfly(to, "mayfly")
	moreReads(t, c, s)

	from := logEnd(t, c.Instances[0].Process)
	must.Succeed(t, s.ReplaceDisk(t.Context()))
	eventually(t, time.Minute, func(ctx context.Context) error {
		if logged(t, c.Instances[0].Process, from, "backfilling storages") == 0 {
			return errors.New("no backfilling has begun")
		}
		return serves(ctx, c, s)
	})
	moreReads(t, c, s)
	l.end()
	settled(t, c, h)
	l.fine(t)
}

// TestStorage_primaryGoneMeansNoWritesButReads kills the primary and starts it
// again: nobody takes its place, and nothing else stops.
func TestStorage_primaryGoneMeansNoWritesButReads(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: impatient})
	h, to, primary := workload.NewHistory(), clientOf(c, vs), c.Storages[0]
	made(t, to, h, "quiet.git", "refused.git", "met.git")
	settled(t, c, h)
	l := startLoad(t, c, h, operationLimit)
	l.reader(to, "quiet.git")
	l.reader(to, "refused.git")
	moreReads(t, c, primary)
	write := func(path, subject string) error {
		ctx, cancel := context.WithTimeout(t.Context(), briefLimit)
		defer cancel()
		_, err := to.Commit(ctx, path, "main", subject)
		h.Commit(workload.At(vs, path), "main", subject, err)
		return err
	}
	must.Succeed(t, primary.Kill())
	// This one may be forwarded before the loss is known, and then nobody has the
	// repository for certain.
	if err := write("met.git", "met"); status.Code(err) != codes.Unavailable {
		t.Errorf("a write that meets the death of the primary: %v, want UNAVAILABLE", err)
	}
	eventually(t, time.Minute, func(ctx context.Context) error {
		found, err := statusOf(ctx, c, primary)
		if err == nil && found.Reachable {
			err = errors.New("the dead primary counts as reachable")
		}
		return err
	})
	for n := range 5 {
		if err := write("refused.git", fmt.Sprintf("refused-%d", n)); status.Code(err) != codes.Unavailable {
			t.Errorf("a write without the primary: %v, want UNAVAILABLE", err)
		}
	}
	reads := l.counts("read")
	eventually(t, time.Minute, func(context.Context) error {
		if n := l.counts("read") - reads; n < 50 {
			return fmt.Errorf("%d reads without the primary", n)
		}
		return nil
	})
	must.Succeed(t, primary.Start())
	tries := 0
	eventually(t, time.Minute, func(context.Context) error {
		tries++
		return write("refused.git", fmt.Sprintf("back-%d", tries))
	})
	l.end()
	settled(t, c, h)
	l.fine(t)
}

// TestStorage_ofOneNameInTwoVirtualStorages has the same names twice, for
// different servers.
func TestStorage_ofOneNameInTwoVirtualStorages(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: impatient, VirtualStorages: []cluster.VirtualStorage{
		cluster.Numbered("one", 2), cluster.Numbered("two", 2),
	}})
	h := workload.NewHistory()
	for _, virtualStorage := range []string{"one", "two"} {
		to, p := clientOf(c, virtualStorage), workload.At(virtualStorage, "same.git")
		made(t, to, h, "same.git", "only-"+virtualStorage+".git")
		subject := "pushed-to-" + virtualStorage
		err := clone(t, c, virtualStorage, "same.git").push(t.Context(), "main", subject)
		h.Commit(p, "main", subject, err)
		if err != nil {
			t.Error(err)
		}
	}
	// The history knows which virtual storage has what, and its check looks at
	// the disks of either.
	settled(t, c, h)
	for _, virtualStorage := range []string{"one", "two"} {
		for _, s := range c.StoragesOf(virtualStorage) {
			paths, err := s.Repositories(t.Context())
			must.Succeed(t, err)
			if len(paths) != 2 {
				t.Errorf("%s has %q, want the two repositories of %q", s.Label(), paths, virtualStorage)
			}
		}
	}
}
