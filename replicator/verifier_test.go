package replicator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/cataloguetest"
	"praefect/replicator/queue"
	"praefect/test/must"
)

// verifying runs a replicator that verifies the repositories of its catalogue.
func (w *fixture) verifying(t *testing.T, cfg Config, paths ...string) (r *Replicator, c *cataloguetest.Memory, stop func()) {
	c = w.withCatalogue(paths...)
	w.verifications = c
	if cfg.VerificationInterval == 0 {
		cfg.VerificationInterval = round
	}
	r, stop = w.replicatingAs(t, cfg)
	return r, c, stop
}

// round is the interval of these tests: all of it is simulated second by second.
const round = 3 * time.Hour

// lose has a storage lose a replica.
func (w *fixture) lose(path, storage string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.disks[storage].repos, path)
}

// within is until for what may take rounds.
func within(t *testing.T, most time.Duration, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !condition(); wait(time.Minute) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", most)
		}
	}
}

// differences are the lines of the history about replicas that differ.
func (w *fixture) differences() (lines []string) {
	for _, c := range w.node.View().VirtualStorage(vsName).History {
		if c.What == state.ChangeDiffers {
			lines = append(lines, fmt.Sprintf("%s on %s: %s", c.RelativePath, c.Storage, c.Why))
		}
	}
	return lines
}

func (w *fixture) verified(c *cataloguetest.Memory, path string) map[string]time.Time {
	return c.Verified(key(path))
}

// Every replica is verified within the interval, and at the pace of the interval: no burst at the
// start, and nothing twice.
func TestVerifier_goesRoundWithinTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var paths []string
		for n := range 20 {
			paths = append(paths, fmt.Sprintf("%02d.git", n))
			w.put(paths[n], "x", "g1", "g2", "g3")
		}
		_, c, stop := w.verifying(t, Config{}, paths...)
		defer stop()
		count := func() (n int) {
			for _, path := range paths {
				if len(w.verified(c, path)) == 3 {
					n++
				}
			}
			return n
		}
		wait(round / 2)
		if n := count(); n < 10 || n > 14 {
			t.Errorf("%d of 20 are verified after half of the interval", n)
		}
		wait(round / 2)
		if n := count(); n != 20 {
			t.Errorf("%d of 20 are verified after the interval", n)
		}
		begun := time.Now()
		wait(round)
		for _, path := range paths {
			for storage, at := range w.verified(c, path) {
				if at.Before(begun) {
					t.Errorf("%s on %s was not verified in the second round", path, storage)
				}
			}
		}
		if lines := w.differences(); len(lines) > 0 || w.node.View().Len() > 0 {
			t.Errorf("found %q in replicas that are alike", lines)
		}
		if lists := w.called("ListRefs", "g1"); lists < 40 || lists > 60 {
			t.Errorf("the primary listed references %d times in two rounds of 20", lists)
		}
	})
}

// What differs behind the ledger's back is in doubt, in the history, in the log, and then repaired
// from the primary; the next look finds it alike.
func TestVerifier_findsWhatTheLedgerDoesNotExplain(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(w *fixture)
		line  string
		want  string // at last, on every storage
	}{
		"references of a secondary": {func(w *fixture) { w.put("a.git", "other", "g3") }, "a.git on g3: its references differ", "x"},
		"references of the primary": {func(w *fixture) { w.put("a.git", "hooked", "g1") }, "a.git on g2: its references differ\na.git on g3: its references differ", "hooked"},
		"a missing replica":         {func(w *fixture) { w.lose("a.git", "g2") }, "a.git on g2: it lacks the repository, which the primary has", "x"},
		"a primary without it":      {func(w *fixture) { w.lose("a.git", "g1") }, "a.git on g2: it has the repository, which the primary lacks\na.git on g3: it has the repository, which the primary lacks", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				w.untracked = "a.git"
				w.put("a.git", "x", "g1", "g2", "g3")
				w.put("b.git", "x", "g1", "g2", "g3")
				_, c, stop := w.verifying(t, Config{}, "a.git", "b.git")
				defer stop()
				row.spoil(w)
				within(t, round, func() bool { return len(w.differences()) > 0 })
				if got := strings.Join(w.differences(), "\n"); got != row.line {
					t.Errorf("the history says %q, want %q", got, row.line)
				}
				until(t, time.Hour, func() bool {
					return w.entry("a.git") == nil && w.content("g1", "a.git") == row.want &&
						w.content("g2", "a.git") == row.want && w.content("g3", "a.git") == row.want
				})
				if w.entry("b.git") != nil {
					t.Errorf("another repository: %v", w.entry("b.git"))
				}
				within(t, round, func() bool { return len(w.verified(c, "a.git")) == 3 })
				if n := len(w.differences()); n != strings.Count(row.line, "\n")+1 {
					t.Errorf("%d lines in the history after it was repaired", n)
				}
			})
		})
	}
}

