package main

import (
	"context"
	"strings"
	"testing"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

// caughtBehind is an instance whose gitaly-2 misses a write.
func caughtBehind(t *testing.T) *instance {
	i := newInstance(t)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	return i
}

const plan = `default: primary gitaly-1 -> gitaly-2, epoch 2
  repositories behind on gitaly-2: 1
  writes under way: 3; new ones wait, for 8s at most
`

const progress = `  catching up; repositories to go: 1
  new writes wait; still under way: 3
  cutting over, waiting for praefect-3
  cut over: every instance knows
`

func TestPromote(t *testing.T) {
	i := caughtBehind(t)
	address := i.socket(t)
	got := praefectctl(t, nil, "-endpoints", address, "promote", "gitaly-2")
	want := outcome{0, `* gitaly-2 is the primary of default, epoch 4, in 1.8s; writes waited at most 210ms; answered by praefect-1
  undo: praefectctl promote gitaly-1 -virtual-storage default
`, plan + progress}
	if got != want {
		t.Errorf("got %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	praefectctl(t, nil, "-endpoints", address, "promote", "gitaly-2", "--dry-run").is(t, outcome{0, "default: gitaly-2 is the primary already, epoch 4\n", ""}) // again
	praefectctl(t, nil, "-endpoints", address, "promote", "gitaly-2").is(t, outcome{0, "default: gitaly-2 is the primary already, epoch 4\n", ""})              // and no undo: nothing was done
	praefectctl(t, nil, "-endpoints", address, "history", "-limit", "2").is(t, outcome{0, `TIME                  VIRTUAL STORAGE  EPOCH  STORAGE   CHANGE   WHY         BY
2100-01-02T03:04:13Z  default          3      gitaly-1  fenced   switchover  operator: promote gitaly-2 (uid 0@desk)
2100-01-02T03:04:14Z  default          4      gitaly-1  serving  admitted    operator: promote gitaly-2 (uid 0@desk)

changes: 2; answered by praefect-1
`, ""})
}

func TestPromote_json(t *testing.T) {
	address := caughtBehind(t).serve(t)
	got := praefectctl(t, nil, "-o", "json", "-endpoints", address, "promote", "gitaly-2", "-why", "kernel", "-request-id", "request-1")
	got.is(t, outcome{0, `{
  "schema": 1,
  "instance": "praefect-1",
  "request_id": "request-1",
  "plan": {
    "virtual_storage": "default",
    "epoch": 2,
    "primary": "gitaly-1",
    "successor": "gitaly-2",
    "fenced": [
      "gitaly-1"
    ],
    "behind": 1,
    "busy": 0,
    "in_doubt": 0,
    "serving_after": 2,
    "copies": 2,
    "unavailable_repositories": 0,
    "in_flight": 3,
    "pause_ms": 8000
  },
  "epoch": 4,
  "primary": "gitaly-2",
  "took_ms": 1800,
  "paused_ms": 210
}
`, got.stderr})
}

func TestPromote_dryRunChangesNothing(t *testing.T) {
	i := caughtBehind(t)
	// Asking is free: the instance takes no changes over TCP.
	address := i.serveAs(t, "praefect-1", "tcp", "127.0.0.1:0", admin.Access{})
	before := i.View()
	got := praefectctl(t, nil, "-endpoints", address, "promote", "gitaly-2", "--dry-run")
	if got != (outcome{0, plan, ""}) || i.View() != before {
		t.Errorf("got %+v", got)
	}
}

func TestDrain(t *testing.T) {
	i := newInstance(t)
	for _, row := range []struct {
		args   []string
		stdout string
		stderr string
	}{
		{[]string{"drain", "gitaly-1", "-y"}, `* gitaly-1 is drained, gitaly-2 is the primary of default, epoch 4, in 1.8s; writes waited at most 210ms; answered by praefect-1
  undo: praefectctl undrain gitaly-1 -virtual-storage default
`, `default: gitaly-1 goes out of use, primary gitaly-1 -> gitaly-2, epoch 2
  repositories behind on gitaly-2: 0
  writes under way: 3; new ones wait, for 8s at most
  x 1 of the storages of default would serve, fewer than consistency.copies (2): new writes have fewer copies until another one serves
` + strings.Replace(progress, "to go: 1", "to go: 0", 1)},
		{[]string{"drain", "gitaly-1"}, "default: gitaly-1 is drained already, epoch 4\n", ""},
		{[]string{"undrain", "gitaly-1"}, "* gitaly-1 may return; answered by praefect-1\n  it serves again once it has been healthy for a while; what it misses is copied to it then\n", ""},
	} {
		i.ctl(row.args...).is(t, outcome{0, row.stdout, row.stderr})
	}
	if st := i.View().VirtualStorage("default").Storage("gitaly-1"); st.Why != "dead" {
		t.Errorf("the storage: got %+v", st)
	}
}

// TestDrain_belowCopiesAsks: a script has to say that it wants that, and an operator is asked.
func TestDrain_belowCopiesAsks(t *testing.T) {
	for _, row := range []struct {
		name     string
		storages []string
		operator operator
		args     []string
		code     int
	}{
		{"a script", []string{"gitaly-1", "gitaly-2"}, operator{}, nil, exitRefused},
		{"a script that says so", []string{"gitaly-1", "gitaly-2"}, operator{}, []string{"-y"}, 0},
		{"an operator who says no", []string{"gitaly-1", "gitaly-2"}, operator{asked: true, types: "n\n"}, nil, exitRefused},
		{"an operator who says yes", []string{"gitaly-1", "gitaly-2"}, operator{asked: true, types: "y\n"}, nil, 0},
		{"a script, where enough is left", []string{"gitaly-1", "gitaly-2", "gitaly-3"}, operator{}, nil, 0},
	} {
		i := &instance{t: t, Cluster: admintest.New(t, row.storages...)}
		before := i.View()
		got := row.operator.run(t, append([]string{"-endpoints", i.serve(t), "drain", "gitaly-2"}, row.args...)...)
		if got.code != row.code || (i.View() == before) != (row.code != 0) {
			t.Errorf("%s: got %+v", row.name, got)
		}
		if few := len(row.storages) == 2; few != strings.Contains(got.stderr, "fewer than consistency.copies (2)") {
			t.Errorf("%s: said %s", row.name, got.stderr)
		}
	}
}

// TestPromote_planSaysWhatIsBusyAndInDoubt: what it does not wait for is said.
func TestPromote_planSaysWhatIsBusyAndInDoubt(t *testing.T) {
	i := newInstance(t)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	paths := []string{"a.git"}
	i.Apply(state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: paths, Kind: state.PrimaryOnly}})
	got := i.ctl("promote", "gitaly-2", "-dry-run")
	if want := "repositories behind on gitaly-2: 1, 1 of them being written to: they keep their present primary"; !strings.Contains(got.stdout, want) {
		t.Errorf("busy: got %+v", got)
	}
	i.Apply(state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: paths, InDoubt: true}})
	got = i.ctl("promote", "gitaly-2", "-dry-run")
	if !strings.Contains(got.stdout, "repositories with a write of unknown outcome: 1;") {
		t.Errorf("in doubt: got %+v", got)
	}
}

