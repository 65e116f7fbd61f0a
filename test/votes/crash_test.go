package votes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"praefect/test/cluster"
	"praefect/test/gitaly"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// crash is a step of a write that is voted on at which its instance dies.
type crash struct {
	step   string
	effect workload.Effect
}

// crashes are those of every such write, in their order. A push is voted on in
// further rounds: its hooks are waited for.
var crashes = []crash{
	{"after-forward", workload.Nowhere},
	{"votes-1", workload.Nowhere},
	{"accounted-1", workload.Nowhere},
	{"allowed-1", workload.WhollyOrNot},
	{"votes-2", workload.WhollyOrNot},
	{"accounted-2", workload.WhollyOrNot},
	{"allowed-2", workload.WhollyOrNot},
	{"after-success", workload.Everywhere},
	{"after-enqueue", workload.Everywhere},
	{"before-status", workload.Everywhere},
}

// voted are the kinds of writes that are voted on: all but a remove.
func voted() []workload.Victim {
	return slices.DeleteFunc(workload.Victims(), func(v workload.Victim) bool { return v.Kind == "remove" })
}

// victim is a write through an instance that meets a crash.
type victim struct {
	workload.Victim
	path    string
	through *cluster.Instance
}

// prepare makes what victims need, and returns the writes by path.
func (w *harness) prepare(t *testing.T, victims []victim) map[string]func(context.Context) error {
	t.Helper()
	const atOnce = 4
	crowd := w.crowd(t)
	prepared, ctx := errgroup.WithContext(t.Context())
	prepared.SetLimit(atOnce)
	all := make([]func(context.Context) error, len(victims))
	for n, v := range victims {
		prepared.Go(func() (err error) {
			all[n], err = v.Prepare(ctx, v.through, crowd, v.path)
			return err
		})
	}
	must.Succeed(t, prepared.Wait())
	writes := make(map[string]func(context.Context) error)
	for n, v := range victims {
		writes[v.path] = all[n]
	}
	w.settled(t)
	w.lap(t, "%d writes are prepared", len(writes))
	return writes
}

// TestCrash_ofAnInstanceAtEveryStep kills an instance at each step of each kind of
// write, each instance in turn, while the two others go on.
func TestCrash_ofAnInstanceAtEveryStep(t *testing.T) {
	t.Parallel()
	w := start(t, cluster.Options{})
	path := func(c crash, v workload.Victim) string { return fmt.Sprintf("crash/%s/%s.git", c.step, v.Kind) }
	var all []victim
	for n, c := range crashes {
		for _, v := range voted() {
			all = append(all, victim{v, path(c, v), w.Instances[n%3]})
		}
	}
	writes := w.prepare(t, all)
	for n, c := range crashes {
		i := w.Instances[n%3]
		must.Succeed(t, i.Kill())
		for _, v := range voted() {
			if err := w.die(t, i, c.step, writes[path(c, v)]); err == nil {
				t.Errorf("the %s that met %s was acknowledged", v.Kind, c.step)
			}
		}
		must.Succeed(t, i.Start())
		w.ready(t, i)
	}
	w.lap(t, "%d crashes of instances", len(crashes)*len(voted()))
	w.settled(t)
	for _, c := range crashes {
		for _, v := range voted() {
			if err := v.Check(t.Context(), w.Storages, path(c, v), c.effect); err != nil {
				t.Errorf("after a crash at %s: %v", c.step, err)
			}
		}
	}
	w.nothingBlocks(t)
	w.lap(t, "and repaired")
}

// die starts an instance that kills itself at a step of a write, and returns how the
// write ended.
func (w *harness) die(t *testing.T, i *cluster.Instance, step string, write func(context.Context) error) error {
	t.Helper()
	must.Succeed(t, i.Start("PRAEFECT_FAILPOINT="+step))
	w.ready(t, i)
	ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
	defer cancel()
	err := write(ctx)
	if err == nil {
		return nil
	}
	end, ok := errors.AsType[*cluster.ExitError](i.Wait(ctx))
	if !ok {
		t.Fatalf("%s did not die at %s, and the write ended with %v", i.Label(), step, err)
	}
	if status, ok := end.State.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the instance died otherwise than at %s: %v", step, end)
	}
	return err
}

// nothingBlocks wants no lock to be left on any disk.
func (w *harness) nothingBlocks(t *testing.T) {
	t.Helper()
	for _, s := range w.Storages {
		must.Succeed(t, filepath.WalkDir(s.Dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".lock") {
				t.Errorf("a lock is left: %s", path)
			}
			return err
		}))
	}
}

// deaths are the moments of a storage's votes at which it kills itself.
var deaths = []string{"before-prepared", "after-prepared", "before-committed", "after-committed"}

// TestCrash_ofAStorageAtEveryVote kills the primary and a secondary at each moment of
// the votes on a push, a commit and a create at once: whichever comes first to that
// point meets it.
func TestCrash_ofAStorageAtEveryVote(t *testing.T) {
	t.Parallel()
	w := start(t, cluster.Options{})
	roles := []struct {
		name string
		of   func(*testing.T) *cluster.Storage
	}{{"primary", func(t *testing.T) *cluster.Storage { return scenario.Primary(t, w.Cluster, vs) }}, {"secondary", w.secondary}}
	path := func(role, death string, v workload.Victim) string {
		return fmt.Sprintf("death/%s/%s/%s.git", role, death, v.Kind)
	}
	var victims []victim
	for _, role := range roles {
		for _, death := range deaths {
			for n, v := range voted() {
				victims = append(victims, victim{v, path(role.name, death, v), w.Instances[n]})
			}
		}
	}
	writes := w.prepare(t, victims)
	for _, role := range roles {
		for _, death := range deaths {
			s := role.of(t)
			must.Succeed(t, gitaly.WriteFaults(s.Dir, gitaly.Fault{Prefix: "death/" + role.name, StopAt: death}))
			var all sync.WaitGroup
			for _, v := range voted() {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
					defer cancel()
					if err := writes[path(role.name, death, v)](ctx); err != nil {
						t.Logf("%s %s, %s: %.200v", role.name, death, v.Kind, err)
					}
				})
			}
			all.Wait()
			w.ended(t, s)
			must.Succeed(t, gitaly.WriteFaults(s.Dir))
			must.Succeed(t, s.Start())
			w.allServe(t)
		}
	}
	w.lap(t, "%d deaths of storages", len(roles)*len(deaths))
	w.settled(t)
	for _, v := range victims {
		if err := v.Check(t.Context(), w.Storages, v.path, workload.WhollyOrNot); err != nil {
			t.Error(err)
		}
	}
	w.nothingBlocks(t)
	w.lap(t, "and repaired")
}
