package replicator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/cataloguetest"
)

// cataloguing runs what keeps the catalogue, and nothing else of a replicator.
func (w *fixture) cataloguing(leads bool) (r *Replicator, stop func()) {
	r = w.replicator(Config{})
	r.cataloguer.leads = func() bool { return leads }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.cataloguer.run(ctx) }()
	return r, func() { cancel(); <-done }
}

// withCatalogue gives the fixture a catalogue.
func (w *fixture) withCatalogue(paths ...string) *cataloguetest.Memory {
	var keys []state.Key
	for _, path := range paths {
		keys = append(keys, key(path))
	}
	c := cataloguetest.NewMemory(keys...)
	w.catalogue = c
	return c
}

// listed are the paths in a catalogue.
func listed(c *cataloguetest.Memory) string { return strings.Join(c.Paths(), " ") }

func TestCataloguer_followsWhatComesAndGoes(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		c := w.withCatalogue("gone.git")
		w.put("new.git", "x", "g1", "g2", "g3")
		r, stop := w.replicatingAs(t, Config{})
		defer stop()
		for _, path := range []string{"new.git", "gone.git", "never.git"} {
			r.Touch(key(path))
		}
		until(t, time.Second, func() bool { return listed(c) == "new.git" })

		// The primary is asked, which has the newest.
		w.reach("g1", false)
		r.Touch(key("new.git"))
		wait(time.Second)
		if got := listed(c); got != "new.git" {
			t.Errorf("nobody could say, and the catalogue has %q", got)
		}
	})
}

func TestCataloguer_dropsWhileTheCatalogueIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		c := w.withCatalogue()
		c.SetAway(true)
		w.put("a.git", "x", "g1", "g2", "g3")
		w.put("b.git", "x", "g1", "g2", "g3")
		r, stop := w.cataloguing(true)
		defer stop()
		r.Touch(key("a.git"))
		wait(time.Second)
		c.SetAway(false)
		r.Touch(key("b.git"))
		until(t, time.Second, func() bool { return listed(c) == "b.git" })
		// The comparison finds the other one.
		until(t, 10*time.Minute, func() bool { return listed(c) == "a.git b.git" })
	})
}

func TestCataloguer_comparesWithTheStorages(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var stale, want []string
		for n := range 3 * cataloguePage {
			stale = append(stale, fmt.Sprintf("gone-%04d.git", n))
			path := fmt.Sprintf("here-%04d.git", n)
			w.put(path, "x", "g1", "g2", "g3")
			want = append(want, path)
		}
		c := w.withCatalogue(append(stale, want[7])...)
		c.SetAway(true)
		_, stop := w.cataloguing(true)
		defer stop()
		wait(10 * time.Minute)
		if c.Calls() == 0 {
			t.Error("nothing was compared")
		}
		c.SetAway(false)
		wait(catalogueRetry + time.Minute)
		if got := listed(c); got != strings.Join(want, " ") {
			// The sieve takes one path in 10,000 for another one.
			if extra := strings.Count(got, "gone"); extra > 3 || strings.Count(got, "here") != len(want) {
				t.Errorf("the catalogue has %d repositories, %d of them gone", strings.Count(got, ".git"), extra)
			}
		}
		w.put("late.git", "x", "g1", "g2", "g3")
		calls := c.Calls()
		wait(23 * time.Hour)
		if c.Calls() != calls {
			t.Errorf("compared again within a day: %d calls", c.Calls()-calls)
		}
		wait(2 * time.Hour)
		if !strings.Contains(listed(c), "late.git") {
			t.Error("not compared again after a day")
		}
	})
}

func TestCataloguer_isTheLeadersWork(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		c := w.withCatalogue()
		w.put("a.git", "x", "g1", "g2", "g3")
		_, stop := w.cataloguing(false)
		wait(time.Hour)
		stop()
		if c.Calls() != 0 {
			t.Errorf("one that does not lead called the catalogue %d times", c.Calls())
		}
	})
}

func TestCataloguer_remembersNoMoreThanItMay(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.withCatalogue()
		r := w.replicator(Config{EnqueueLimit: 3}) // it does not run
		for n := range 10 {
			r.Touch(key(fmt.Sprint(n)))
		}
		if n := len(r.cataloguer.touched); n != 3 {
			t.Errorf("remembers %d, want 3", n)
		}
	})
}
