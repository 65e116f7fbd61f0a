package cataloguetest

import (
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// Both is a catalogue that remembers verifications.
type Both interface {
	Catalogue
	queue.Verifications
}

// ExerciseVerifications runs the suite of queue.Verifications on an empty catalogue.
func ExerciseVerifications(t *testing.T, c Both) {
	const vs, slack = "default", 10 * time.Minute
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func(path string) state.Key { return state.Key{VirtualStorage: vs, RelativePath: path} }
	next := func(what, path string, requested bool, age time.Duration) queue.Turn {
		t.Helper()
		turn, found, err := c.Next(ctx, vs)
		must(err)
		if !found || turn.RelativePath != path || turn.VirtualStorage != vs || turn.Requested != requested || turn.Age < age || turn.Age > age+slack {
			t.Errorf("%s: got %+v, %v, want %s (requested: %v, age: %v)", what, turn, found, path, requested, age)
		}
		return turn
	}
	waiting := func(what string, interval time.Duration, limit, requested, expired int) {
		t.Helper()
		r, e, err := c.Waiting(ctx, vs, interval, limit)
		must(err)
		if r != requested || e != expired {
			t.Errorf("%s: %d are requested and %d expired, want %d and %d", what, r, e, requested, expired)
		}
	}
	turnOf := func(path string) queue.Turn {
		t.Helper()
		turn, err := c.TurnOf(ctx, key(path))
		must(err)
		return turn
	}
	request := func(m queue.Marked, want int64) {
		t.Helper()
		n, err := c.Request(ctx, m)
		must(err)
		if n != want {
			t.Errorf("a request for %+v: %d repositories, want %d", m, n, want)
		}
	}

	if turn, found, err := c.Next(ctx, vs); found || err != nil {
		t.Errorf("of none: got %+v, %v", turn, err)
	}
	waiting("of none", time.Hour, 10, 0, 0)
	for _, k := range []state.Key{key("c.git"), key("b.git"), key("a.git"), {VirtualStorage: "other", RelativePath: "z.git"}} {
		must(c.Add(ctx, []state.Key{k}))
	}
	if turn := next("at first", "c.git", false, 0); turn.Since >= 0 {
		t.Errorf("before the first step: %+v", turn)
	}
	for path, back := range map[string]time.Duration{"a.git": 30 * time.Hour, "b.git": 20 * time.Hour, "c.git": 10 * time.Hour} {
		must(c.Note(ctx, turnOf(path), queue.Looked{Back: back}))
	}
	if turn := next("the oldest", "a.git", false, 30*time.Hour); turn.Since < 0 || turn.Since > slack {
		t.Errorf("after a step: %+v", turn)
	}
	waiting("some", 15*time.Hour, 10, 0, 2)
	waiting("one at most", 15*time.Hour, 1, 0, 1)
	must(c.Note(ctx, turnOf("a.git"), queue.Looked{Verified: []string{"g1", "g2"}, Unverified: []string{"g3"}}))
	taken := next("the next", "b.git", false, 20*time.Hour)

	request(queue.Marked{Key: state.Key{VirtualStorage: vs}, Storage: "g1"}, 3)
	request(queue.Marked{Key: state.Key{VirtualStorage: vs}}, 3)
	waiting("all", 15*time.Hour, 10, 3, 0)
	must(c.Note(ctx, taken, queue.Looked{})) // it was taken before the request
	waiting("all still", 15*time.Hour, 10, 3, 0)
	for _, path := range []string{"c.git", "b.git", "a.git"} { // none is older
		must(c.Note(ctx, next("requested", path, true, 0), queue.Looked{}))
	}
	waiting("done", 15*time.Hour, 10, 0, 0)
	request(queue.Marked{Key: key("a.git")}, 1)
	request(queue.Marked{Key: key("none.git")}, 0)
	next("one", "a.git", true, 0)

	if turn := turnOf("new.git"); turn.ID == 0 || turn.Requested || turn.Key != key("new.git") {
		t.Errorf("a new one: %+v", turn)
	}
	n, err := c.Count(ctx, vs)
	if err != nil || n != 4 {
		t.Errorf("counted %d, %v, want 4", n, err)
	}
	gone := turnOf("new.git")
	must(c.Remove(ctx, []state.Key{key("new.git")}))
	must(c.Note(ctx, gone, queue.Looked{Verified: []string{"g1"}}))
}
