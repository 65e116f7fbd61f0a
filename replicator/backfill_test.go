package replicator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// backfilling runs a replicator with a queue that is away.
func (w *fixture) backfilling(t *testing.T) (r *Replicator, stop func()) {
	w.setQueueFault(away)
	return w.replicatingAs(t, Config{PauseBudget: 5 * time.Second, LookTimeout: 10 * time.Second})
}

func (w *fixture) serves(storage string) bool { return w.storage(storage).State == state.Serving }

// backfill puts repositories on storages.
func (w *fixture) backfill(n int, storages ...string) {
	for i := range n {
		w.put(fmt.Sprintf("%03d.git", i), fmt.Sprint(i), storages...)
	}
}

func TestBackfiller_backfillsAnEmptyDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(50, "g1", "g2", "g3")
		w.mustWrite(t, "007.git", "changed", false)
		r, stop := w.backfilling(t)
		defer stop()
		w.replicates(time.Second)
		w.replace("g2", "another disk")
		until(t, 10*time.Second, func() bool {
			backfills := r.Backfills()
			return len(backfills) == 1 && backfills[0].Total == 50 && backfills[0].Done > 3 && backfills[0].Storages[0] == "g2" && backfills[0].Current != ""
		})
		until(t, time.Minute, func() bool { return w.serves("g2") })
		if len(r.Backfills()) != 0 {
			t.Errorf("backfills: %+v", r.Backfills())
		}
		w.setQueueFault(nil) // for g3, which was behind all the time
		until(t, time.Minute, func() bool { return w.equal() == "" })
	})
}

func TestBackfiller_firstDefinitionBackfillsFromTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.must(state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: []string{"g1"}}})
		w.must(state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: []string{"g1", "g2", "g3"}}})
		w.backfill(20, "g1")
		w.backfill(10, "g2") // as after a copy by hand
		_, stop := w.backfilling(t)
		defer stop()
		time.Sleep(10 * time.Second)
		if w.serves("g2") {
			t.Error("g2 serves before its disk is known")
		}
		for _, name := range []string{"g2", "g3"} {
			w.must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: name, FilesystemID: "disk of " + name}})
		}
		until(t, 10*time.Second, func() bool { return w.serves("g2") && w.serves("g3") })
		w.wantEqual(t)
	})
}

func TestBackfiller_underWrites(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(100, "g1", "g2", "g3")
		r, stop := w.backfilling(t)
		defer stop()
		w.replicates(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for n := 0; ctx.Err() == nil; n++ {
				path := fmt.Sprintf("%03d.git", n*7%110) // some are created, some deleted
				content := fmt.Sprint("new ", n)
				if n%10 == 9 {
					content = ""
				}
				if err := w.writeFor(ctx, path, content, false, 300*time.Millisecond); err == nil {
					r.Enqueue(key(path))
				}
			}
		}()
		w.replace("g3", "another disk")
		until(t, 5*time.Minute, func() bool { return w.serves("g3") })
		cancel()
		<-writing
		w.setQueueFault(nil)
		until(t, 10*time.Minute, func() bool { return w.equal() == "" })
	})
}

func TestBackfiller_whatCannotBeCopiedStaysBehind(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(5, "g1", "g2", "g3")
		w.meet("g3", "ReplicateRepository", fate{err: status.Error(codes.Internal, "object missing")})
		r, stop := w.backfilling(t)
		defer stop()
		w.replace("g3", "another disk")
		until(t, 10*time.Minute, func() bool { return w.serves("g3") })
		for i := range 5 {
			if path := fmt.Sprintf("%03d.git", i); !w.entry(path).IsBehind("g3") {
				t.Errorf("%s is not behind on g3", path)
			}
		}
		if more, err := r.enqueuer.flush(t.Context()); err == nil || !more {
			t.Error("nothing was to be enqueued")
		}
		w.well()
		w.setQueueFault(nil)
		until(t, 10*time.Minute, func() bool { return w.equal() == "" })
	})
}

