package state

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew; only for a new version of log or snapshot")

const (
	goldenLog      = "testdata/v1.log"
	goldenSnapshot = "testdata/v1.snapshot"
)

// TestGolden shows that a log and a snapshot once written load for ever, and
// that the log still gives the state that it gave.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	s := &State{}
	f, err := os.Open(goldenLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		number, quoted, _ := strings.Cut(lines.Text(), " ")
		index, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		data, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeBatch([]byte(data))
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		s, _ = s.Apply(Index(index), b)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(goldenSnapshot)
	if err != nil {
		t.Fatal(err)
	}
	if got := snapshotOf(t, s); got != string(want) {
		t.Errorf("the log gives\n%s\nwant\n%s", got, want)
	}
	restored, err := ReadSnapshot(strings.NewReader(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	if got := snapshotOf(t, restored); got != string(want) {
		t.Errorf("the snapshot became\n%s\nwant\n%s", got, want)
	}
}

// writeGolden writes a log with every command, applied and refused.
func writeGolden(t *testing.T) {
	w := newWorld(t)
	w.must(alpha, scoped(10000, true, "p", "q"))
	w.must(alpha, deleting(DeletedSet, "p", "q"))
	w.must(alpha, insync(w.Index, "r"))
	w.must(alpha, closing(true))
	w.must(beta, paths(open(Solo, "p"), "pool.git", "fork.git"))
	w.must(beta, paths(wrote("p"), "pool.git", "fork.git"))
	w.must(beta, paths(closing(false), "fork.git"))
	w.must(beta, open(Open, "r"))
	w.must(beta, settle(w, "p", "q"))
	w.must(alpha, define("p", "q", "s"))
	w.must(alpha, reach("q", "another disk"))
	next := w.must(0, Command{Register: &Register{ID: "b", Name: "two", Address: "h:2", Version: "1.0"}}).Incarnation
	w.must(next, Command{Retire: &Retire{Incarnation: beta, Successor: next}})
	for _, c := range everyCommand() {
		w.try(beta, c)
	}
	w.batch(w.log[0])
	var log strings.Builder
	for i, b := range w.log {
		data, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&log, "%d %q\n", i+1, data)
	}
	for name, text := range map[string]string{goldenLog: log.String(), goldenSnapshot: snapshotOf(t, w.State)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
