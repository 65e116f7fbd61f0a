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

	"praefect/test/workload"
)

func TestParse_takesSomeOfTheSteps(t *testing.T) {
	s, err := parse([]string{"-runs", "3", "-only", "kill-leader,promote"}, io.Discard)
	if err != nil || s.runs != 3 || strings.Join(names(s.steps), " ") != "kill-leader promote" {
		t.Errorf("got %+v, %v", names(s.steps), err)
	}
	if all, err := parse(nil, io.Discard); err != nil || len(all.steps) != 7 || all.runs < 20 {
		t.Errorf("got %d steps and %d runs, %v", len(all.steps), all.runs, err)
	}
	for _, args := range [][]string{{"-only", "nothing"}, {"-runs", "0"}, {"more"}, {"-no-such-flag"}} {
		if _, err := parse(args, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%v: got %v, want the usage", args, err)
		}
	}
}

func TestSum_ofRunsHasTheAgreedForm(t *testing.T) {
	outcomes := []outcome{
		{Figures: workload.Figures{Gap: 300 * time.Millisecond, WritesFailed: 1}, unavailable: 2},
		{Figures: workload.Figures{Gap: 100 * time.Millisecond}},
		{Figures: workload.Figures{Gap: 200 * time.Millisecond, ReadsFailed: 3, Slowest: time.Second}, unavailable: 1},
	}
	path := filepath.Join(t.TempDir(), "build", "failover.json")
	if err := write(path, []figure{sum(step{name: "promote"}, "eventual", outcomes)}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	compact, err := json.Marshal(got) // keys in order
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"mode":"eventual","reads_failed":3,"runs":3,"slowest_ms":{"max":1000,"median":0,"min":0},"step":"promote",` +
		`"unavailable_repositories":3,"writers_gap_ms":{"max":300,"median":200,"min":100},"writes_failed":1}]`
	if string(compact) != want {
		t.Errorf("got  %s\nwant %s", compact, want)
	}
}

func TestAims_tellWhatMissesThem(t *testing.T) {
	f := figure{
		WritersGap: workload.Several{Median: 600, Max: 900}, WritesFailed: 1, Slowest: workload.Several{Max: 2001},
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
	} {
		if got := row.aim.met(f); got != row.want {
			t.Errorf("%s: got %v, want %v", row.aim.what, got, row.want)
		}
	}
}
