package replicator

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// founded runs a test in the fixture of a cluster that begins.
func founded(t *testing.T, test func(t *testing.T, w *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newFounded(t)
		test(t, w)
		for _, broken := range w.broke() {
			t.Error(broken)
		}
	})
}

// all tells what every storage has of a repository.
func (w *fixture) all(path string) string {
	return strings.Join([]string{w.content("g1", path), w.content("g2", path), w.content("g3", path)}, " | ")
}

func (w *fixture) inConflict(path string) string {
	e := w.entry(path)
	if e == nil {
		return ""
	}
	var names []string
	for _, c := range e.Conflicts {
		names = append(names, c.Storage)
	}
	return strings.Join(names, " ")
}

// TestFirstCopy_whatStoragesBeginWith: nothing is lost that the source of a copy does
// not contain. A value stands for a commit, its prefixes for the ancestors of that.
func TestFirstCopy_whatStoragesBeginWith(t *testing.T) {
	for _, row := range []struct {
		name       string
		g1, g2, g3 string
		want       string // "" for what each began with
		conflict   string
	}{
		{name: "all alike", g1: "main:ab", g2: "main:ab", g3: "main:ab"},
		{name: "the first is one commit behind", g1: "main:a", g2: "main:ab", g3: "main:ab", want: "main:ab | main:ab | main:ab"},
		{name: "the second is", g1: "main:ab", g2: "main:a", g3: "main:ab", want: "main:ab | main:ab | main:ab"},
		{name: "the last is the furthest", g1: "main:a", g2: "main:ab", g3: "main:abc", want: "main:abc | main:abc | main:abc"},
		{name: "a branch more on the last", g1: "main:a", g2: "main:a", g3: "main:a new:b", want: "main:a new:b | main:a new:b | main:a new:b"},
		{name: "a merged branch less on the furthest", g1: "done:ab main:a", g2: "main:abc", g3: "main:abc", want: "main:abc | main:abc | main:abc"},
		{name: "only the last has it", g3: "main:a", want: "main:a | main:a | main:a"},
		{name: "the first has it without references", g1: "+", g2: "main:a", g3: "+", want: "main:a | main:a | main:a"},
		{name: "the second went another way", g1: "main:ab", g2: "main:ac", g3: "main:ab", conflict: "g2"},
		{name: "each went its own way", g1: "main:ab", g2: "main:ac", g3: "main:ad", conflict: "g2 g3"},
		{name: "the second is ahead and the third went another way", g1: "main:a", g2: "main:ab", g3: "main:ac",
			want: "main:ab | main:ab | main:ac", conflict: "g3"},
		{name: "each has a branch of its own", g1: "a:a main:x", g2: "b:b main:x", g3: "main:x",
			want: "a:a main:x | b:b main:x | a:a main:x", conflict: "g2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			founded(t, func(t *testing.T, w *fixture) {
				for name, content := range map[string]string{"g1": row.g1, "g2": row.g2, "g3": row.g3} {
					if content != "" {
						w.put("a.git", content, name)
					}
				}
				began := w.all("a.git")
				w.backfill(3, "g1")
				r, stop := w.backfilling(t)
				defer stop()
				until(t, time.Minute, func() bool { return w.serves("g2") && w.serves("g3") })
				w.setQueueFault(nil)
				r.Enqueue(key("a.git"))
				time.Sleep(time.Minute)
				want := row.want
				if want == "" {
					want = began
				}
				if got := w.all("a.git"); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got := w.inConflict("a.git"); got != row.conflict {
					t.Errorf("in conflict: %q, want %q", got, row.conflict)
				}
				if row.conflict == "" && w.entry("a.git") != nil {
					t.Errorf("the ledger lists it: %+v", w.entry("a.git"))
				}
				if row.name == "all alike" && w.called("ReplicateRepository", "g2") != 3 {
					t.Errorf("%d copies onto g2, want those of the 3 others", w.called("ReplicateRepository", "g2"))
				}
			})
		})
	}
}

// TestFirstCopy_writesComeFirst: what a client has written before the comparison is
// never undone, and nothing that only the other side has is lost.
func TestFirstCopy_writesComeFirst(t *testing.T) {
	for _, row := range []struct{ name, g1, g2, write, want, conflict string }{
		{"a push beside a commit more", "main:a", "main:ab", "main:ac", "main:ac | main:ab", "g2"},
		{"a push onto it", "main:a", "main:ab", "main:abc", "main:abc | main:abc", ""},
		{"a branch is deleted", "main:a old:b", "main:a old:b", "main:a", "main:a | main:a old:b", "g2"},
		{"a merged branch is deleted", "main:ab old:a", "main:ab old:a", "main:ab", "main:ab | main:ab", ""},
		{"the repository is deleted", "main:a", "main:a", "", " | main:a", "g2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			founded(t, func(t *testing.T, w *fixture) {
				w.put("a.git", row.g1, "g1", "g3")
				w.put("a.git", row.g2, "g2")
				w.mustWrite(t, "a.git", row.write, false)
				r, stop := w.backfilling(t)
				defer stop()
				until(t, 5*time.Minute, func() bool { return w.serves("g2") && w.serves("g3") })
				w.setQueueFault(nil)
				r.Enqueue(key("a.git"))
				time.Sleep(time.Minute)
				if got, want := w.content("g1", "a.git")+" | "+w.content("g2", "a.git"), row.want; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got := w.inConflict("a.git"); !strings.HasPrefix(got, row.conflict) || row.conflict == "" && got != "" {
					t.Errorf("in conflict: %q, want %q", got, row.conflict)
				}
			})
		})
	}
}

