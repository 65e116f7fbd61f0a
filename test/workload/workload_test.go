package workload

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"praefect/test/cluster"
	"praefect/test/must"
)

// programs are those of this package's tests. Only TestMain sets it.
var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// at is a moment, in milliseconds after the begin of a window.
func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

var errAway = errors.New("away")

func event(kind Kind, client int, home, path string, began, ended int, err error) Event {
	return Event{Kind: kind, Client: client, Home: home, Path: path, Began: at(began), Ended: at(ended), Err: err}
}

func TestFigures_countWhatEndedInTheWindow(t *testing.T) {
	events := []Event{
		event(Write, 1, "a", "p", -200, -100, errAway), // before
		event(Write, 1, "a", "p", -100, -50, nil),      // begins the gap
		event(Write, 2, "b", "q", -20, 400, nil),       // ends it
		event(Read, 3, "b", "q", 10, 60, nil),
		event(Read, 3, "b", "lost", 70, 80, errAway), // not expected to succeed
		event(Read, 3, "b", "q", 90, 95, errAway),
		event(Write, 2, "b", "q", 410, 420, errAway),
		event(Write, 4, "hit", "q", -10, 30, errAway),
		event(Write, 4, "hit", "q", 40, 300, nil),
		event(Write, 4, "hit", "q", 310, 500, nil),
		event(Read, 5, "hit", "q", 40, 320, nil),
	}
	got := figures(events, Window{From: at(0), to: at(500), Hit: "hit", Unavailable: map[string]bool{"lost": true}})
	got.Faults = nil
	want := Figures{
		Gap: 350 * time.Millisecond, Writes: 1, Reads: 1, WritesFailed: 1, ReadsFailed: 1,
		Slowest: 400 * time.Millisecond, HitFailed: 1, HitUntil: 500 * time.Millisecond, HitBack: 320 * time.Millisecond,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFigures_withoutAnAcknowledgementTheGapIsTheWholeWindow(t *testing.T) {
	got := figures([]Event{event(Write, 1, "a", "p", 0, 9999, errAway)}, Window{From: at(0), to: at(900)})
	if got.Gap != 900*time.Millisecond {
		t.Errorf("got %v, want 900ms", got.Gap)
	}
}

func TestSpread_ofAnEvenNumberTakesTheMiddleOfTwo(t *testing.T) {
	got := Spread([]time.Duration{4 * time.Millisecond, time.Millisecond, 2 * time.Millisecond, 9 * time.Millisecond})
	if want := (Several{1, 3, 9}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Spread(nil); got != (Several{}) {
		t.Errorf("got %v of nothing", got)
	}
}

func TestPercentile_isOneOfTheValues(t *testing.T) {
	var all []time.Duration
	for n := range 200 {
		all = append(all, time.Duration(200-n)*time.Millisecond)
	}
	for percent, want := range map[int]float64{99: 198, 50: 100, 100: 200, 0: 1} {
		if got := Percentile(all, percent); got != want {
			t.Errorf("percentile %d: got %v, want %v", percent, got, want)
		}
	}
	if got := Percentile(all[:3], 99); got != 200 {
		t.Errorf("of few: got %v, want the greatest", got)
	}
}

func TestVerify_namesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	seeds, err := NewSeeds(t.Context(), dir, 1)
	must.Succeed(t, err)
	main, err := git(t.Context(), seeds.template, "rev-parse", Branch)
	must.Succeed(t, err)
	first, second := seeds.Values()[0], seeds.Values()[1] // main is the parent of both
	if _, err := git(t.Context(), seeds.template, "update-ref", "refs/heads/a", first); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		branch, id string
		there      bool
	}{{"a", first, true}, {"a", main, true}, {"a", second, false}, {"gone", first, false}} {
		err := verify(t.Context(), seeds.template, []Made{{"p", row.branch, row.id}})
		if (err == nil) != row.there {
			t.Errorf("%+v: got %v", row, err)
		}
	}
}

func TestPool_givesOutOrdinaryRepositories(t *testing.T) {
	p := NewPool([]string{"a", "b", "c"}, 1)
	take := func(want string) {
		t.Helper()
		if got, found := p.Take(); got != want || found != (want != "") {
			t.Errorf("got %q, %v; want %q", got, found, want)
		}
	}
	before := time.Now()
	take("a")
	take("b")
	take("") // the last one is kept
	p.Done("a", nil)
	p.Listed(before, nil) // knows nothing of the write
	take("")
	p.Listed(time.Now(), map[string]bool{"a": true})
	take("")
	p.Done("b", nil)
	p.Listed(time.Now(), map[string]bool{"a": true})
	take("c") // b was repaired
	p.Done("c", errAway)
	p.Rush()
	take("b") // the next in the round, as a is not clean
	take("")  // the others are behind since before the rush
	p.Done("b", nil)
	take("b") // behind, but written since
	p.Done("b", nil)
	p.Listed(time.Now(), map[string]bool{"a": true, "b": false, "c": true})
	take("")
	if got, found := p.Any(); found {
		t.Errorf("a reader got %q", got)
	}
	p.Calm()
	take("") // the last one is kept again
	p.Listed(time.Now(), map[string]bool{"b": false, "c": true})
	if got, _ := p.Any(); got != "a" {
		t.Errorf("a reader got %q, want one that can be read", got)
	}
}

func TestTraffic_writesAndReadsAndFindsItAllAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seeds, err := NewSeeds(ctx, t.TempDir(), 8)
	must.Succeed(t, err)
	c := cluster.Run(t, cluster.Options{
		Binaries: programs, Disk: seeds.Disk, Settings: "[consistency]\nmode = 'eventual'\nintent_linger = '100ms'\n",
	})
	must.Succeed(t, c.WaitConverged(ctx))
	from := time.Now()
	traffic, err := Start(ctx, c, "default", seeds.Paths(), Config{Writers: 3, Readers: 1, Homes: c.Instances})
	must.Succeed(t, err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for traffic.Acknowledged() < 20 {
		select {
		case <-ctx.Done():
			t.Fatalf("only %d writes were acknowledged", traffic.Acknowledged())
		case <-tick.C:
		}
	}
	traffic.Stop()
	got := traffic.Figures(Window{From: from})
	if got.WritesFailed+got.ReadsFailed > 0 || got.Reads == 0 || got.Writes != traffic.Acknowledged() {
		t.Errorf("got %+v", got)
	}
	must.Succeed(t, c.WaitConverged(ctx))
	if err := traffic.Verify(ctx); err != nil {
		t.Error(err)
	}
	traffic.made = append(traffic.made, Made{seeds.Paths()[0], Branch, "0123"})
	if traffic.Verify(ctx) == nil {
		t.Error("what was never written is not missed")
	}
}
