package state

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawWish draws a wish, mostly for a repository with an entry, or the end of one.
func (h *history) drawWish(t *rapid.T, by Incarnation) Command {
	k := Key{vs, h.drawWithIntent(t, by)}
	return Command{Wish: &Wish{Key: k, BoundMillis: rapid.SampledFrom([]int64{0, 1, 5000, 5000}).Draw(t, "bound")}}
}

func wish(bound int64) Command { return Command{Wish: &Wish{Key: Key{vs, repo}, BoundMillis: bound}} }

// TestWish: it is there until its repair ends, its incarnation, or it is taken back.
func TestWish(t *testing.T) {
	for name, row := range map[string]struct {
		then func(*fixture)
		want bool
	}{
		"nothing happens":            {func(*fixture) {}, true},
		"another one opens":          {func(w *fixture) { w.must(beta, open(Open)) }, true},
		"another one closes":         {func(w *fixture) { w.must(beta, open(Open)); w.must(beta, closing(false)) }, true},
		"its own intent is closed":   {func(w *fixture) { w.must(alpha, closing(false)) }, false},
		"it is taken back":           {func(w *fixture) { w.must(alpha, wish(0)) }, false},
		"another one takes its back": {func(w *fixture) { w.must(beta, wish(0)) }, true},
		"its incarnation is retired": {func(w *fixture) { w.must(beta, proved(alpha, ProofOperator)) }, false},
		"another one is retired":     {func(w *fixture) { w.must(alpha, proved(beta, ProofOperator)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.must(alpha, open(Open, "p", "q"), markBehind("p"), wish(5000))
			row.then(w)
			e := w.entry()
			if has := e != nil && e.Wish != nil; has != row.want {
				t.Errorf("the entry is %+v", e)
			}
			if listed := slices.Contains(w.Wishes(), Key{vs, repo}); listed != row.want {
				t.Errorf("listed: %v", w.Wishes())
			}
		})
	}
}

func TestWish_refused(t *testing.T) {
	w := newFixture(t)
	w.refuses(alpha, wish(5000), RefusedUnknown)
	w.must(alpha, open(Open))
	w.refuses(alpha, wish(maxWish+1), RefusedInvalid)
}
