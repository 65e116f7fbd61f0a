package state

import (
	"bufio"
	"flag"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"
	"testing"

	"praefect/test/must"
)

var update = flag.Bool("update", false, "write the latest golden log and snapshot anew, as long as no release has them")

// The golden logs, each with the snapshot of the state that it gives. All but the
// latest were released, and are never written again.
const (
	goldenFailover = "testdata/failover" // fences, pauses, losses accepted; terms; first copies
	goldenLatest   = goldenFailover
)

// TestGolden shows that a log and a snapshot once written load for ever, and
// that the log still gives the state that it gave.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	for _, name := range []string{goldenFailover} {
		t.Run(name, func(t *testing.T) {
			s := &State{}
			for index, b := range readGolden(t, name+".log") {
				s, _ = s.Apply(index, b)
			}
			want, err := os.ReadFile(name + ".snapshot")
			must.Succeed(t, err)
			if got := snapshotOf(t, s); got != string(want) {
				t.Errorf("the log gives\n%s\nwant\n%s", got, want)
			}
			restored, err := ReadSnapshot(strings.NewReader(string(want)))
			must.Succeed(t, err)
			if got := snapshotOf(t, restored); got != string(want) {
				t.Errorf("the snapshot became\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// readGolden returns the batches of the log by their index. A line has the index,
// the term of the entry unless it is 0, and the entry.
func readGolden(t *testing.T, name string) iter.Seq2[Index, Batch] {
	t.Helper()
	f, err := os.Open(name)
	must.Succeed(t, err)
	t.Cleanup(func() { _ = f.Close() }) // it was only read
	return func(yield func(Index, Batch) bool) {
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var index, term uint64
			number, quoted, _ := strings.Cut(lines.Text(), " ")
			if _, err := fmt.Sscan(number, &index); err != nil {
				t.Fatal(err)
			}
			if number, rest, _ := strings.Cut(quoted, " "); !strings.HasPrefix(quoted, `"`) {
				if _, err := fmt.Sscan(number, &term); err != nil {
					t.Fatal(err)
				}
				quoted = rest
			}
			data, err := strconv.Unquote(quoted)
			must.Succeed(t, err)
			b, err := DecodeBatch([]byte(data))
			if err != nil {
				t.Fatalf("entry %d: %v", index, err)
			}
			b.EntryTerm = term
			if !yield(Index(index), b) {
				return
			}
		}
		must.Succeed(t, lines.Err())
	}
}

// writeGolden writes a log with every command, applied and refused.
func writeGolden(t *testing.T) {
	w := &fixture{t: t, State: &State{}, term: 2}
	w.must(0, Command{Register: &Register{ID: "a", Name: "one", Address: "h1:2305", RaftAddress: "h1:2307", Version: "1.0",
		ClusterID: "cluster", LeaseMillis: 2000}})
	w.must(0, Command{Register: &Register{ID: "b", Name: "two", Address: "h2:2305", RaftAddress: "h2:2307", LeaseMillis: 500}})
	w.populate()
	w.must(beta, open(PrimaryOnly, "p"), markBehind("p"), closing(true), paths(open(Open, "p", "q"), "busy.git"))
	w.out("p", WhyDead)
	w.must(alpha, Command{AcceptLoss: &AcceptLoss{Key: Key{vs, repo}, Storage: "r", By: "operator: accept-dataloss", NotCompared: []string{"p"}, GivenUp: []Conflict{{
		Storage: "q", Primary: "r", Differing: 1, Sample: []DifferingReference{{Name: "refs/heads/main", Here: "1", There: "2"}},
	}}}})
	w.must(alpha, Command{Drain: &Drain{VirtualStorage: vs, Storage: "p", By: "operator: drain p"}})
	w.must(alpha, Command{Undrain: &Undrain{VirtualStorage: vs, Storage: "p", By: "operator: undrain p"}}, reach("p", "disk-p"))
	w.term = 3
	w.must(alpha, Command{Pause: &Pause{Until: 1_800_000_000_000, Why: "maintenance", By: "operator: pause"}})
	w.switchover("q", "r")
	w.must(alpha, Command{Resume: &Resume{VirtualStorage: vs, By: "operator: resume"}})
	w.must(alpha, Command{Pause: &Pause{VirtualStorage: vs}})
	w.fence("q")
	another := w.admitting("", "q")
	another.Admit.Storages[0].FilesystemID = "another disk"
	w.must(alpha, another)
	for _, term := range []uint64{2, 3} { // the first one is refused
		w.batch(Batch{Incarnation: alpha, Term: term, Commands: []Command{proved(beta, ProofSilent)}})
	}
	w.fence("p")
	w.must(alpha, paths(open(PrimaryOnly, "r"), "apart.git"))
	apart := conflict(w.Index, "q")
	apart.MarkConflict.Key.RelativePath = "apart.git"
	w.must(alpha, apart)
	w.must(alpha, Command{Define: &Define{VirtualStorage: "w", Storages: []string{"p", "q"}}})
	w.must(alpha, Command{Advance: &Advance{Key: Key{"w", repo}, Source: "q", Scope: Scope{BoundMillis: 9, Targets: []string{"p"}}}})
	for _, c := range everyCommand() {
		w.try(alpha, c)
	}
	w.batch(w.log[0])
	var log strings.Builder
	for i, b := range w.log {
		data, err := b.encode()
		must.Succeed(t, err)
		fmt.Fprintf(&log, "%d %d %q\n", i+1, b.EntryTerm, data)
	}
	for ending, text := range map[string]string{".log": log.String(), ".snapshot": snapshotOf(t, w.State)} {
		must.Succeed(t, os.WriteFile(goldenLatest+ending, []byte(text), 0o644))
	}
}
