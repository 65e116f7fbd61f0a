package transaction

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
)

// enter waits for the turn of a write.
func enter(t *testing.T, o *order, ctx context.Context, key state.Key) (leave func()) {
	return enterHanging(t, o, ctx, key, false)
}

// enterHanging is enter of a write that hangs once it is inside, or not.
func enterHanging(t *testing.T, o *order, ctx context.Context, key state.Key, hangs bool) (leave func()) {
	leave, err := o.enter(ctx, key, func() bool { return hangs })
	if err != nil {
		t.Error(err)
		return func() {}
	}
	return leave
}

func TestOrder_onlyOfWritesThatContend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		began := time.Now()
		for range 3 {
			defer enter(t, &o, t.Context(), repository)()
		}
		o.contended(repository, time.Now(), 0)
		defer enter(t, &o, t.Context(), state.Key{VirtualStorage: "default", RelativePath: "b.git"})()
		leave := enter(t, &o, t.Context(), repository)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited for %v", waited)
		}
		entered := make(chan time.Duration)
		go func() {
			defer enter(t, &o, t.Context(), repository)()
			entered <- time.Since(began)
		}()
		time.Sleep(100 * time.Millisecond)
		leave()
		if at := <-entered; at != 100*time.Millisecond {
			t.Errorf("the next one is in after %v", at)
		}
		time.Sleep(orderedFor)
		if o.ordered([]state.Key{repository}, time.Now()) {
			t.Error("they are ordered still")
		}
		enter(t, &o, t.Context(), repository)()
		if len(o.lines) > 0 {
			t.Errorf("kept: %v", o.lines)
		}
	})
}

// None waits long for one that takes long, and one that gives up lets the others pass.
func TestOrder_bounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		o.contended(repository, time.Now(), 0)
		began := time.Now()
		slow := enter(t, &o, t.Context(), repository)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		gaveUp := make(chan time.Duration)
		go func() {
			defer enter(t, &o, ctx, repository)()
			gaveUp <- time.Since(began)
		}()
		synctest.Wait()
		entered := make(chan time.Duration)
		go func() {
			defer enter(t, &o, t.Context(), repository)()
			entered <- time.Since(began)
		}()
		if at := <-gaveUp; at != 300*time.Millisecond {
			t.Errorf("gave up after %v", at)
		}
		if at := <-entered; at != insideFor {
			t.Errorf("waited for a slow one for %v", at)
		}
		slow()

		o.contended(repository, time.Now(), 0)
		leave := enter(t, &o, t.Context(), repository)
		defer leave()
		synctest.Wait()
		for range lineLimit {
			go func() { defer enter(t, &o, t.Context(), repository)() }()
		}
		synctest.Wait()
		if _, err := o.enter(t.Context(), repository, nil); err != ErrCrowded {
			t.Errorf("behind %d: %v", lineLimit, err)
		}
		time.Sleep(lineFor)
		synctest.Wait()
		if l := o.lines[repository]; l != nil && len(l.waiting) > 0 {
			t.Errorf("%d wait", len(l.waiting))
		}
	})
}

// Writes that were under way before are let go first.
func TestOrder_afterThoseUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		began := time.Now()
		under := o.contended(repository, time.Now(), 3)
		entered := make(chan time.Duration)
		go func() {
			defer enter(t, &o, t.Context(), repository)()
			entered <- time.Since(began)
		}()
		for _, leave := range under[1:] {
			time.Sleep(10 * time.Millisecond)
			leave()
			leave()
		}
		if more := o.contended(repository, time.Now(), 5); more != nil {
			t.Errorf("%d count twice", len(more))
		}
		if at := <-entered; at != insideFor { // one of them takes long
			t.Errorf("in after %v", at)
		}
	})
}

func TestOrder_memoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		for n := range orderedKept + 10 {
			o.contended(state.Key{VirtualStorage: "default", RelativePath: fmt.Sprint(n)}, time.Now(), 0)
		}
		if len(o.lines) > orderedKept {
			t.Errorf("%d repositories", len(o.lines))
		}
		time.Sleep(orderedFor)
		o.contended(repository, time.Now(), 0)
		if len(o.lines) != 1 {
			t.Errorf("%d repositories when they do not contend any more", len(o.lines))
		}
	})
}

// A write that would wait for more than half of its time, as fast as the line moves, is refused on
// arrival.
func TestOrder_refusesWhatWouldBeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		o.contended(repository, time.Now(), 0)
		leave := enter(t, &o, t.Context(), repository)
		in := make(chan func())
		const waiting = 12
		for range waiting {
			go func() { in <- enter(t, &o, t.Context(), repository) }()
			synctest.Wait()
		}
		for range 4 { // one each second; 8 wait then
			time.Sleep(time.Second)
			leave()
			leave = <-in
		}
		for within, want := range map[time.Duration]error{15 * time.Second: ErrCrowded, 18 * time.Second: nil} {
			if _, _, err := o.join(repository, time.Now().Add(within)); err != want {
				t.Errorf("with %v left: %v, want %v", within, err, want)
			}
		}
		for range waiting - 4 {
			leave()
			leave = <-in
		}
		leave()
	})
}

// TestOrder_paceOutlivesWritesThatTakeLong has a line that moved every second stand still. If its write
// takes long, others that come are judged by the pace of before; if it hangs, they wait: what it waits
// for may be over soon.
func TestOrder_paceOutlivesWritesThatTakeLong(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var o order
			o.contended(repository, time.Now(), 0)
			leave := enterHanging(t, &o, t.Context(), repository, hangs)
			const waiting = 12
			in := make(chan func(), waiting)
			for range waiting {
				go func() { in <- enterHanging(t, &o, t.Context(), repository, hangs) }()
				synctest.Wait()
			}
			for range 4 {
				time.Sleep(time.Second)
				leave()
				leave = <-in
			}
			time.Sleep(insideFor) // 7 wait then, and the line has been long for that time
			synctest.Wait()
			for within, want := range map[time.Duration]error{52 * time.Second: ErrCrowded, 74 * time.Second: nil} {
				if hangs {
					want = nil
				}
				if _, _, err := o.join(repository, time.Now().Add(within)); err != want {
					t.Errorf("hangs %v, with %v left: %v, want %v", hangs, within, err, want)
				}
			}
			leave()
			for range waiting - 4 {
				(<-in)()
			}
		})
	}
}

// TestOrder_learnsFromTheWritesUnderWay has eight writes be under way when they begin to contend, of
// which one ends each second: another one that has 20 s waits while it is not known how fast, and is
// refused once it is.
func TestOrder_learnsFromTheWritesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o order
		const underWay, given = 8, 20 * time.Second
		leave := o.contended(repository, time.Now(), underWay)
		in := make(chan func(), underWay)
		wait := func() {
			go func() { in <- enter(t, &o, t.Context(), repository) }()
			synctest.Wait()
		}
		for range underWay {
			wait()
		}
		if _, _, err := o.join(repository, time.Now().Add(given)); err != nil {
			t.Errorf("nothing is known of the line: %v", err)
		}
		for n := range 2 {
			time.Sleep(time.Second)
			leave[n]()
		}
		if _, _, err := o.join(repository, time.Now().Add(given)); err != ErrCrowded {
			t.Errorf("at one write a second, with 14 ahead: %v", err)
		}
		for _, l := range leave {
			l()
		}
		for range underWay {
			(<-in)()
		}
	})
}
