package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func TestStatus_table(t *testing.T) {
	backfilling := newInstance(t)
	backfilling.Returned("default", "gitaly-2", "another disk")
	healthy := newInstance(t)
	degraded := newInstance(t)
	degraded.Lose("gitaly-2")
	degraded.WrittenOnlyTo("a.git", "gitaly-1")
	unavailable := newInstance(t)
	unavailable.WrittenOnlyTo("a.git", "gitaly-1")
	unavailable.Lose("gitaly-1")
	for _, row := range []struct {
		name     string
		instance *instance
		code     int
		want     string
	}{
		{"healthy", healthy, 0, `
* default: healthy, primary gitaly-1, epoch 2
   STORAGE   ROLE       STATE    REACHABLE  BEHIND
*  gitaly-1  primary    serving  yes        0
*  gitaly-2  secondary  serving  yes        0

healthy; leader praefect-1; feature level 1; answered by praefect-1
`},
		{"backfilling", backfilling, 3, `
! default: degraded, primary gitaly-1, epoch 3
   STORAGE   ROLE       STATE             REACHABLE  BEHIND
*  gitaly-1  primary    serving           yes        0
~  gitaly-2  secondary  backfilling 4/10  yes        0
! one-good-copy: one of the 2 storages of default serves: each new write has one copy
  run-book: docs/operations/conditions.md#one-good-copy
! storage-not-serving: gitaly-2 of default does not serve: backfilling
  run-book: docs/operations/conditions.md#storage-not-serving

degraded; leader praefect-1; feature level 1; answered by praefect-1
`},
		{"degraded", degraded, 3, `
! default: degraded, primary gitaly-1, epoch 2
   STORAGE   ROLE       STATE    REACHABLE  BEHIND  PROBLEM
*  gitaly-1  primary    serving  yes        0
x  gitaly-2  secondary  serving  no         1       connection refused
! storage-away: praefect-1 cannot reach gitaly-2 of default: connection refused
  run-book: docs/operations/conditions.md#storage-away

degraded; leader praefect-1; feature level 1; answered by praefect-1
`},
		{"unavailable", unavailable, 4, `
x default: unavailable, primary gitaly-1, epoch 2
   STORAGE   ROLE       STATE    REACHABLE  BEHIND  PROBLEM
x  gitaly-1  primary    serving  no         0       connection refused
*  gitaly-2  secondary  serving  yes        1
x no-primary: praefect-1 cannot reach gitaly-1, the primary of default: it takes no writes here
  run-book: docs/operations/conditions.md#no-primary
x repository-unavailable: 1 repository of default cannot be served; list: praefectctl dataloss -virtual-storage default
  run-book: docs/operations/conditions.md#repository-unavailable
! storage-away: praefect-1 cannot reach gitaly-1 of default: connection refused
  run-book: docs/operations/conditions.md#storage-away

unavailable; leader praefect-1; feature level 1; answered by praefect-1
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := praefectctl(t, nil, "-endpoints", row.instance.serve(t), "status")
			if got.code != row.code || "\n"+got.stdout != row.want || got.stderr != "" {
				t.Errorf("got %d, %s\n%swant\n%s", got.code, got.stderr, got.stdout, row.want)
			}
		})
	}
}

func TestStatus_onATerminal(t *testing.T) {
	address := newInstance(t).serve(t)
	for _, row := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{screen, nil, "\x1b[32m●\x1b[0m default: healthy"},
		{screen, []string{"-no-color"}, "● default: healthy"},
		{map[string]string{"LANG": "en_US.UTF-8", "NO_COLOR": "1"}, nil, "● default: healthy"},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, nil, "\x1b[32m*\x1b[0m default: healthy"},
	} {
		got := praefectctl(t, row.env, append(row.args, "-endpoints", address, "status")...)
		if got.code != 0 || !strings.HasPrefix(got.stdout, row.want) {
			t.Errorf("%v %v: got %d\n%q", row.env, row.args, got.code, got.stdout)
		}
	}
}

func TestStatus_json(t *testing.T) {
	i := newInstance(t)
	i.Lose("gitaly-2")
	got := praefectctl(t, nil, "status", "-endpoints", i.serve(t), "-virtual-storage", "default", "-o", "json")
	answer := document[admin.StatusResponse](t, got, exitDegraded)
	if answer.Schema != 1 || answer.VirtualStorages[0].Storages[1].Error != "connection refused" {
		t.Errorf("got %+v", answer)
	}
	praefectctl(t, nil, "status", "-endpoints", i.serve(t), "-virtual-storage", "no").fails(t, exitError, `no virtual storage "no"`) // an unknown virtual storage
}

func TestStatus_withoutALeader(t *testing.T) {
	alone, led := newInstance(t), newInstance(t)
	alone.Raft(func(v *admin.RaftView) { v.Leader = "" })
	alone.Raise(condition.Raised{Name: condition.PrimaryElsewhere, VirtualStorage: "default", Text: "the primary is gitaly-1"})
	address := alone.serve(t)
	praefectctl(t, nil, "-endpoints", address, "status").is(t, outcome{4, `x default: unavailable, primary gitaly-1, epoch 2
   STORAGE   ROLE       STATE    REACHABLE  BEHIND
*  gitaly-1  primary    serving  yes        0
*  gitaly-2  secondary  serving  yes        0
~ primary-not-as-configured: the primary is gitaly-1
  run-book: docs/operations/conditions.md#primary-not-as-configured

x no-leader: praefect-1 reaches no leader: nothing can be changed, and writes stop when the leases end
  run-book: docs/operations/conditions.md#no-leader
unavailable; no leader, so this is what praefect-1 knows by itself
`, ""})
	praefectctl(t, nil, "-endpoints", address, "-o", "json", "status").ends(t, 4, `"leader": "",
  "own_view": true,`) // as JSON
	// Somebody who knows a leader knows better.
	other := led.serveAs(t, "praefect-2", "tcp", "127.0.0.1:0", admin.Access{})
	got := praefectctl(t, nil, "-endpoints", address+","+other, "status")
	if got.code != 0 || !strings.HasSuffix(got.stdout, "healthy; leader praefect-1; feature level 1; answered by praefect-2\n") {
		t.Errorf("of two: got %+v", got)
	}
	praefectctl(t, nil, "-endpoints", closedPort(t)+","+address, "raft", "status").ends(t, 4, "x no-leader: praefect-1 reaches no leader") // raft status
}

// watched is standard output; it ends the watch when it has seen enough.
type watched struct {
	sofar  strings.Builder // not embedded: every text has to come by Write
	enough func(sofar string) bool
	stop   func()
}

func (w *watched) String() string { return w.sofar.String() }

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.sofar.Write(p)
	if w.enough(w.String()) {
		w.stop()
	}
	return n, err
}

func TestStatus_watch(t *testing.T) {
	i := newInstance(t)
	i.Lose("gitaly-2") // being degraded is no reason to end
	for _, row := range []struct {
		terminal bool
		between  string
	}{
		{false, "\n\n! default"},
		{true, "\x1b[H\x1b[2J"},
	} {
		ctx, stop := context.WithCancel(t.Context())
		out := &watched{stop: stop, enough: func(sofar string) bool { return strings.Count(sofar, "answered by") == 3 }}
		got := operator{ctx: ctx, stdout: out, env: map[string]string{"LANG": map[bool]string{true: "C"}[row.terminal]}}.run(t,
			"-endpoints", i.serve(t), "-no-color", "status", "--watch", "--interval", "1ms")
		if got.code != 0 || strings.Count(out.String(), row.between) < 2 {
			t.Errorf("terminal %t: got %+v\n%q", row.terminal, got, out.String())
		}
	}
	i.ctl("status", "-w", "-interval", "0s").fails(t, exitUsage)        // without a pause
	i.ctl("status", "-w", "-virtual-storage", "no").fails(t, exitError) // an unknown virtual storage
}

func TestDataloss(t *testing.T) {
	i := newInstance(t)
	i.ctl("dataloss").is(t, outcome{0, "* every repository is on every storage that serves\n", ""})

	i.WrittenOnlyTo("a.git", "gitaly-1")
	i.ctl("dataloss").is(t, outcome{0, `   VIRTUAL STORAGE  REPOSITORY  AVAILABLE  BEHIND
~  default          a.git       yes        gitaly-2

repositories: 1 behind on a storage, 0 of them unavailable
`, ""})

	i.Lose("gitaly-1")
	i.ctl("-o", "json", "dataloss").is(t, outcome{4, `{
  "schema": 1,
  "repositories": [
    {
      "virtual_storage": "default",
      "relative_path": "a.git",
      "available": false,
      "behind": [
        "gitaly-2"
      ]
    }
  ]
}
`, ""})
}

func TestDataloss_ofMoreThanOnePage(t *testing.T) {
	i := newInstance(t)
	const count = admin.MaxPage + 1
	for n := range count {
		i.WrittenOnlyTo(fmt.Sprintf("%d.git", n), "gitaly-1")
	}
	if n := len(document[admin.DatalossResponse](t, i.ctl("-o", "json", "dataloss"), 0).Repositories); n != count {
		t.Errorf("got %d repositories", n)
	}
}

// TestStatus_saysWhoHoldsTheFeatureLevelBack: during an upgrade, and with an instance that is too old.
func TestStatus_saysWhoHoldsTheFeatureLevelBack(t *testing.T) {
	i := newInstance(t)
	i.Apply(state.Command{Register: &state.Register{ID: "id-2", Name: "praefect-2", Level: state.Level + 1}})
	i.Member("id-3", "praefect-3")
	got := i.ctl("status")
	want := fmt.Sprintf("~ feature level %d of %d; it is held back by praefect-1 (knows level %d), praefect-3 (not registered: not started, or too old for level %d)\n",
		max(1, i.View().Level), state.Level+1, max(1, i.View().Instances[0].Level), max(1, i.View().Level))
	if got.code != 0 || !strings.Contains(got.stdout, want) {
		t.Errorf("want %q, got %d %s\n%s", want, got.code, got.stderr, got.stdout)
	}
}
