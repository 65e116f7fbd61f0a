package throttle

import (
	"errors"
	"testing"
	"time"
)

// fixture is a gate and its clock.
type fixture struct {
	*gate
	t   *testing.T
	now time.Time
}

func newFixture(t *testing.T, cfg Config) *fixture {
	return &fixture{gate: newGate(cfg.withDefaults()), t: t, now: time.Unix(1e9, 0)}
}

// enters has a write arrive with a deadline after within, 0 for none.
func (r *fixture) enters(within time.Duration) (*waiter, error) {
	w := &waiter{answer: make(chan error, 1)}
	if within > 0 {
		w.until, w.given = r.now.Add(within), within
	}
	return w, r.gate.enter(r.now, w)
}

// fill has writes go to work until the next one would wait.
func (r *fixture) fill() {
	r.t.Helper()
	for r.room() {
		if _, err := r.enters(0); err != nil {
			r.t.Fatal(err)
		}
	}
}

// ends has a write end that took some time of what it was given, and frees its place.
func (r *fixture) ends(took, given time.Duration) {
	r.learn(r.now, result{took: took, given: given, done: true})
	r.leave(r.now)
}

// answered is what a write that waited was told, if it was.
func answered(w *waiter) (err error, ok bool) {
	select {
	case err = <-w.answer:
		return err, true
	default:
		return nil, false
	}
}

func TestGate_inOrderOfArrival(t *testing.T) {
	r := newFixture(t, Config{Most: 2, Waiting: 2})
	r.fill()
	one, err := r.enters(0)
	two, err2 := r.enters(0)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if _, err := r.enters(0); !errors.Is(err, ErrFull) {
		t.Errorf("the third that waits: %v", err)
	}
	r.leave(r.now)
	if err, ok := answered(one); err != nil || !ok {
		t.Errorf("the first: %v %v", err, ok)
	}
	if _, ok := answered(two); ok {
		t.Error("the second is in")
	}
	if r.inside != 2 || len(r.waiting) != 1 {
		t.Errorf("%d inside, %d wait", r.inside, len(r.waiting))
	}
}

// A write is refused on arrival if its deadline is before its turn, as fast as the line moves, and
// waits if it is after it.
func TestGate_refusesOnArrivalWhatWouldBeLate(t *testing.T) {
	r := newFixture(t, Config{Most: 1})
	r.fill()
	for range 21 {
		if _, err := r.enters(0); err != nil {
			t.Fatal(err)
		}
	}
	for range 11 { // one each 100 ms; 10 wait then
		r.now = r.now.Add(100 * time.Millisecond)
		r.ends(100*time.Millisecond, 0)
	}
	if _, err := r.enters(900 * time.Millisecond); !errors.Is(err, ErrLate) {
		t.Errorf("its turn comes after 1 s, its deadline after 0.9 s: %v", err)
	}
	if _, err := r.enters(1050 * time.Millisecond); !errors.Is(err, ErrLate) {
		t.Errorf("writes take 100 ms, and this one has 50 ms from its turn: %v", err)
	}
	if _, err := r.enters(1900 * time.Millisecond); !errors.Is(err, ErrLate) {
		t.Errorf("one that would wait for more than half of its time: %v", err)
	}
	if _, err := r.enters(5 * time.Second); err != nil {
		t.Errorf("one that can succeed: %v", err)
	}
	if _, err := r.enters(0); err != nil {
		t.Errorf("one without a deadline: %v", err)
	}
}

// A write that is back from waiting for something else goes ahead of those that have not begun, behind
// others that are back, and is refused only if it is sure to be late.
func TestGate_thoseThatAreBackGoAhead(t *testing.T) {
	r := newFixture(t, Config{Most: 1, Waiting: 1})
	r.fill()
	first, err := r.enters(0)
	if err != nil {
		t.Fatal(err)
	}
	r.pace.mean = time.Second
	var back []*waiter
	for _, within := range []time.Duration{1200 * time.Millisecond, 2 * time.Second} {
		w := &waiter{back: true, until: r.now.Add(within), given: 10 * time.Second, answer: make(chan error, 1)}
		if err := r.gate.enter(r.now, w); err != nil {
			t.Fatalf("with %v left: %v", within, err)
		}
		back = append(back, w)
	}
	late := &waiter{back: true, until: r.now.Add(1900 * time.Millisecond), given: 10 * time.Second, answer: make(chan error, 1)}
	if err := r.gate.enter(r.now, late); !errors.Is(err, ErrLate) {
		t.Errorf("its turn comes after 2 s, its deadline after 1.9 s: %v", err)
	}
	for n, w := range append(back, first) {
		if _, ok := answered(w); ok {
			t.Fatalf("%d is in too early", n)
		}
		r.leave(r.now)
		if err, ok := answered(w); err != nil || !ok {
			t.Errorf("%d: %v %v", n, err, ok)
		}
	}
	if r.inside != 1 || len(r.waiting) != 0 {
		t.Errorf("%d inside, %d wait", r.inside, len(r.waiting))
	}
}