// TestFirstCopy_onceComparedWritesMayOverwrite: a storage that was compared misses
// our writes and nothing else, so that even a forced push is copied onto it.
func TestFirstCopy_onceComparedWritesMayOverwrite(t *testing.T) {
	founded(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "main:ab", "g1", "g2", "g3")
		w.backfill(50, "g1")
		r, stop := w.backfilling(t)
		defer stop()
		w.replicates(time.Second)
		until(t, time.Minute, func() bool { return w.storage("g2").Uncompared == "" && w.storage("g3").Uncompared == "" })
		w.mustWrite(t, "a.git", "main:ac", false)
		r.Enqueue(key("a.git"))
		until(t, 10*time.Minute, func() bool { return w.serves("g2") && w.serves("g3") })
		w.setQueueFault(nil)
		until(t, 10*time.Minute, func() bool { return w.equal() == "" })
		if got, want := w.all("a.git"), "main:ac | main:ac | main:ac"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestFirstCopy_laterStorages: one that is added later, or has another disk, may have
// missed any write, so that nothing is copied from it, and nothing on it is lost.
func TestFirstCopy_laterStorages(t *testing.T) {
	for name, come := range map[string]func(w *fixture){
		"another disk": func(w *fixture) { w.replace("g2", "a disk restored from a backup") },
		"added": func(w *fixture) {
			w.must(state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: []string{"g1", "g3"}}})
			w.must(state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: []string{"g1", "g3", "g2"}}})
			w.must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: "g2", FilesystemID: "disk of g2"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				come(w)
				for path, contents := range map[string][2]string{
					"alike.git": {"main:a", "main:a"}, "old.git": {"main:ab", "main:a"}, "merged.git": {"main:ab", "done:a main:a"},
					"ahead.git": {"main:a", "main:ab"}, "apart.git": {"main:ab", "main:ac"}, "only there.git": {"", "main:a"}, "only here.git": {"main:a", ""},
				} {
					for _, one := range []struct{ content, storages string }{{contents[0], "g1 g3"}, {contents[1], "g2"}} {
						if one.content != "" {
							w.put(path, one.content, strings.Fields(one.storages)...)
						}
					}
				}
				_, stop := w.backfilling(t)
				defer stop()
				until(t, time.Minute, func() bool { return w.serves("g2") })
				for path, want := range map[string]string{
					"alike.git": "main:a", "old.git": "main:ab", "merged.git": "main:ab", "only here.git": "main:a",
					"ahead.git": "main:ab", "apart.git": "main:ac", "only there.git": "main:a",
				} {
					if got := w.content("g2", path); got != want {
						t.Errorf("%s on g2: got %q, want %q", path, got, want)
					}
					wantConflict := map[string]string{"ahead.git": "g2", "apart.git": "g2", "only there.git": "g2"}[path]
					if got := w.inConflict(path); got != wantConflict {
						t.Errorf("%s is in conflict on %q, want %q", path, got, wantConflict)
					}
				}
			})
		})
	}
}

