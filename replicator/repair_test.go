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
	"praefect/test/must"
)

var repairs = Config{PauseBudget: 5 * time.Second, PauseTries: 3, CopyFloor: 10 * time.Second, LookTimeout: 10 * time.Second}

// repairing runs what a repair needs beside it, until the test ends.
func (w *fixture) repairing(t *testing.T, cfg Config) func(repairRequest) outcome {
	r := w.replicator(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	stop, seen := w.running(), make(chan struct{})
	go func() { defer close(seen); r.firstSeen.run(ctx, w.node) }()
	t.Cleanup(func() { cancel(); <-seen; stop() })
	return func(o repairRequest) outcome { return r.worker.repair(ctx, o) }
}

// repaired repairs until nothing is left, as the queue would.
func repaired(t *testing.T, repair func(repairRequest) outcome, path string) {
	t.Helper()
	for began, failures := time.Now(), 0; ; {
		out := repair(repairRequest{key: key(path)})
		if out.err == nil && out.again == 0 {
			return
		}
		if out.err != nil {
			failures++
			out.again = backOffAfter(time.Second, time.Minute, failures, 0.5)
		}
		if time.Since(began) > time.Hour {
			t.Fatalf("not repaired within an hour: %v", out.err)
		}
		time.Sleep(out.again)
	}
}

// scenarios leave a.git in need of repair.
var scenarios = []struct {
	name  string
	setUp func(t *testing.T, w *fixture)
	want  string // content in the end
}{
	{name: "written", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "0", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "1", false)
	}},
	{name: "created", want: "1", setUp: func(t *testing.T, w *fixture) { w.mustWrite(t, "a.git", "1", false) }},
	{name: "deleted", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "0", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "", false)
	}},
	{name: "written without a status", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "0", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "1", true)
	}},
	{name: "deleted without a status", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "0", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "", true)
	}},
	{name: "written where another reference is in the way", want: "a/b c/d+hooks", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "a b c/d", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "a/b c/d+hooks", false)
	}},
	{name: "beyond repair in place", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "0", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "1", false)
		w.ruined["g2a.git"] = true
	}},
	{name: "linked to a pool", want: "1@pools/p.git", setUp: func(t *testing.T, w *fixture) {
		w.put("@pools/p.git", "0", "g1", "g2", "g3")
		w.put("a.git", "0", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "1@pools/p.git", false)
	}},
	{name: "no longer linked to a pool", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("@pools/p.git", "0", "g1", "g2", "g3")
		w.put("a.git", "1@pools/p.git", "g1", "g2", "g3")
		w.mustWrite(t, "a.git", "1", false)
	}},
	{name: "in doubt and equal", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g1", "g2", "g3")
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, RefsOnly: true, Targets: []string{"g1", "g2"}})
	}},
	{name: "in doubt and perhaps different", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g1")
		w.put("a.git", "0", "g2", "g3")
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, RefsOnly: true, Targets: []string{"g1", "g2", "g3"}})
	}},
	{name: "in doubt with more than refs", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g1", "g2", "g3")
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, Targets: []string{"g1", "g2", "g3"}})
	}},
	{name: "in doubt and different beyond the refs", want: "1+config", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "1+config", "g1")
		w.put("a.git", "1", "g2", "g3")
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, Targets: []string{"g1", "g2", "g3"}})
	}},
	{name: "in doubt and lost on the primary", want: "1", setUp: func(t *testing.T, w *fixture) {
		w.put("a.git", "1", "g2", "g3")
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, RefsOnly: true, Targets: []string{"g1"}})
	}},
	{name: "in doubt and nowhere", setUp: func(t *testing.T, w *fixture) {
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, RefsOnly: true, Targets: []string{"g1"}})
	}},
}

func (w *fixture) mustWrite(t *testing.T, path, content string, lost bool) {
	t.Helper()
	must.Succeed(t, w.write(t.Context(), path, content, lost))
}

// inDoubt leaves an in-doubt intent.
func (w *fixture) inDoubt(path string, scope state.Scope) {
	w.must(
		state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{path}, Kind: state.PrimaryOnly, Scope: scope}},
		state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: []string{path}, InDoubt: true}},
	)
}

func TestRepair_everyScenarioEndsEqual(t *testing.T) {
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				repair := w.repairing(t, repairs)
				scenario.setUp(t, w)
				w.expect(t, repair, scenario.want)
			})
		})
	}
}

