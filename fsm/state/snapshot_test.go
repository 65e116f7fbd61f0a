package state

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"

	"praefect/test/must"
)

func snapshotOf(t testing.TB, s *State) string {
	t.Helper()
	var b bytes.Buffer
	must.Succeed(t, s.WriteSnapshot(&b))
	return b.String()
}

// busyFixture has something of everything.
func busyFixture(t testing.TB) *fixture {
	w := newFixture(t)
	w.must(alpha, define("p", "q", "r", "s"))
	leftInDoubt(w)
	for i := range 30 {
		w.must(beta, paths(open(PrimaryOnly, "p", "q"), fmt.Sprintf("group/%d.git", i)))
		w.must(beta, paths(deleting(DeletedSet, "p"), fmt.Sprintf("group/%d.git", i)))
	}
	w.try(alpha, markBehind("x"))
	w.must(alpha, Command{Define: &Define{VirtualStorage: "<other & more>", Storages: []string{"p"}}})
	return w
}

func TestSnapshot_restoresTheSame(t *testing.T) {
	for name, s := range map[string]*State{"empty": {}, "busy": busyFixture(t).State} {
		t.Run(name, func(t *testing.T) {
			first := snapshotOf(t, s)
			restored, err := ReadSnapshot(iotestOneByte{strings.NewReader(first)})
			must.Succeed(t, err)
			if got := snapshotOf(t, restored); got != first {
				t.Errorf("got\n%s\nwant\n%s", got, first)
			}
			if restored.Len() != s.Len() || restored.answers.len() != s.answers.len() {
				t.Errorf("restored %d entries and %d answers", restored.Len(), restored.answers.len())
			}
		})
	}
}

// TestSnapshot_linesOfEveryLength: wherever a buffer of the reader ends, a line may
// end there.
func TestSnapshot_linesOfEveryLength(t *testing.T) {
	s := &State{}
	for i := range 1700 {
		s, _ = s.Apply(s.Index+1, Batch{Commands: []Command{
			{Register: &Register{ID: "a", Name: strings.Repeat("n", i), ClusterID: "c"}},
		}})
	}
	first := snapshotOf(t, s)
	restored, err := ReadSnapshot(strings.NewReader(first))
	must.Succeed(t, err)
	if snapshotOf(t, restored) != first {
		t.Error("the restored state is another one")
	}
}

// iotestOneByte reads a byte at a time.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestReadSnapshot_truncatedAnywhere(t *testing.T) {
	whole := snapshotOf(t, newFixture(t).State)
	for n := range len(whole) {
		if _, err := ReadSnapshot(strings.NewReader(whole[:n])); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(whole))
		}
	}
}

func TestReadSnapshot_bitFlippedAnywhere(t *testing.T) {
	whole := []byte(snapshotOf(t, newFixture(t).State))
	for n := range whole {
		whole[n] ^= 1 << (n % 8)
		if s, err := ReadSnapshot(bytes.NewReader(whole)); err == nil && snapshotOf(t, s) == string(whole) {
			t.Fatalf("a flip in byte %d was accepted", n)
		}
		whole[n] ^= 1 << (n % 8)
	}
}

// sealed returns the lines as a snapshot with the right trailer.
func sealed(lines ...string) string {
	body := ""
	for _, l := range lines {
		body += l + "\n"
	}
	sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	return fmt.Sprintf("%s{\"trailer\":{\"lines\":%d,\"crc32c\":%d}}\n", body, len(lines), sum)
}