// Writes that have become hopeless while they waited do not keep the next one waiting.
func TestGate_passesOverWhatIsTooLate(t *testing.T) {
	r := newFixture(t, Config{Most: 1})
	r.fill()
	var hopeless []*waiter
	for range 5 {
		w, err := r.enters(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		hopeless = append(hopeless, w)
	}
	good, err := r.enters(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(800 * time.Millisecond)
	r.ends(500*time.Millisecond, 0)
	for i, w := range hopeless {
		if err, _ := answered(w); !errors.Is(err, ErrLate) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err, ok := answered(good); err != nil || !ok {
		t.Errorf("the one that can succeed: %v %v", err, ok)
	}
}

// A write is measured by what writes of its kind take, and never refused with half of its time left.
func TestGate_judgesByTheKind(t *testing.T) {
	r := newFixture(t, Config{Most: 1})
	r.learn(r.now, result{kind: "slow", took: 20 * time.Second, done: true})
	r.learn(r.now, result{kind: "fast", took: 100 * time.Millisecond, done: true})
	r.fill()
	var ws []*waiter
	for _, kind := range []string{"slow", "fast", "unknown"} {
		w := &waiter{kind: kind, until: r.now.Add(10 * time.Second), given: 10 * time.Second, answer: make(chan error, 1)}
		if err := r.gate.enter(r.now, w); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		ws = append(ws, w)
	}
	r.now = r.now.Add(6 * time.Second)
	for range ws {
		r.leave(r.now)
	}
	for i, want := range []error{ErrLate, nil, nil} {
		if err, _ := answered(ws[i]); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", ws[i].kind, err, want)
		}
	}
}

func TestGate_boundFollowsTheStorages(t *testing.T) {
	r := newFixture(t, Config{Most: 1000})
	if r.limit != first {
		t.Fatalf("begins with %v", r.limit)
	}
	// It doubles while writes are fast.
	for range 2 * first {
		r.fill()
		r.ends(50*time.Millisecond, 10*time.Second)
	}
	if r.limit != 3*first {
		t.Errorf("grew to %v", r.limit)
	}
	// It shrinks once a second while they are slow, but never below the least.
	r.fill()
	for range 10 {
		r.ends(4*time.Second, 10*time.Second)
	}
	if r.limit != 3*first*3/4 {
		t.Errorf("one step down: %v", r.limit)
	}
	for range 20 {
		r.now = r.now.Add(shrinkEvery)
		r.fill()
		r.ends(4*time.Second, 10*time.Second)
	}
	if r.limit != least {
		t.Errorf("shrank to %v", r.limit)
	}
	// It grows slowly then, and only while it is filled.
	for range 100 {
		r.fill()
		r.ends(50*time.Millisecond, 10*time.Second)
	}
	grown := r.limit
	if grown <= least+2 || grown > 2*least {
		t.Errorf("grew to %v", grown)
	}
	for r.inside > 1 {
		r.leave(r.now)
	}
	r.ends(50*time.Millisecond, 10*time.Second)
	if r.limit != grown {
		t.Errorf("grew to %v with one write at work", r.limit)
	}
}

// What says nothing of the number of writes leaves the bound alone.
func TestGate_slowAloneIsNoCongestion(t *testing.T) {
	r := newFixture(t, Config{Most: 1000})
	for range least {
		if _, err := r.enters(0); err != nil {
			t.Fatal(err)
		}
	}
	const grown = 2 * first
	r.limit = grown
	for name, ended := range map[string]result{
		"few are at work":                 {took: 9 * time.Second, given: 10 * time.Second, done: true},
		"fast, with a short deadline":     {took: 300 * time.Millisecond, given: 400 * time.Millisecond, outOfTime: true},
		"slow, of a client without haste": {took: time.Minute, given: time.Hour, done: true},
		"slow, without a deadline":        {took: time.Hour, done: true},
	} {
		r.now = r.now.Add(time.Minute)
		if r.learn(r.now, ended); r.limit != grown {
			t.Errorf("%s: %v", name, r.limit)
		}
	}
}

// A bound that is filled stays where writes take a while, but not long.
func TestGate_enoughIsEnough(t *testing.T) {
	r := newFixture(t, Config{Most: 1000})
	for range first {
		r.fill()
		r.ends(2*time.Second, 10*time.Second)
	}
	if r.limit != first {
		t.Errorf("the bound is %v", r.limit)
	}
	r.fill()
	r.ends(2*time.Second, time.Minute)
	if r.limit <= first || r.limit >= first+1 { // slowly, as it is known that a write can take long
		t.Errorf("of clients with more time: the bound is %v", r.limit)
	}
}

func TestGate_mostIsMost(t *testing.T) {
	for _, most := range []int{1, 5, least, first + 1} {
		r := newFixture(t, Config{Most: most})
		for range 4 * first {
			r.fill()
			if r.inside > most {
				t.Fatalf("%d of %d at work", r.inside, most)
			}
			r.ends(time.Millisecond, time.Second)
		}
		for range 20 {
			r.now = r.now.Add(shrinkEvery)
			r.fill()
			r.ends(4*time.Second, 10*time.Second)
		}
		if want := float64(min(least, most)); r.limit != want {
			t.Errorf("of %d: shrank to %v, want %v", most, r.limit, want)
		}
	}
}