// TestFirstCopy_conflictIsResolved: by an operator's word for either side, or as the
// primary gets what it lacked.
func TestFirstCopy_conflictIsResolved(t *testing.T) {
	for _, row := range []struct {
		name, g1, g2, want string
		resolve            func(w *fixture)
	}{
		{"for the other side", "main:ab", "main:ac", "main:ac", accepting("g2")},
		{"for the primary", "main:ab", "main:ac", "main:ab", accepting("g1")},
		{"for the side that has none", "", "main:ac", "", accepting("g1")},
		{"for the side that has one", "", "main:ac", "main:ac", accepting("g2")},
		{"by a merge", "main:ab", "main:ac", "main:ab merged:ac", func(w *fixture) { w.mustWrite(w.t, "a.git", "main:ab merged:ac", false) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				w.replace("g2", "another disk")
				if row.g1 != "" {
					w.put("a.git", row.g1, "g1", "g3")
				}
				w.put("a.git", row.g2, "g2")
				_, stop := w.backfilling(t)
				defer stop()
				until(t, time.Minute, func() bool { return w.serves("g2") })
				if got := w.inConflict("a.git"); got != "g2" {
					t.Fatalf("in conflict: %q, want g2", got)
				}
				c := w.entry("a.git").Conflicts[0]
				if c.Primary != "g1" || c.There.Commit != "ac" || row.g1 != "" && (c.Differing != 1 || c.Sample[0].Name != "main" || c.Here.Commit != "ab") ||
					c.Here.Absent != (row.g1 == "") {
					t.Errorf("the conflict is described as %+v", c)
				}
				until(t, time.Minute, func() bool { return !w.entry("a.git").HasLive() })
				row.resolve(w)
				w.setQueueFault(nil)
				until(t, 20*time.Minute, func() bool { return w.entry("a.git") == nil })
				want := strings.Join([]string{row.want, row.want, row.want}, " | ")
				if got := w.all("a.git"); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}

func accepting(storage string) func(*fixture) {
	return func(w *fixture) {
		w.must(state.Command{AcceptLoss: &state.AcceptLoss{Key: key("a.git"), Storage: storage}})
	}
}

// TestFirstCopy_interrupted: a process that dies, or calls that fail or end unseen, at
// any step of an advance lose nothing, and it comes to its end.
func TestFirstCopy_interrupted(t *testing.T) {
	for name, fault := range map[string]fate{
		"fails":          {err: status.Error(codes.Internal, "no space left")},
		"happens unseen": {err: status.Error(codes.Unavailable, "lost"), lost: true, happens: true, late: 3 * time.Second},
		"is lost":        {err: status.Error(codes.Unavailable, "lost"), lost: true},
	} {
		for _, method := range []string{"ReplicateRepository", "ListRefs", "RepositoryExists", "CheckObjectsExist", "ListCommits"} {
			if fault.late > 0 && method != "ReplicateRepository" {
				continue // the others have no effect
			}
			t.Run(method+" "+name, func(t *testing.T) {
				founded(t, func(t *testing.T, w *fixture) {
					w.put("a.git", "main:a", "g1")
					w.put("a.git", "main:ab", "g2", "g3")
					w.meetFirst(3, "", method, fault)
					_, stop := w.backfilling(t)
					defer stop()
					until(t, 10*time.Minute, func() bool { return w.serves("g2") && w.serves("g3") })
					w.setQueueFault(nil)
					until(t, 20*time.Minute, func() bool { return w.entry("a.git") == nil })
					if got, want := w.all("a.git"), "main:ab | main:ab | main:ab"; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				})
			})
		}
	}
}

// TestFirstCopy_processDies in the middle of an advance: the next incarnation accounts
// for it before anything else is copied.
func TestFirstCopy_processDies(t *testing.T) {
	founded(t, func(t *testing.T, w *fixture) {
		w.put("a.git", "main:a", "g1")
		w.put("a.git", "main:ab", "g2", "g3")
		w.meet("", "ReplicateRepository", fate{slow: time.Hour})
		_, stop := w.backfilling(t)
		until(t, time.Minute, func() bool { return w.called("ReplicateRepository", "g1") > 0 })
		w.mu.Lock()
		w.node.dead, w.faults = true, nil
		w.mu.Unlock()
		stop()
		w.start()
		e := w.entry("a.git")
		if e == nil || e.Advancing != "g2" || !e.HasDoubt() {
			t.Fatalf("the ledger says %+v", e)
		}
		if _, ok := w.node.View().PrimaryOf(key("a.git")); ok {
			t.Error("it is written to")
		}
		_, stop = w.backfilling(t)
		defer stop()
		w.setQueueFault(nil)
		until(t, 10*time.Minute, func() bool { return w.serves("g2") && w.serves("g3") && w.entry("a.git") == nil })
		if got, want := w.all("a.git"), "main:ab | main:ab | main:ab"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestVerify_afterEachCopy: what differs from the primary after a copy that reported
// success does not count as in sync.
func TestVerify_afterEachCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(1, "g1", "g2", "g3")
		w.mu.Lock()
		for _, name := range []string{"g1", "g2", "g3"} {
			w.heads[name+"000.git"] = "refs/heads/main"
		}
		w.heads["g1000.git"] = "refs/heads/other"
		w.leavesHead = true // as Gitaly 18 does
		w.mu.Unlock()
		w.mustWrite(t, "000.git", "other", false)
		stop := w.replicating(t, Config{})
		until(t, time.Minute, func() bool { return w.entry("000.git") == nil })
		stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, name := range []string{"g2", "g3"} {
			if got := w.heads[name+"000.git"]; got != "refs/heads/other" {
				t.Errorf("HEAD on %s names %q", name, got)
			}
		}
	})
}

func TestVerify_aCopyThatLeavesSomethingOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.backfill(1, "g1", "g2", "g3")
		w.mustWrite(t, "000.git", "new", false)
		w.mu.Lock()
		w.sloppy = "g2"
		w.mu.Unlock()
		stop := w.replicating(t, Config{})
		defer stop()
		until(t, time.Minute, func() bool { e := w.entry("000.git"); return e != nil && slices.Equal(e.Behind, []string{"g2"}) })
		time.Sleep(time.Minute)
		if !w.entry("000.git").IsBehind("g2") {
			t.Error("a replica that differs counts as in sync")
		}
		w.mu.Lock()
		w.sloppy = ""
		w.mu.Unlock()
		until(t, 20*time.Minute, func() bool { return w.entry("000.git") == nil })
		if got, want := w.all("000.git"), "new | new | new"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