// TestHistory_tellsOfLossesAndInstances: with the repository, the storage, the instance, who and why.
func TestHistory_tellsOfLossesAndInstances(t *testing.T) {
	i := newInstance(t)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	alice := operator{env: map[string]string{"USER": "alice"}}
	address := i.socket(t)
	for _, command := range [][]string{
		{"accept-dataloss", "-virtual-storage", "default", "-repository", "a.git", "-authoritative-storage", "gitaly-2", "-confirm", "gitaly-2", "-why", "disk gone"},
		{"raft", "add", "praefect-4", "10.0.0.4:2307", "-why", "replaces 3"},
		{"raft", "remove", "praefect-3", "-why", "disk gone"},
	} {
		if got := alice.run(t, append([]string{"-endpoints", address}, command...)...); got.code != 0 {
			t.Fatalf("%v: got %+v", command, got)
		}
	}
	alice.run(t, "-endpoints", address, "history", "-limit", "3").is(t, outcome{0, `TIME                  VIRTUAL STORAGE  EPOCH  STORAGE   REPOSITORY  INSTANCE    CHANGE                    BY
2100-01-02T03:04:13Z  default          2      gitaly-2  a.git                   loss accepted             operator: accept-dataloss (alice@desk): disk gone
2100-01-02T03:04:14Z                                                praefect-4  added                     operator: raft add praefect-4 (alice@desk): replaces 3
2100-01-02T03:04:15Z                                                praefect-3  removed from the cluster  operator: raft remove praefect-3 (alice@desk): disk gone

changes: 3; answered by praefect-1
`, ""})
}

func TestPromote_asksWhoeverSitsThere(t *testing.T) {
	for _, row := range []struct {
		types string
		args  []string
		code  int
		text  string
	}{
		{"y\n", nil, 0, "Proceed? [y/N] "},
		{"n\n", nil, exitRefused, "nothing was changed"},
		{"", nil, exitRefused, "nothing was changed"},
		{"n\n", []string{"-y"}, 0, "\r\x1b[K  cutting over"},
	} {
		i := newInstance(t)
		args := append([]string{"-endpoints", i.serve(t), "promote", "gitaly-2"}, row.args...)
		got := operator{types: row.types, asked: true}.run(t, args...)
		if got.code != row.code || !strings.Contains(got.stderr, row.text) {
			t.Errorf("%q %v: got %d\n%s", row.types, row.args, got.code, got.stderr)
		}
		if primary, _ := i.View().VirtualStorage("default").Primary(nil); (primary.Name == "gitaly-2") != (row.code == 0) {
			t.Errorf("%q %v: the primary is %s", row.types, row.args, primary.Name)
		}
	}
}

