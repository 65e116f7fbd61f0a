package votes

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/gitaly"
	"praefect/test/must"
	"praefect/test/postgres"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// odd is what a secondary does instead of voting as the others do.
type odd struct {
	name string
	vote string // its fault
	// push: with git, which is voted on in other rounds than a commit of the API.
	push bool
	// waited: the write waits for the vote, because the storage lives and votes in time.
	waited bool
}

var oddities = []odd{
	{"differ", "differ", true, false},
	{"differ when done", "differ@committed", false, false},
	{"never", "never", false, false},
	{"never when done", "never@committed", true, false},
	{"late", "late=1500ms", true, true},
	{"refuse", "refuse", true, false},
}

// disagreeing: a secondary that votes otherwise or never, or is stopped before it can,
// is behind in the ledger when the client has its answer, which is a good one, and is
// repaired afterwards. One that votes late is not behind. Postgres is away meanwhile, so that nothing is
// repaired while we look.
func disagreeing(t *testing.T, w *harness) {
	var faults []gitaly.Fault
	for _, o := range oddities {
		path := o.path()
		w.make(t, path)
		faults = append(faults, gitaly.Fault{Prefix: path, Vote: o.vote})
	}
	const stopped = "odd/stopped.git"
	w.make(t, stopped)
	w.settled(t)
	must.Succeed(t, w.Postgres.Stop(postgres.Fast))
	s := w.secondary(t)
	must.Succeed(t, gitaly.WriteFaults(s.Dir, faults...))
	for n, o := range oddities {
		path, through := o.path(), w.Instances[n%len(w.Instances)]
		write := w.commitTo(path, through)
		if o.push {
			checkout := w.clone(t, path)
			write = func(ctx context.Context) (string, error) {
				id, err := checkout.Push(ctx, through.URL(vs, path), "main", "odd")
				w.history.Commit(workload.At(vs, path), "main", "odd", err)
				return id, err
			}
		}
		began := time.Now()
		if o.waited {
			w.agreedByAll(t, path, write)
		} else {
			w.agreedByTheOthers(t, path, s, write)
		}
		t.Logf("%s: acknowledged after %v", o.name, time.Since(began).Round(time.Millisecond))
	}
	began := time.Now()
	must.Succeed(t, s.Pause())
	w.agreedByTheOthers(t, stopped, s, w.commitTo(stopped, w.Instances[0]))
	t.Logf("stopped: acknowledged after %v", time.Since(began).Round(time.Millisecond))
	must.Succeed(t, s.Resume())
	must.Succeed(t, gitaly.WriteFaults(s.Dir))
	must.Succeed(t, w.Postgres.Start(t.Context()))
	w.allServe(t)
	w.settled(t)
	w.lap(t, "a secondary that disagreed was repaired")
}

func (o odd) path() string { return "odd/" + strings.ReplaceAll(o.name, " ", "-") + ".git" }

// commitTo is a commit to main of a repository through an instance.
func (w *harness) commitTo(path string, through *cluster.Instance) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		id, err := w.client(through).Commit(ctx, path, "main", "odd")
		w.history.Commit(workload.At(vs, path), "main", "odd", err)
		return id, err
	}
}

// agreedByAll makes a write of which no storage may be behind when it is acknowledged, which
// it must be, and which every storage must have.
func (w *harness) agreedByAll(t *testing.T, path string, write func(context.Context) (string, error)) {
	t.Helper()
	if id, ok := acknowledged(t, path, write); ok {
		w.nobodyBehind(t, path)
		onDisk(t, w.Storages, path, "refs/heads/main", id)
	}
}

// agreedByTheOthers makes a write of which a storage must be behind when it is
// acknowledged, which it must be, and which the other storages must have.
func (w *harness) agreedByTheOthers(t *testing.T, path string, than *cluster.Storage, write func(context.Context) (string, error)) {
	t.Helper()
	id, ok := acknowledged(t, path, write)
	if !ok {
		return
	}
	for _, i := range w.Instances {
		names, err := behind(t.Context(), i, path)
		must.Succeed(t, err)
		if !slices.Contains(names, than.Name) {
			t.Errorf("when the write to %q is acknowledged %s says that %q are behind, want %s", path, i.Label(), names, than.Name)
		}
	}
	others := slices.DeleteFunc(slices.Clone(w.Storages), func(s *cluster.Storage) bool { return s == than })
	onDisk(t, others, path, "refs/heads/main", id)
}

// acknowledged makes a write, which must be acknowledged within operationLimit.
func acknowledged(t *testing.T, path string, write func(context.Context) (string, error)) (id string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
	defer cancel()
	id, err := write(ctx)
	if err != nil {
		t.Errorf("the write to %q: %v", path, err)
	}
	return id, err == nil
}

// blocked: where few are not enough, a write on which two of three disagree fails, and
// nothing has changed anywhere.
func blocked(t *testing.T, w *harness) {
	const path = "group/blocked.git"
	w.make(t, path)
	i := w.Instances[2]
	must.Succeed(t, w.Configure(strings.Replace(settings, "[consistency]", "[consistency]\nwhen_short = 'block'", 1)))
	w.restart(t, i)
	before := w.refs(t, path)
	checkout := w.clone(t, path)
	primary := scenario.Primary(t, w.Cluster, vs)
	for _, s := range w.Storages {
		if s != primary {
			must.Succeed(t, gitaly.WriteFaults(s.Dir, gitaly.Fault{Prefix: path, Vote: "differ@prepared"}))
		}
	}
	_, err := checkout.Push(t.Context(), i.URL(vs, path), "main", "blocked")
	if err == nil {
		t.Error("a push was acknowledged on which too few agreed")
	}
	t.Logf("the client of a push sees: %v", err)
	p := workload.At(vs, path)
	w.history.Commit(p, "main", "blocked", err)
	_, err = w.client(i).Commit(t.Context(), path, "main", "blocked-too")
	w.history.Commit(p, "main", "blocked-too", err)
	if err == nil {
		t.Error("a commit was acknowledged on which too few agreed")
	}
	t.Logf("the client of a commit sees: %v", err)
	for _, s := range w.Storages {
		must.Succeed(t, gitaly.WriteFaults(s.Dir))
	}
	w.unchanged(t, path, before)

	id, err := checkout.Push(t.Context(), i.URL(vs, path), "main", "agreed") // with the one that was blocked before
	w.history.Commit(p, "main", "agreed", err)
	if err != nil {
		t.Errorf("when all agree again: %v", err)
	}
	// It may be in doubt for a while, as hooks of the push that was blocked were agreed
	// on; but all have the one that was not.
	w.nobodyBehind(t, path)
	onDisk(t, w.Storages, path, "refs/heads/main", id)
	must.Succeed(t, w.Configure(settings))
	w.restart(t, i)
	w.lap(t, "too few agreed")
}