// expect repairs a.git, as often as something is found to be wrong with it, and
// expects the content everywhere.
func (w *fixture) expect(t *testing.T, repair func(repairRequest) outcome, content string) {
	t.Helper()
	for range 5 {
		repaired(t, repair, "a.git")
		time.Sleep(time.Minute) // late effects and lingering intents end
		if w.equal() == "" {
			break
		}
	}
	w.wantEqual(t)
	if got := w.content("g1", "a.git"); got != content {
		t.Errorf("content %q, want %q", got, content)
	}
}

// TestRepair_survivesAnyFailedCall lets the first call of each method to each
// storage end in every possible way.
func TestRepair_survivesAnyFailedCall(t *testing.T) {
	broken := status.Error(codes.Internal, "broken")
	gone := status.Error(codes.Unavailable, "connection lost")
	fates := map[string]fate{
		"refused":                  {err: broken},
		"refused after the effect": {err: broken, happens: true},
		"lost":                     {err: gone, lost: true},
		"lost after the effect":    {err: gone, lost: true, happens: true},
		"lost before the effect":   {err: gone, lost: true, happens: true, late: 8 * time.Second},
		"too slow":                 {slow: time.Hour},
		"too slow, effect later":   {slow: time.Hour, late: time.Second},
	}
	for _, method := range []string{"RepositoryExists", "RepositorySize", "ListRefs", "ReplicateRepository", "DeleteRefs", "GetObjectPool", "LinkRepositoryToObjectPool", "DisconnectGitAlternates", "RemoveRepository", "OptimizeRepository", "Fsck"} {
		for _, storage := range []string{"g1", "g2"} {
			for name, f := range fates {
				t.Run(method+" "+storage+" "+name, func(t *testing.T) {
					met := 0
					for _, scenario := range scenarios {
						bubble(t, func(t *testing.T, w *fixture) {
							repair := w.repairing(t, repairs)
							scenario.setUp(t, w)
							spent := false
							w.faults = func(s, m string) fate {
								if spent || s != storage || m != method {
									return fate{}
								}
								spent = true
								met++
								return f
							}
							w.expect(t, repair, scenario.want)
						})
						if t.Failed() {
							t.Fatalf("scenario: %s", scenario.name)
						}
					}
					if met == 0 && storage == "g2" && method != "Fsck" {
						t.Error("no scenario made the call")
					}
				})
			}
		}
	}
}

// TestRepair_survivesAnyFailedProposal lets the first proposal of each command
// fail, with and without having been applied.
func TestRepair_survivesAnyFailedProposal(t *testing.T) {
	kinds := map[string]func(state.Command) bool{
		"open":    func(c state.Command) bool { return c.Open != nil },
		"close":   func(c state.Command) bool { return c.Close != nil },
		"in-sync": func(c state.Command) bool { return c.MarkInSync != nil },
		"resolve": func(c state.Command) bool { return c.ResolveDoubt != nil },
		"remake":  func(c state.Command) bool { return c.Remake != nil },
	}
	for kind, is := range kinds {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied=%v", kind, applied), func(t *testing.T) {
				met := 0
				for _, scenario := range scenarios {
					bubble(t, func(t *testing.T, w *fixture) {
						repair := w.repairing(t, repairs)
						scenario.setUp(t, w)
						synctest.Wait()
						spent := false
						w.mu.Lock()
						w.fate = func(cmds []state.Command) (bool, error) {
							if spent || !is(cmds[0]) {
								return true, nil
							}
							spent = true
							met++
							return applied, errors.New("leadership lost")
						}
						w.mu.Unlock()
						w.expect(t, repair, scenario.want)
					})
					if t.Failed() {
						t.Fatalf("scenario: %s", scenario.name)
					}
				}
				if met == 0 {
					t.Error("no scenario proposed it")
				}
			})
		}
	}
}

// TestRepair_survivesADeath ends the process while a call is under way; its
// effect comes later, at the deadline at the latest.
func TestRepair_survivesADeath(t *testing.T) {
	for _, scenario := range scenarios {
		for _, method := range []string{"RepositoryExists", "ListRefs", "ReplicateRepository", "DeleteRefs", "GetObjectPool", "LinkRepositoryToObjectPool", "DisconnectGitAlternates", "RemoveRepository"} {
			t.Run(scenario.name+" "+method, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *fixture) {
					scenario.setUp(t, w)
					ctx, die := context.WithCancel(t.Context())
					r, stop := w.replicator(repairs), w.running()
					w.mu.Lock()
					w.faults = func(_, m string) fate {
						if m == method {
							w.node.dead = true
							die()
							return fate{happens: true, slow: time.Second, late: 9 * time.Second}
						}
						return fate{}
					}
					w.mu.Unlock()
					seen := make(chan struct{})
					go func() { defer close(seen); r.firstSeen.run(ctx, w.node) }()
					for ctx.Err() == nil {
						out := r.worker.repair(ctx, repairRequest{key: key("a.git")})
						if out.err == nil && out.again == 0 {
							break
						}
						time.Sleep(max(out.again, time.Second))
					}
					die()
					<-seen
					w.mu.Lock()
					w.faults, w.node.dead = nil, true
					w.mu.Unlock()
					stop()
					w.start()
					w.expect(t, w.repairing(t, repairs), scenario.want)
				})
			})
		}
	}
}

