package state

import (
	"fmt"
	"reflect"
	"testing"
)

func reasons(results []Result) string {
	text := ""
	for _, r := range results {
		if r.Refusal == nil {
			text += "ok "
		} else {
			text += string(r.Refusal.Reason) + " "
		}
	}
	return text
}

func TestState_Apply_numbers(t *testing.T) {
	w := newFixture(t)
	both := []Command{open(Open), define("p", "q", "r")}
	for _, step := range []struct {
		number uint64
		cmds   []Command
		want   string
	}{
		{100, both, "ok ok "},
		{100, []Command{closing(false), define("p", "q", "r")}, "out-of-order ok "},
		{99, []Command{closing(false), markBehind("p"), markInSync(1, "q"), open(PrimaryOnly), resolveDoubt(w, "p")},
			"out-of-order out-of-order out-of-order out-of-order out-of-order "},
		{0, []Command{closing(false)}, "out-of-order "},
		{7, []Command{define("p", "q", "r"), reach("p", "disk-p")}, "ok ok "}, // numbers order the ledger only
		{101, []Command{closing(false), closing(false)}, "ok no-intent "},
		{101, []Command{open(Open)}, "out-of-order "}, // a refused command claims the number too
	} {
		got := reasons(w.batch(Batch{Incarnation: alpha, Number: step.number, Commands: step.cmds}))
		if got != step.want {
			t.Errorf("number %d: got %q, want %q", step.number, got, step.want)
		}
	}
	if got := reasons(w.batch(Batch{Incarnation: beta, Number: 50, Commands: both})); got != "ok ok " {
		t.Errorf("numbers of another incarnation: got %q", got)
	}
}

func TestState_Apply_repeatedRequest(t *testing.T) {
	w := newFixture(t)
	b := Batch{RequestID: "once", Incarnation: alpha, Number: 100, Commands: []Command{open(Open), closing(false), closing(false)}}
	first := w.batch(b)
	if got, want := reasons(first), "ok ok no-intent "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	w.batch(Batch{Incarnation: alpha, Number: 101, Commands: []Command{open(PrimaryOnly)}})
	before := *w.State
	if again := w.batch(b); !reflect.DeepEqual(again, first) {
		t.Errorf("got %+v, want %+v", again, first)
	}
	if w.Index != before.Index+1 {
		t.Errorf("index %d, want %d", w.Index, before.Index+1)
	}
	before.Index = w.Index
	if got, want := snapshotOf(t, w.State), snapshotOf(t, &before); got != want {
		t.Errorf("a repeated request changed the state:\n%s\nto\n%s", want, got)
	}
}

func TestState_Apply_remembersTheLatestAnswers(t *testing.T) {
	w := newFixture(t)
	b := Batch{RequestID: "once", Incarnation: alpha, Number: 100, Commands: []Command{closing(false)}}
	w.batch(b)
	for i := range AnswersKept - 1 {
		w.batch(Batch{RequestID: fmt.Sprint(i), Incarnation: alpha, Commands: []Command{define("p", "q", "r")}})
	}
	if got, want := reasons(w.batch(b)), "no-intent "; got != want {
		t.Fatalf("the last one remembered: got %q, want %q", got, want)
	}
	w.batch(Batch{RequestID: "one more", Incarnation: alpha, Commands: []Command{define("p", "q", "r")}})
	if got, want := reasons(w.batch(b)), "out-of-order "; got != want {
		t.Errorf("the first one forgotten: got %q, want %q", got, want)
	}
	if got := w.answers.len(); got != AnswersKept {
		t.Errorf("%d answers, want %d", got, AnswersKept)
	}
}

func TestState_Apply_notOneCommand(t *testing.T) {
	w := newFixture(t)
	two := open(Open)
	two.Close = closing(false).Close
	got := reasons(w.batch(Batch{Incarnation: alpha, Number: 100, Commands: []Command{{}, two}}))
	if want := "invalid invalid "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestState_Apply_unknownProposer(t *testing.T) {
	w := newFixture(t)
	for _, inc := range []Incarnation{0, 77} {
		w.refuses(inc, define("p", "q", "r"), RefusedRetired)
	}
}

func TestState_Apply_commandsOfABatchSeeEachOther(t *testing.T) {
	w := newFixture(t)
	got := reasons(w.batch(Batch{Incarnation: alpha, Number: 100, Commands: []Command{
		open(PrimaryOnly), markBehind("p"), closing(true), closing(false),
	}}))
	if want := "ok ok ok no-intent "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := w.entry().String(), "in doubt(1), behind q+r"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestState_Apply_terms(t *testing.T) {
	commands := func(w *fixture) []Command {
		return []Command{open(Open), w.fencing(WhyDead, "p"), {Register: &Register{ID: "c"}}}
	}
	for _, r := range []struct {
		term uint64
		want string
	}{
		{0, "ok ok ok "},
		{7, "ok ok ok "},
		{6, "term term term "},
		{8, "term term term "},
	} {
		w := newFixture(t)
		before := snapshotOf(t, &State{VirtualStorages: w.VirtualStorages, Instances: w.Instances[1:], ClusterID: "c", Index: w.Index})
		b := Batch{RequestID: "once", Incarnation: alpha, Number: 100, Term: r.term, EntryTerm: 7, Commands: commands(w)}
		if got := reasons(w.batch(b)); got != r.want {
			t.Errorf("term %d: got %q, want %q", r.term, got, r.want)
		}
		b.EntryTerm = 9
		if got := reasons(w.batch(b)); got != r.want {
			t.Errorf("term %d: repeated in another term: got %q, want %q", r.term, got, r.want)
		}
		if r.want[:2] == "ok" {
			continue
		}
		w.Index -= 2
		if got := snapshotOf(t, &State{VirtualStorages: w.VirtualStorages, Instances: w.Instances[1:], ClusterID: "c", Index: w.Index}); got != before {
			t.Errorf("term %d: a refused batch changed\n%s\nto\n%s", r.term, before, got)
		}
		if w.Len() != 0 {
			t.Errorf("term %d: a refused batch left %d entries", r.term, w.Len())
		}
	}
}

func TestState_Apply_brokenLog(t *testing.T) {
	w := newFixture(t)
	defer func() {
		if recover() == nil {
			t.Error("an index that does not rise was applied")
		}
	}()
	w.Apply(w.Index, Batch{})
}

func TestState_Apply_leavesFormerStatesAsTheyWere(t *testing.T) {
	w := newFixture(t)
	type former struct {
		state    *State
		snapshot string
	}
	var all []former
	keep := func() { all = append(all, former{w.State, snapshotOf(t, w.State)}) }
	keep()
	for _, c := range []Command{
		open(Open, "q"), open(PrimaryOnly, "r"), markBehind("p", "q"), closing(true), open(Open), markBehind("p"),
		reach("q", "new"), define("p", "q", "r", "s"), markInSync(0, "r"), closing(true), define("p", "q", "r"),
		w.fencing(WhyDead, "p"), {Pause: &Pause{}},
		{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "r"}}, {Resume: &Resume{}},
	} {
		w.try(alpha, c)
		keep()
	}
	next := w.must(0, Command{Register: &Register{ID: "a"}}).Incarnation
	keep()
	w.must(next, Command{Retire: &Retire{Incarnation: alpha, Successor: next}})
	for i, f := range all {
		if got := snapshotOf(t, f.state); got != f.snapshot {
			t.Errorf("state %d changed from\n%s\nto\n%s", i, f.snapshot, got)
		}
	}
}