// A write between two looks, or under way at one, explains a difference, however often it comes.
func TestVerifier_takesNoWriteForADifference(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "x", "g1", "g2", "g3")
		r, c, stop := w.verifying(t, Config{PauseBudget: time.Second}, "a.git")
		defer stop()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; ctx.Err() == nil; n++ {
				if err := w.writeFor(ctx, "a.git", fmt.Sprint("x", n), false, 700*time.Millisecond); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				pause(ctx, 300*time.Millisecond)
			}
		}()
		for range 30 {
			if _, _, err := r.Verify(ctx, key("a.git")); err != nil {
				t.Error(err)
			}
			wait(7 * time.Second)
		}
		cancel()
		<-done
		if lines := w.differences(); len(lines) > 0 {
			t.Errorf("found %q", lines)
		}
		until(t, time.Hour, func() bool { return w.equal() == "" })
		found, noted, err := r.Verify(t.Context(), key("a.git"))
		if noted != nil || err != nil || len(found.Alike) != 3 || len(w.verified(c, "a.git")) != 3 {
			t.Errorf("when all is quiet: %+v, %v, %v", found, noted, err)
		}
	})
}

// A storage that is behind, away or in doubt makes no finding; what can be compared is.
func TestVerifier_comparesWhatCanBeCompared(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "x", "g1", "g2", "g3")
		r, _, stop := w.verifying(t, Config{VerificationInterval: -1})
		defer stop()
		w.reach("g3", false)
		found, _, err := r.Verify(t.Context(), key("a.git"))
		if err != nil || !slices.Equal(found.Alike, []string{"g1", "g2"}) || !slices.Equal(found.Unknown, []string{"g3"}) || found.Why == nil {
			t.Errorf("one is away: %+v, %v", found, err)
		}
		must.Succeed(t, w.write(t.Context(), "a.git", "y", false))
		until(t, time.Hour, func() bool { e := w.entry("a.git"); return e != nil && slices.Equal(e.Behind, []string{"g3"}) })
		found, _, err = r.Verify(t.Context(), key("a.git"))
		if err != nil || !slices.Equal(found.Alike, []string{"g1", "g2"}) || !slices.Equal(found.Skipped, []string{"g3"}) {
			t.Errorf("one is behind: %+v, %v", found, err)
		}
		w.reach("g1", false)
		found, _, err = r.Verify(t.Context(), key("a.git"))
		if err != nil || len(found.Alike) > 0 || len(found.Differences) > 0 {
			t.Errorf("the primary is away: %+v, %v", found, err)
		}
		w.reach("g1", true)
		if _, _, err := r.Verify(t.Context(), key("none.git")); !errors.Is(err, ErrNoRepository) {
			t.Errorf("one that is not there: %v", err)
		}
		if lines := w.differences(); len(lines) > 0 {
			t.Errorf("found %q", lines)
		}
	})
}

// The references under which a storage keeps the loose ends of a pool are its own; in a repository
// that is no pool they count.
func TestVerifier_leavesOutTheLooseEndsOfPools(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, _, stop := w.verifying(t, Config{VerificationInterval: -1})
		defer stop()
		for path, differ := range map[string]int{"@pools/p.git": 0, "a.git": 2} {
			w.put(path, "refs/heads/main:1 refs/dangling/1:1", "g1")
			w.put(path, "refs/heads/main:1 refs/dangling/2:2", "g2")
			w.put(path, "refs/heads/main:1", "g3")
			found := r.verifier.compare(t.Context(), key(path), []string{"g1", "g2", "g3"}, nil)
			if len(found.Differences) != differ || len(found.Alike) != 3-differ {
				t.Errorf("%s: %+v", path, found.Findings)
			}
			for _, storage := range []string{"g1", "g2", "g3"} {
				w.lose(path, storage)
			}
		}
	})
}

