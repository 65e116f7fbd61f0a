package votes

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// contending: two developers push to one repository at the same time, to the same
// branch or to two, through two instances or one. Each push succeeds or fails
// cleanly, in bounded time, and of two to the same branch at most one succeeds.
func contending(t *testing.T, w *harness) {
	rounds := 2 * int(workload.FromEnv(t, "SUITE_ROUNDS", 1))
	one, two := w.Instances[0], w.Instances[1]
	for _, meeting := range []struct {
		name     string
		through  [2]*cluster.Instance
		branches [2]string
	}{
		{"one branch, two instances", [2]*cluster.Instance{one, two}, [2]string{"main", "main"}},
		{"one branch, one instance", [2]*cluster.Instance{one, one}, [2]string{"main", "main"}},
		{"two branches, two instances", [2]*cluster.Instance{one, two}, [2]string{"left", "right"}},
		{"two branches, one instance", [2]*cluster.Instance{two, two}, [2]string{"left", "right"}},
	} {
		path := "contended/" + strings.NewReplacer(" ", "-", ",", "").Replace(meeting.name) + ".git"
		w.make(t, path)
		p := pair{w: w, path: path, through: meeting.through, branches: meeting.branches}
		p.checkouts = [2]*workload.Checkout{w.clone(t, path), w.clone(t, path)}
		for _, branch := range p.branches {
			if branch != "main" {
				w.history.Inherits(workload.At(vs, path), branch, "first")
			}
		}
		for n := range rounds {
			p.round(t, n)
		}
		sameBranch := p.branches[0] == p.branches[1]
		if !sameBranch && p.failed > 0 {
			t.Errorf("%s: %d pushes failed, such as: %v", meeting.name, p.failed, p.fault)
		}
		w.lap(t, "%s: %d rounds, %d pushes failed, the slowest took %v", meeting.name, rounds, p.failed, p.slowest.Round(time.Millisecond))
	}
}

// pair is two developers at work on one repository.
type pair struct {
	w         *harness
	path      string
	through   [2]*cluster.Instance
	branches  [2]string
	checkouts [2]*workload.Checkout

	failed  int
	fault   error // of the last that failed
	slowest time.Duration
}

// round has both push at the same time, from what is there.
func (p *pair) round(t *testing.T, n int) {
	t.Helper()
	var errs [2]error
	var took [2]time.Duration
	var both sync.WaitGroup
	for who := range 2 {
		both.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
			defer cancel()
			began := time.Now()
			subject := fmt.Sprintf("%d-of-%d", n, who)
			_, errs[who] = p.checkouts[who].Push(ctx, p.through[who].URL(vs, p.path), p.branches[who], subject)
			took[who] = time.Since(began)
			p.w.history.Commit(workload.At(vs, p.path), p.branches[who], subject, errs[who])
			if ctx.Err() != nil {
				t.Errorf("a push to %q had no end: %v", p.path, errs[who])
			}
		})
	}
	both.Wait()
	for who := range 2 {
		p.slowest = max(p.slowest, took[who])
		if errs[who] != nil {
			p.failed++
			p.fault = errs[who]
		}
	}
	if errs[0] == nil && errs[1] == nil && p.branches[0] == p.branches[1] {
		t.Errorf("both pushes to %s of %q were acknowledged", p.branches[0], p.path)
	}
	for who := range 2 { // go on from what is there now
		url := p.through[who].URL(vs, p.path)
		must.Succeed(t, p.checkouts[who].Reset(t.Context(), url, p.branches[who]))
	}
}