// TestBackfiller_neverServesWithoutAccount lets intents fail, so that the ledger
// cannot say that the storage is behind.
func TestBackfiller_neverServesWithoutAccount(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(5, "g1", "g2", "g3")
		w.replace("g3", "another disk")
		w.mu.Lock()
		w.fate = func(cmds []state.Command) (bool, error) {
			if open := cmds[0].Open; open != nil && open.Paths[0] == "003.git" {
				return false, errors.New("no leader")
			}
			return true, nil
		}
		w.mu.Unlock()
		r, stop := w.backfilling(t)
		defer stop()
		time.Sleep(10 * time.Minute)
		if w.serves("g3") {
			t.Error("g3 serves")
		}
		if backfills := r.Backfills(); len(backfills) != 1 || backfills[0].Left != 1 {
			t.Errorf("backfills: %+v", backfills)
		}
		w.mu.Lock()
		w.fate = nil
		w.mu.Unlock()
		until(t, 5*time.Minute, func() bool { return w.serves("g3") && w.equal() == "" })
	})
}

func TestBackfiller_waitsForEveryServingStorage(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(5, "g1", "g2", "g3")
		w.untracked = "only here.git"
		w.put("only here.git", "x", "g2")
		w.reach("g2", false)
		w.replace("g3", "another disk")
		w.put("only here.git", "x", "g3")
		_, stop := w.backfilling(t)
		defer stop()
		time.Sleep(10 * time.Minute)
		if w.serves("g3") || w.content("g3", "only here.git") != "x" {
			t.Error("g3 serves, or lost what g2 may have")
		}
		w.reach("g2", true)
		until(t, 5*time.Minute, func() bool { return w.serves("g3") })
		if w.content("g3", "only here.git") != "x" || !w.entry("only here.git").IsBehind("g3") {
			t.Errorf("entry: %+v", w.entry("only here.git"))
		}
	})
}

// TestBackfiller_beginsAnewWhenInterrupted breaks the scan in every way.
func TestBackfiller_beginsAnewWhenInterrupted(t *testing.T) {
	for name, interrupt := range map[string]func(w *fixture){
		"another disk again": func(w *fixture) { w.replace("g3", "a third disk") },
		"the storage goes away for long": func(w *fixture) {
			w.reach("g3", false)
			time.Sleep(10 * time.Minute)
			w.reach("g3", true)
		},
		"the storage goes away for a moment": func(w *fixture) {
			w.reach("g3", false)
			time.Sleep(10 * time.Second)
			w.reach("g3", true)
		},
		"the source goes away": func(w *fixture) {
			w.reach("g1", false)
			time.Sleep(10 * time.Minute)
			w.reach("g1", true)
		},
		"a walk breaks": func(w *fixture) {
			w.meetFirst(1, "g2", "WalkRepos", fate{err: status.Error(codes.Unavailable, "lost")})
		},
		"a walk hangs": func(w *fixture) {
			w.meetFirst(1, "g2", "WalkRepos", fate{slow: time.Hour})
		},
		"the claim that it is backfilled gets lost": func(w *fixture) {
			w.mu.Lock()
			defer w.mu.Unlock()
			lost := false
			w.fate = func(cmds []state.Command) (bool, error) {
				if cmds[0].Rejoin != nil && !lost {
					lost = true
					return false, errors.New("no leader")
				}
				return true, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				w.backfill(100, "g1", "g2", "g3")
				_, stop := w.backfilling(t)
				defer stop()
				w.replace("g3", "another disk")
				w.replicates(time.Second)
				time.Sleep(10 * time.Second)
				interrupt(w)
				until(t, 10*time.Minute, func() bool { return w.serves("g3") })
				w.setQueueFault(nil)
				until(t, 10*time.Minute, func() bool { return w.equal() == "" })
			})
		})
	}
}

func TestBackfiller_stopsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(100, "g1", "g2", "g3")
		_, stop := w.backfilling(t)
		w.replace("g3", "another disk")
		w.replicates(3 * time.Second)
		time.Sleep(10 * time.Second)
		began := time.Now()
		stop()
		synctest.Wait()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
		if w.serves("g3") {
			t.Error("g3 serves")
		}
	})
}