func TestReadSnapshot_refuses(t *testing.T) {
	const (
		head     = `{"header":{"version":1,"index":9,"cluster_id":"c"}}`
		instance = `{"instance":{"incarnation":1,"id":"a","name":"","number":0}}`
		vsLine   = `{"virtual_storage":{"name":"v","epoch":1,"succession":[{"name":"p","state":"serving","since":2}]}}`
		entryA   = `{"entry":{"virtual_storage":"v","relative_path":"a","behind":["p"],"changed":3}}`
		entryB   = `{"entry":{"virtual_storage":"v","relative_path":"b","behind":["p"],"changed":3}}`
		answer1  = `{"answer":{"id":"x","index":1,"results":[]}}`
		answer2  = `{"answer":{"id":"y","index":2,"results":[]}}`
	)
	if _, err := ReadSnapshot(strings.NewReader(sealed(head, instance, vsLine, entryA, entryB, answer1, answer2))); err != nil {
		t.Fatalf("the sound one: %v", err)
	}
	for name, text := range map[string]string{
		"nothing":               "",
		"no header":             sealed(instance),
		"two headers":           sealed(head, head),
		"a later version":       sealed(`{"header":{"version":2,"index":9}}`),
		"lines out of order":    sealed(head, vsLine, instance),
		"entries out of order":  sealed(head, vsLine, entryB, entryA),
		"an entry twice":        sealed(head, vsLine, entryA, entryA),
		"answers out of order":  sealed(head, answer2, answer1),
		"an answer twice":       sealed(head, answer1, `{"answer":{"id":"x","index":2,"results":[]}}`),
		"an answer to come":     sealed(head, `{"answer":{"id":"x","index":10,"results":[]}}`),
		"an unknown line":       sealed(head, `{"surprise":{}}`),
		"an unknown field":      sealed(head, `{"instance":{"incarnation":1,"id":"a","name":"","number":0,"x":1}}`),
		"two objects in a line": sealed(head, instance+instance),
		"an unsound state":      sealed(head, entryA),
		"data after the end":    sealed(head) + head + "\n",
		"a second trailer":      sealed(head) + `{"trailer":{"lines":1,"crc32c":0}}` + "\n",
		"a wrong sum":           head + "\n" + `{"trailer":{"lines":1,"crc32c":0}}` + "\n",
	} {
		if _, err := ReadSnapshot(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("disk full")

func (f *failingWriter) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, errFull
	}
	f.left -= len(p)
	return len(p), nil
}

func TestState_WriteSnapshot_reportsTheError(t *testing.T) {
	s := busyFixture(t).State
	for _, room := range []int{0, 4096} {
		if err := s.WriteSnapshot(&failingWriter{room}); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: got %v, want %v", room, err, errFull)
		}
	}
}

func FuzzSnapshot(f *testing.F) {
	whole := snapshotOf(f, newFixture(f).State) // a short one: it is minimised again and again
	f.Add([]byte(whole), false)
	f.Add([]byte(whole[:strings.LastIndex(whole[:len(whole)-1], "\n")]), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal { // reaches behind the checksum
			data = []byte(sealed(strings.Split(string(data), "\n")...))
		}
		s, err := ReadSnapshot(bytes.NewReader(data))
		if err != nil {
			return
		}
		first := snapshotOf(t, s)
		again, err := ReadSnapshot(strings.NewReader(first))
		if err != nil {
			t.Fatalf("%v in\n%s", err, first)
		}
		if got := snapshotOf(t, again); got != first {
			t.Errorf("got\n%s\nwant\n%s", got, first)
		}
		if s.Index+1 == 0 {
			return
		}
		s.Apply(s.Index+1, Batch{RequestID: "next", Commands: []Command{{Register: &Register{ID: "z"}}}})
	})
}

// TestState_cleanRepositoriesCostNothing: however many repositories there are
// and are written to, the state has none of them once the intents are closed: a
// million here, after which it is as large as before, in memory and on disk.
func TestState_cleanRepositoriesCostNothing(t *testing.T) {
	const batches, size = 4000, 250
	const slack = 1 << 20 // bytes of what is not the state's
	w := newFixture(t)
	s, number := w.State, w.number
	lines := func() int { return strings.Count(snapshotOf(t, s), "\n") }
	before, memory := lines(), inUse()
	all := make([]string, size)
	for i := range batches {
		for j := range all {
			all[j] = fmt.Sprintf("@hashed/%02x/%02x/%d-%d.git", i%256, j, i, j)
		}
		for _, c := range []Command{paths(open(Open, "p", "q", "r"), all...), paths(closing(false), all...)} {
			number++
			next, results := s.Apply(s.Index+1, Batch{Incarnation: alpha, Number: number, Commands: []Command{c}})
			if results[0].Refusal != nil {
				t.Fatal(results[0].Refusal)
			}
			s = next
		}
	}
	if s.Len() != 0 || lines() != before {
		t.Errorf("%d entries and %d lines of snapshot, want 0 and %d", s.Len(), lines(), before)
	}
	if more := inUse() - memory; more > slack {
		t.Errorf("the state takes %d bytes more than before", more)
	}
	runtime.KeepAlive(s)
}

// inUse is the memory that is in use.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