// Damage is found by a check of the objects: the replica is made again from nothing, and an alarm
// stays until a check finds it sound. The primary's is in the history, and nothing is copied.
func TestVerifier_findsDamage(t *testing.T) {
	for _, storage := range []string{"g1", "g3"} {
		bubble(t, func(t *testing.T, w *fixture) {
			w.put("a.git", "x", "g1", "g2", "g3")
			w.mu.Lock()
			w.damaged[storage+"a.git"] = true
			w.mu.Unlock()
			r, _, stop := w.verifying(t, Config{FsckSample: 1, VerificationInterval: 10 * time.Minute}, "a.git")
			defer stop()
			within(t, 2*round, func() bool { return len(r.Damages()) > 0 }) // of which one in three comes to the replica
			if got := w.differences(); !slices.Contains(got, "a.git on "+storage+": damaged: missing blob 1234") {
				t.Errorf("the history says %q", got)
			}
			if d := r.Damages()[0]; d.Storage != storage || d.RelativePath != "a.git" || d.What != "missing blob 1234" {
				t.Errorf("the alarm says %+v", d)
			}
			until(t, time.Hour, func() bool { return w.entry("a.git") == nil })
			if storage == "g1" { // nothing else can be made of the primary's than what a person decides
				if w.called("ReplicateRepository", "g1") > 0 {
					t.Error("something was copied onto the primary")
				}
				w.mu.Lock()
				delete(w.damaged, "g1a.git")
				w.mu.Unlock()
			} else if w.called("RemoveRepository", "g3") != 1 {
				t.Errorf("the damaged replica was removed %d times, to be copied from nothing", w.called("RemoveRepository", "g3"))
			}
			within(t, round, func() bool { return len(r.Damages()) == 0 })
		})
	}
}

// Requests come before everything else and at once; an instance that does not lead does nothing,
// and the verification waits while Postgres is away.
func TestVerifier_followsRequests(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var paths []string
		for n := range 50 {
			paths = append(paths, fmt.Sprintf("%02d.git", n))
			w.put(paths[n], "x", "g1", "g2", "g3")
		}
		var leads atomic.Bool
		w.leads = leads.Load
		r, c, stop := w.verifying(t, Config{VerificationInterval: -1}, paths...)
		defer stop()
		waiting := func() int {
			n, _, err := c.Waiting(t.Context(), vsName, round, 1000)
			must.Succeed(t, err)
			return n
		}
		if _, err := c.Request(t.Context(), queue.Marked{Key: state.Key{VirtualStorage: vsName}}); err != nil {
			t.Fatal(err)
		}
		wait(time.Hour)
		if n := waiting(); n != 50 {
			t.Errorf("one that does not lead verified %d", 50-n)
		}
		leads.Store(true)
		c.SetAway(true)
		wait(time.Hour)
		c.SetAway(false)
		until(t, time.Hour, func() bool { return waiting() == 0 })
		if n := r.Verified(vsName); n != (VerifiedCount{Repositories: 50}) {
			t.Errorf("counted %+v", n)
		}
		wait(2 * round)
		if n := r.Verified(vsName); n.Repositories != 50 {
			t.Errorf("%d were verified although the interval is off", n.Repositories-50)
		}
	})
}

// recovered is a recovery that left storages serving beside the first one.
func (w *fixture) recovered(beside ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := *w.view
	next.VirtualStorages = slices.Clone(w.view.VirtualStorages)
	vs := next.VirtualStorage(vsName)
	vs.History = slices.Clone(vs.History)
	for _, storage := range append([]string{""}, beside...) {
		vs.History = append(vs.History, state.Change{
			Index: next.Index, Epoch: vs.Epoch, Time: time.Now().UnixMilli(), What: state.ChangeRecovered, Storage: storage,
		})
	}
	w.view = &next
}

// After a recovery that left several storages serving, every repository is compared before the
// rounds, also while these are off. A replica that differs is found and repaired, and the virtual
// storage is named until all were looked at.
func TestVerifier_comparesAfterARecovery(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var paths []string
		for n := range 30 {
			paths = append(paths, fmt.Sprintf("%02d.git", n))
			w.put(paths[n], "x", "g1", "g2", "g3")
		}
		r, c, stop := w.verifying(t, Config{VerificationInterval: -1}, paths...)
		defer stop()
		wait(time.Hour)
		if n := r.Verified(vsName); n.Repositories != 0 || len(r.NotCompared()) != 0 {
			t.Fatalf("without a recovery %+v, and %v", n, r.NotCompared())
		}
		c.SetAway(true)
		w.recovered("g2")
		w.lose(paths[29], "g2") // a write that g2 missed, and of which the entry is lost
		until(t, time.Hour, func() bool { return len(r.NotCompared()) == 1 })
		if n := r.NotCompared()[0]; n.VirtualStorage != vsName || !slices.Equal(n.Storages, []string{"g2"}) || n.Left >= 0 {
			t.Errorf("while Postgres is away: %+v", n)
		}
		c.SetAway(false)
		until(t, time.Hour, func() bool {
			return len(w.differences()) == 1 && w.entry(paths[29]) == nil && w.content("g2", paths[29]) == "x"
		})
		until(t, time.Hour, func() bool { return len(r.NotCompared()) == 0 })
		if n := r.Verified(vsName); n.Repositories != 30 || n.Differing != 1 {
			t.Errorf("counted %+v", n)
		}
		wait(2 * round)
		if n := r.Verified(vsName); n.Repositories != 30 {
			t.Errorf("%d were verified although the rounds are off", n.Repositories-30)
		}
	})
}
