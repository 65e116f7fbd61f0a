package votes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
)

// TestMode_changesUnderLoad goes from strong to eventual consistency and back, one
// instance after the other, and has a storage that cannot vote for a while: whatever
// was acknowledged is there, and no read is stale, also while instances differ.
func TestMode_changesUnderLoad(t *testing.T) {
	t.Parallel()
	s := seeds(t)
	w := start(t, cluster.Options{Disk: s.Disk})
	l := w.load(t, s)
	l.goesOn(t, some)
	w.voted(t, l, true)

	for _, mode := range []string{"eventual", "strong"} {
		must.Succeed(t, w.Configure(strings.Replace(settings, "[consistency]", "[consistency]\nmode = '"+mode+"'", 1)))
		for _, i := range w.Instances {
			w.restart(t, i)
		}
		w.voted(t, l, mode == "strong")
		w.lap(t, "the mode is %s", mode)
	}

	old := w.secondary(t)
	w.replace(t, old, "-no-backchannel")
	w.voted(t, l, false)
	w.toldOf(t, old)
	w.lap(t, "one storage cannot vote")
	w.replace(t, old)
	w.voted(t, l, true)
	w.lap(t, "all can vote")
	l.check(t)
}

// some is how many writes are enough to tell how they are done.
const some = 20

// voted wants further writes to be acknowledged, and three storages to vote on some of
// them, or on none. Where one is behind, fewer vote.
func (w *harness) voted(t *testing.T, l *load, want bool) {
	t.Helper()
	if want {
		before := w.votings(t)
		l.goesOn(t, some)
		scenario.Eventually(t, "three storages vote", func(context.Context) error {
			if w.votings(t) == before {
				return errors.New("they did not")
			}
			return nil
		})
		return
	}
	// A write that was under way when the mode changed may end with votes, on a slow machine much
	// later: a stretch of writes without any shows that there are none of those left.
	scenario.Eventually(t, "no write is voted on by three storages", func(context.Context) error {
		before := w.votings(t)
		l.goesOn(t, some)
		if got := w.votings(t) - before; got > 0 {
			return fmt.Errorf("three storages voted %v times on %d writes or more", got, some)
		}
		return nil
	})
}

// votings is on how many writes three storages voted.
func (w *harness) votings(t *testing.T) (sum float64) {
	t.Helper()
	const voters = "gitaly_praefect_voters_per_transaction_total"
	for _, i := range w.Instances {
		metrics, err := i.Metrics(t.Context())
		must.Succeed(t, err)
		all, _ := metrics.Sum(voters + "_count")
		few, _ := metrics.Sum(voters + `_bucket{virtual_storage="` + vs + `",le="2"}`)
		sum += all - few
	}
	return sum
}

// replace kills a storage and starts it with other flags.
func (w *harness) replace(t *testing.T, s *cluster.Storage, flags ...string) {
	t.Helper()
	must.Succeed(t, s.Kill())
	s.Flags(flags...)
	must.Succeed(t, s.Start())
	scenario.Eventually(t, "all see what was started", func(ctx context.Context) (err error) {
		for _, i := range w.Instances {
			err = errors.Join(err, sees(ctx, i, s.Name, len(flags) == 0))
		}
		return err
	})
}

// sees wants an instance to see that a storage serves, and whether it votes.
func sees(ctx context.Context, i *cluster.Instance, name string, votes bool) error {
	storages, err := storagesAt(ctx, i)
	for _, s := range storages {
		if s.Name == name && (s.State != "serving" || !s.Reachable || s.Votes != votes) {
			err = fmt.Errorf("%s sees %s as %v, votes: %v", i.Label(), s.Name, s.State, s.Votes)
		}
	}
	return err
}

// toldOf wants the operator to be told of a storage that cannot vote.
func (w *harness) toldOf(t *testing.T, s *cluster.Storage) {
	t.Helper()
	// The status says so while the storage is reached, and its exit code also tells of anything else
	// that is not as it should be at that moment.
	scenario.Eventually(t, "the operator is told", func(ctx context.Context) error {
		status, failure := w.Operate(ctx, "status")
		if !strings.Contains(status, "no votes") {
			return fmt.Errorf("the status does not say that %s cannot vote (%v):\n%s", s.Name, failure, status)
		}
		for _, i := range w.Instances {
			log, err := os.ReadFile(i.Log())
			if err != nil {
				return err
			}
			if !strings.Contains(string(log), "does not speak the backchannel") {
				return fmt.Errorf("%s has logged no warning that %s cannot vote", i.Label(), s.Name)
			}
		}
		return nil
	})
}
