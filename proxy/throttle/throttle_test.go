package throttle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func enter(t *testing.T, th *Throttle, ctx context.Context, virtualStorage string) *Place {
	t.Helper()
	p, err := th.Enter(ctx, virtualStorage, "write")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestThrottle_waitsForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(Config{Most: 1}, prometheus.NewRegistry())
		one := enter(t, th, t.Context(), "default")
		enter(t, th, t.Context(), "other").Leave(nil, time.Time{}) // another virtual storage's writes do not wait
		in := make(chan *Place)
		began := time.Now()
		go func() {
			p, err := th.Enter(t.Context(), "default", "write")
			if err != nil {
				t.Error(err)
			}
			in <- p
		}()
		synctest.Wait()
		if got := testutil.ToFloat64(th.metrics.waiting.WithLabelValues("default")); got != 1 {
			t.Errorf("%v wait", got)
		}
		time.Sleep(time.Second)
		one.Leave(nil, time.Now())
		two := <-in
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited for %v", waited)
		}
		two.Leave(nil, time.Now())
		if got := testutil.ToFloat64(th.metrics.atWork.WithLabelValues("default")); got != 0 {
			t.Errorf("%v are at work", got)
		}
	})
}

// One that takes very long, or waits for something else, keeps no other one waiting. After that it
// waits for a place itself.
func TestThrottle_placesAreForStorages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(Config{Most: 1}, nil)
		long := enter(t, th, t.Context(), "default")
		began := time.Now()
		aside := enter(t, th, t.Context(), "default")
		if waited := time.Since(began); waited != placeFor {
			t.Errorf("waited for %v", waited)
		}
		aside.Aside()
		aside.Aside()
		third := enter(t, th, t.Context(), "default")
		time.AfterFunc(time.Second, func() { third.Leave(nil, time.Time{}) })
		began = time.Now()
		for range 2 { // once more: it has its place
			if err := aside.Back(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("it was back after %v", waited)
		}
		if g := th.gates["default"]; g.inside != 1 || g.room() {
			t.Errorf("%d at work", g.inside)
		}
		aside.Leave(nil, time.Time{})
		long.Leave(nil, time.Time{})
		if g := th.gates["default"]; g.inside != 0 {
			t.Errorf("%d at work", g.inside)
		}
	})
}

// A write that waits for something else says nothing of the storages, however it ends.
func TestThrottle_whatIsAsideIsNoCongestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(Config{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		const writes = 2 * first
		th.gates["default"] = th.metrics.measure("default", newGate(th.cfg))
		th.gates["default"].limit = writes
		var all []*Place
		for range writes {
			all = append(all, enter(t, th, ctx, "default"))
		}
		all[0].Aside()
		<-ctx.Done()
		all[0].Leave(ctx.Err(), time.Unix(1, 0))
		if limit := th.gates["default"].limit; limit != writes {
			t.Errorf("the bound is %v", limit)
		}
		all[1].Leave(ctx.Err(), time.Unix(1, 0))
		if limit := th.gates["default"].limit; limit >= writes {
			t.Errorf("after one that was not aside the bound is %v", limit)
		}
		for _, p := range all[2:] {
			p.Leave(nil, time.Time{})
		}
	})
}

// A write of which the client is gone leaves the line, and its place, if it has just got one.
func TestThrottle_clientsThatGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(Config{Most: 1}, prometheus.NewRegistry())
		one := enter(t, th, t.Context(), "default")
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := th.Enter(ctx, "default", "write")
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		w := &waiter{answer: make(chan error, 1)}
		th.step("default", func(g *gate) { g.waiting = append(g.waiting, w) })
		one.Leave(nil, time.Time{}) // gives it to w
		if err := th.giveUp("default", w, context.Canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if g := th.gates["default"]; g.inside != 0 || len(g.waiting) != 0 {
			t.Errorf("%d at work, %d wait", g.inside, len(g.waiting))
		}
		if n := testutil.CollectAndCount(th.metrics.refused); n != 0 {
			t.Errorf("%d refusals are counted", n)
		}
	})
}

// More writes than storages can do, all with a deadline: what is let in ends in time, and the rest is
// refused soon after it arrived.
func TestThrottle_overload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			deadline = 10 * time.Second
			each     = 80 * time.Millisecond // of which the storages do one after the other
		)
		th := New(Config{}, prometheus.NewRegistry())
		storages := make(chan struct{}, 1)
		var succeeded, late, refused int
		var slowest time.Duration
		ended := make(chan func())
		begun := 0
		for ; begun < 2400; begun++ { // 40 a second for a minute, where 12.5 are possible
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				arrived := time.Now()
				p, err := th.Enter(ctx, "default", "write")
				if err != nil {
					waited := time.Since(arrived)
					ended <- func() { refused++; slowest = max(slowest, waited) }
					return
				}
				select {
				case storages <- struct{}{}:
					time.Sleep(each)
					<-storages
				case <-ctx.Done():
				}
				p.Leave(ctx.Err(), arrived)
				if ctx.Err() == nil {
					ended <- func() { succeeded++ }
				} else {
					ended <- func() { late++ }
				}
			}()
			time.Sleep(25 * time.Millisecond)
			for {
				select {
				case count := <-ended:
					count()
					continue
				default:
				}
				break
			}
		}
		for succeeded+late+refused < begun {
			(<-ended)()
		}
		t.Logf("%d of %d succeeded, %d were refused after %v at most, %d ran out of time", succeeded, begun, refused, slowest, late)
		if late > begun/10 || succeeded < 600 || slowest > deadline {
			t.Errorf("%d succeeded, %d ran out of time", succeeded, late)
		}
	})
}