// What somebody has looked at is carried out, and nothing else.
func TestPromote_refusesAnotherPlanThanConfirmed(t *testing.T) {
	i := newInstance(t)
	address := i.serve(t)
	think := func() { // meanwhile something else happens
		i.Returned("default", "gitaly-2", "another disk")
		i.Backfilled("default", "gitaly-2")
	}
	operator{types: "y\n", asked: true, thinks: think}.run(t, "-endpoints", address, "promote", "gitaly-2").fails(t, exitRefused, "at epoch")
}

func TestPromote_interrupted(t *testing.T) {
	for _, row := range []struct {
		at     admin.Stage
		code   int
		text   string
		serves string
	}{
		{admin.StageCatchUp, exitInterrupted, "interrupted before the cut-over: nothing was changed", "gitaly-1"},
		{admin.StagePauseWrites, exitInterrupted, "interrupted before the cut-over: nothing was changed", "gitaly-1"},
		{admin.StageFence, 0, "", "gitaly-2"}, // too late
		{admin.StageResumeWrites, 0, "", "gitaly-2"},
	} {
		i := newInstance(t)
		ctx, ctrlC := context.WithCancel(t.Context())
		i.At = func(ctx context.Context, _ string, stage admin.Stage) (bool, error) {
			if stage == row.at {
				ctrlC()
				<-ctx.Done()
			}
			return true, nil
		}
		got := operator{ctx: ctx}.run(t, "-endpoints", i.serve(t), "promote", "gitaly-2")
		primary, _ := i.View().VirtualStorage("default").Primary(nil)
		if got.code != row.code || !strings.Contains(got.stderr, row.text) || primary.Name != row.serves {
			t.Errorf("%s: got %d, primary %s\n%s", row.at, got.code, primary.Name, got.stderr)
		}
	}
}

func TestPromote_inAnyOfSeveralVirtualStorages(t *testing.T) {
	i := newInstance(t)
	i.Define("other", "gitaly-1", "gitaly-2", "gitaly-3")
	for _, row := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"promote", "gitaly-2"}, exitUsage, "in 2 virtual storages, name one of them: default, other"},
		{[]string{"promote", "gitaly-4"}, exitError, `no virtual storage has a storage "gitaly-4"`},
		{[]string{"promote", "gitaly-3", "-virtual-storage", "default"}, exitError, `virtual storage "default" has no storage "gitaly-3"`},
		{[]string{"promote", "gitaly-3"}, 0, "other: primary gitaly-1 -> gitaly-3"},
		{[]string{"promote", "gitaly-2", "-virtual-storage", "default"}, 0, "default: primary gitaly-1 -> gitaly-2"},
	} {
		i.ctl(row.args...).fails(t, row.code, row.text)
	}
}

// A plan that warns shows what it warns of.
func TestShowPlan_warns(t *testing.T) {
	var text strings.Builder
	planned := admin.SwitchResponse{Plan: admin.Plan{
		VirtualStorage: "default", Primary: "gitaly-1", Successor: "gitaly-2", Epoch: 3, Behind: 2, Unavailable: 2, PauseMillis: 8000,
		Warnings: []string{"gitaly-3 is away"},
	}}
	showPlan(&output{w: &text}, promoting(), admin.SwitchRequest{Storage: "gitaly-2"}, planned)
	want := `default: primary gitaly-1 -> gitaly-2, epoch 3
  repositories behind on gitaly-2: 2
  writes under way: 0; new ones wait, for 8s at most
  x repositories unavailable unless caught up: 2; list: praefectctl dataloss -virtual-storage default
  ! gitaly-3 is away
`
	if text.String() != want {
		t.Errorf("got\n%s", text.String())
	}
}

// What is asked for reaches the Control whole.
func TestSwitchRequest_fromFlags(t *testing.T) {
	i := newInstance(t)
	address := i.socket(t)
	got := operator{env: map[string]string{"USER": "alice"}}.run(t, "-endpoints", address, "-o", "json", "-timeout", "7s",
		"drain", "gitaly-2", "-y", "--force", "--why", "disk", "--request-id", "again")
	if id := document[admin.SwitchResponse](t, got, 0).RequestID; id != "again" {
		t.Errorf("got the id %q", id)
	}
	want := admin.Change{RequestID: "again", By: "operator: drain gitaly-2 (alice@desk): disk", Why: "disk"}
	for _, r := range i.Switched() {
		if r.Change != want || !r.Force || r.TimeoutMillis != 7000 {
			t.Errorf("got %+v", r)
		}
	}
	if n := len(i.Switched()); n != 2 { // the plan and the switch
		t.Errorf("%d requests", n)
	}
}