func TestRepair_copiesInParallelAndTellsTheSource(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false)
		w.meet("", "ReplicateRepository", fate{slow: 3 * time.Second})
		began := time.Now()
		if out := repair(repairRequest{key: key("a.git")}); out.err != nil || out.again != 0 || len(out.synced) != 2 {
			t.Errorf("outcome: %+v", out)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestRepair_looksAgainUnderItsIntent has another repair come first while one
// gets ready.
func TestRepair_looksAgainUnderItsIntent(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false)
		w.meetFirst(1, "", "RepositorySize", fate{slow: 5 * time.Second})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			time.Sleep(time.Second)
			repaired(t, repair, "a.git")
		}()
		repaired(t, repair, "a.git")
		<-ended
		if n := w.called("ReplicateRepository", "g2"); n != 1 {
			t.Errorf("copied %d times", n)
		}
	})
}

func TestRepair_oneFailedTargetDoesNotStopTheOther(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false)
		w.meet("g2", "ReplicateRepository", fate{err: status.Error(codes.Internal, "disk full")})
		out := repair(repairRequest{key: key("a.git")})
		if status.Code(out.err) != codes.Internal {
			t.Errorf("outcome: %+v", out)
		}
		if entry := w.entry("a.git"); !entry.IsBehind("g2") || entry.IsBehind("g3") {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestRepair_waitsForTheBoundOfALostCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false)
		w.meetFirst(1, "g2", "ReplicateRepository", fate{err: status.Error(codes.Unavailable, "connection lost"), lost: true, happens: true, late: 9 * time.Second})
		if out := repair(repairRequest{key: key("a.git")}); out.err == nil {
			t.Fatal("the lost copy did not fail")
		}
		lost := time.Now()
		synctest.Wait() // the intent closes, in doubt
		if entry := w.entry("a.git"); !entry.HasDoubt() || entry.IsBehind("g3") {
			t.Fatalf("entry: %+v", entry)
		}
		out := repair(repairRequest{key: key("a.git")})
		if out.err != nil || out.again < 9*time.Second {
			t.Errorf("before the bound: %+v", out)
		}
		repaired(t, repair, "a.git")
		if waited := time.Since(lost); waited < repairs.CopyFloor {
			t.Errorf("copied again after %v", waited)
		}
		w.wantEqual(t)
	})
}

func TestRepair_neverResolvesWhileOneThatMayHaveItIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.put("a.git", "1", "g3")
		w.inDoubt("a.git", state.Scope{RefsOnly: true, Targets: []string{"g1"}})
		w.reach("g3", false)
		if out := repair(repairRequest{key: key("a.git")}); out.err == nil {
			t.Errorf("outcome: %+v", out)
		}
		if !w.entry("a.git").HasDoubt() {
			t.Error("resolved")
		}
		w.reach("g3", true)
		w.expect(t, repair, "1")
	})
}

func TestRepair_saysWhatThePrimaryLacks(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false)
		w.put("a.git", "", "g1")
		w.mu.Lock()
		delete(w.disks["g1"].repos, "a.git")
		w.mu.Unlock()
		w.put("a.git", "0", "g2")
		out := repair(repairRequest{key: key("a.git")})
		if got, want := errorText(out.err), `the primary lacks a repository that "g2" has`; got != want {
			t.Errorf("error %q, want %q", got, want)
		}
		if entry := w.entry("a.git"); !entry.IsBehind("g2") || entry.IsBehind("g3") || w.content("g2", "a.git") != "0" {
			t.Errorf("entry: %+v", entry)
		}
	})
}

func TestRepair_aPanicEndsOneRepair(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.mustWrite(t, "a.git", "1", false)
		w.faults = func(_, method string) fate {
			if method == "ReplicateRepository" {
				w.faults = nil
				w.mu.Unlock() // the caller will not come to it
				panic("planted")
			}
			return fate{}
		}
		if out := repair(repairRequest{key: key("a.git")}); out.err == nil {
			t.Error("the panic went unnoticed")
		}
		w.expect(t, repair, "1")
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
