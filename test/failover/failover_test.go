package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

func TestParse_takesSomeOfTheSteps(t *testing.T) {
	s, err := parse([]string{"-runs", "3", "-only", "kill-leader,promote"}, io.Discard)
	if err != nil || s.runs != 3 || strings.Join(names(s.steps), " ") != "kill-leader promote" {
		t.Errorf("got %+v, %v", names(s.steps), err)
	}
	if all, err := parse(nil, io.Discard); err != nil || len(all.steps) != len(steps()) || all.runs < 20 {
		t.Errorf("got %d steps and %d runs, %v", len(all.steps), all.runs, err)
	}
	for _, args := range [][]string{{"-only", "nothing"}, {"-runs", "0"}, {"more"}, {"-no-such-flag"}, {"-mode", "odd"}} {
		if _, err := parse(args, io.Discard); !errors.Is(err, scenario.ErrUsage) {
			t.Errorf("%v: got %v, want the usage", args, err)
		}
	}
}

func TestSum_ofRunsHasTheAgreedForm(t *testing.T) {
	outcomes := []scenario.Outcome{
		{Figures: workload.Figures{Gap: 300 * time.Millisecond, WritesFailed: 1}, Unavailable: 2},
		{Figures: workload.Figures{Gap: 100 * time.Millisecond}},
		{Figures: workload.Figures{Gap: 200 * time.Millisecond, ReadsFailed: 3, Slowest: time.Second}, Unavailable: 1},
	}
	path := filepath.Join(t.TempDir(), "build", "failover.json")
	must.Succeed(t, scenario.WriteJSON(path, []figure{sum(step{name: "promote"}, "eventual", outcomes)}, 0o644))
	text, err := os.ReadFile(path)
	must.Succeed(t, err)
	var got any
	must.Succeed(t, json.Unmarshal(text, &got))
	compact, err := json.Marshal(got) // keys in order
	must.Succeed(t, err)
	const want = `[{"mode":"eventual","reads_failed":3,"runs":3,"slowest_ms":{"max":1000,"median":0,"min":0},"step":"promote",` +
		`"unavailable_repositories":3,"writers_gap_ms":{"max":300,"median":200,"min":100},"writes_failed":1}]`
	if string(compact) != want {
		t.Errorf("got  %s\nwant %s", compact, want)
	}
}

func TestOthers_keepsWhatIsNotRun(t *testing.T) {
	s := settings{out: filepath.Join(t.TempDir(), "failover.json"), mode: strong, steps: steps()[:1]}
	if kept, err := others(s); err != nil || len(kept) > 0 {
		t.Errorf("without a file: got %v, %v", kept, err)
	}
	first, second := s.steps[0].name, steps()[1].name
	earlier := []figure{{Step: first, Mode: strong}, {Step: first, Mode: eventual, Runs: 20}, {Step: second, Mode: strong, Runs: 7}}
	must.Succeed(t, scenario.WriteJSON(s.out, earlier, 0o644))
	kept, err := others(s)
	if err != nil || len(kept) != 2 || kept[0].Runs != 20 || kept[1].Runs != 7 {
		t.Errorf("got %+v, %v", kept, err)
	}
	must.Succeed(t, os.WriteFile(s.out, []byte("no figures"), 0o644))
	if _, err := others(s); err == nil {
		t.Error("a file that has no figures would be overwritten")
	}
}

func TestProgress_estimatesByWhatWasDone(t *testing.T) {
	p := progress{began: time.Unix(0, 0), runs: 2, steps: []step{{watch: 4 * time.Second}, {watch: 34 * time.Second}}}
	for _, row := range []struct {
		step, run int
		now, want time.Duration
	}{
		{0, 0, 0, 100 * time.Second},
		{0, 1, 20 * time.Second, 180 * time.Second},
		{1, 1, 60 * time.Second, 40 * time.Second},
	} {
		if got := p.left(row.step, row.run, p.began.Add(row.now)); got != row.want {
			t.Errorf("step %d, run %d: got %v, want %v", row.step, row.run, got, row.want)
		}
	}
}

func TestAims_tellWhatMissesThem(t *testing.T) {
	f := figure{
		WritersGap: workload.Several{Median: 600, Max: 900}, WritesFailed: 1, Slowest: workload.Several{Max: 2001}, gapP99: 250,
		HitUntil: &workload.Several{Max: 1000}, HitBack: &workload.Several{Max: 1001},
	}
	for _, row := range []struct {
		aim  aim
		want bool
	}{
		{medianGap(500 * time.Millisecond), false},
		{longestGap(time.Second), true},
		{noWriteFailed(), false},
		{noReadFailed(), true},
		{slowest(2 * time.Second), false},
		{refusedWithin(time.Second), true},
		{backWithin(time.Second), false},
		{nearlyEveryGap(250 * time.Millisecond), false},
		{allAvailable(), true},
	} {
		if got := row.aim.met(f); got != row.want {
			t.Errorf("%s: got %v, want %v", row.aim.what, got, row.want)
		}
	}
}
