package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/throttle"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

// TestWrite_beyondTheLimits: writes of any repositories share the places; one that finds neither a
// place nor room to wait is told so, and touches nothing.
func TestWrite_beyondTheLimits(t *testing.T) {
	w := newFixtureWith(t, Config{Writes: throttle.Config{Most: 1, Waiting: 1}})
	for _, path := range []string{"a.git", "b.git", "c.git"} {
		w.create(path)
	}
	reached, proceed := make(chan struct{}, 8), make(chan struct{})
	w.storages["gitaly-1"].setHook(func(context.Context, memory.Call) (bool, error) {
		reached <- struct{}{}
		<-proceed
		return true, nil
	})
	ended := make(chan error, 2)
	write := func(path string) { ended <- w.writeRef(t.Context(), path, "refs/heads/main", revision) }
	go write("a.git")
	<-reached
	go write("b.git")
	w.eventually(func() error {
		if got := w.sample("praefect_write_places_awaited"); got != 1 {
			return errors.New("the second write does not wait")
		}
		return nil
	})
	err := w.writeRef(t.Context(), "c.git", "refs/heads/main", revision)
	isRetryInfo := func(detail any) bool { _, ok := detail.(*errdetails.RetryInfo); return ok }
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || !slices.ContainsFunc(st.Details(), isRetryInfo) || !strings.Contains(st.Message(), "limits.max_waiting_writes") {
		t.Errorf("got %v", err)
	}
	close(proceed)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := w.sample("praefect_writes_refused_total"); got != 1 {
		t.Errorf("%v refusals are counted", got)
	}
}

// TestWrite_waitsForAPlaceAfterItsPrimary: a write that has waited for a primary finds the places
// taken. It waits for one until its deadline, and has touched nothing; the next one of its repository
// is not in its way.
func TestWrite_waitsForAPlaceAfterItsPrimary(t *testing.T) {
	w := newFixtureWith(t, Config{Writes: throttle.Config{Most: 1}})
	w.create("a.git")
	w.session.lose(true)
	place := func() *throttle.Place {
		p, err := w.server.throttle.Enter(t.Context(), "default", "write")
		must.Succeed(t, err)
		return p
	}
	one := place()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.writeRef(ctx, "a.git", "refs/heads/late", revision) }()
	w.eventually(func() error {
		if w.sample("praefect_write_places_awaited") != 1 {
			return errors.New("the write does not wait for a place")
		}
		return nil
	})
	one.Leave(nil, time.Time{})
	taken := place() // once the write has put it aside
	before := asked(w)
	w.session.lose(false)
	if err := <-ended; status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if n := asked(w) - before; n != 0 {
		t.Errorf("storages were asked %d times", n)
	}
	taken.Leave(nil, time.Time{})
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); err != nil {
		t.Error(err)
	}
	w.closed("a.git")
}

// TestWrite_ofNoVirtualStorage: names of the client's choice are not kept.
func TestWrite_ofNoVirtualStorage(t *testing.T) {
	w := newFixture(t)
	request := &request{keys: []state.Key{{VirtualStorage: "elsewhere", RelativePath: "a.git"}}}
	if at, err := w.server.place(t.Context(), request); at != nil || err != nil {
		t.Errorf("got %v %v", at, err)
	}
	if got := w.sample("praefect_write_places"); got != 0 {
		t.Errorf("%v places", got)
	}
}

// sample is the sum over the series of a metric of the instance.
func (w *fixture) sample(name string) (sum float64) {
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Error(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			sum += series.GetGauge().GetValue() + series.GetCounter().GetValue()
		}
	}
	return sum
}
