package partition

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// refuses wants the writes through an instance that began after a moment, when its
// lease must have ended or the primary was out of its reach, to be refused, and
// none to be acknowledged up to now.
func (l *load) refuses(t *testing.T, i *cluster.Instance, after time.Time) {
	t.Helper()
	l.w.eventually(t, i.Label()+" refuses writes", func(context.Context) error {
		refused := func(e event) bool { return e.isWrite(i.Label(), after) && status.Code(e.Err) == codes.Unavailable }
		if l.count(refused) == 0 {
			return errors.New("none was refused")
		}
		return nil
	})
	if n := l.count(func(e event) bool { return e.isWrite(i.Label(), after) && e.Err == nil }); n > 0 {
		t.Errorf("%s acknowledged %d writes that began after %s", i.Label(), n, after.Format(clock))
	}
}

// marksReads wants reads through an instance to be answered, as ones that may be old.
func (l *load) marksReads(t *testing.T, i *cluster.Instance) {
	t.Helper()
	l.w.eventually(t, i.Label()+" marks reads", func(context.Context) error {
		if l.count(func(e event) bool { return e.old && e.Home == i.Label() }) == 0 {
			return errors.New("none was marked")
		}
		return nil
	})
}

// partInstance leaves it what is dangerous: its clients and the storages.
func partInstance(t *testing.T, w *harness, l *load) {
	i := anyOf(w, w.c.Instances)
	must.Succeed(t, w.testbed.Part(t.Context(), []string{i.Label()}, scenario.Labels(scenario.Others(w.c, i))))
	parted := time.Now()
	l.goesOn(t, scenario.Others(w.c, i)...)
	l.refuses(t, i, parted.Add(lease))
	l.marksReads(t, i)
	w.heal(t)
}

func isolateLeader(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	must.Succeed(t, w.testbed.Isolate(t.Context(), i.Label()))
	isolated := time.Now()
	l.goesOn(t, scenario.Others(w.c, i)...)
	l.refuses(t, i, isolated.Add(lease))
	w.heal(t)
}

func muteLeader(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	oneWay(t, w, l, i, func(other string) error { return w.testbed.Cut(t.Context(), i.Label(), other) })
}

func deafenLeader(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	oneWay(t, w, l, i, func(other string) error { return w.testbed.Cut(t.Context(), other, i.Label()) })
}

// oneWay cuts one direction between the leader and its peers: they elect another
// one.
func oneWay(t *testing.T, w *harness, l *load, i *cluster.Instance, cut func(other string) error) {
	for _, other := range scenario.Labels(scenario.Others(w.c, i)) {
		must.Succeed(t, cut(other))
	}
	done := time.Now()
	l.goesOn(t, scenario.Others(w.c, i)...)
	l.refuses(t, i, done.Add(lease))
	w.heal(t)
}

// bridge parts the leader from one peer, while the other one sees both.
func bridge(t *testing.T, w *harness, l *load) {
	i := scenario.Leader(t, w.c)
	others := scenario.Others(w.c, i)
	w.random.Shuffle(len(others), func(a, b int) { others[a], others[b] = others[b], others[a] })
	must.Succeed(t, w.testbed.Part(t.Context(), []string{i.Label()}, []string{others[0].Label()}))
	last(t, 2*lasting)
	l.goesOn(t, others[1])
	w.heal(t)
}

// losePrimaryAlone shows that one instance of three is not enough to replace a
// primary.
func losePrimaryAlone(t *testing.T, w *harness, l *load) {
	i, primary := anyOf(w, w.c.Instances), scenario.Primary(t, w.c, vs)
	before := w.status(t, i)
	must.Succeed(t, w.testbed.Part(t.Context(), []string{i.Label()}, []string{primary.Label()}))
	w.eventually(t, i.Label()+" misses "+primary.Label(), func(ctx context.Context) error {
		answer, err := i.Admin().Status(ctx, admin.StatusRequest{VirtualStorage: vs})
		if err != nil {
			return err
		}
		for _, s := range answer.VirtualStorages[0].Storages {
			if s.Name == primary.Name && s.Reachable {
				return errors.New("it is reachable")
			}
		}
		return nil
	})
	missed := time.Now()
	l.refuses(t, i, missed)
	l.goesOn(t, scenario.Others(w.c, i)...)
	last(t, time.Until(missed.Add(2*lasting)))
	after := w.status(t, i)
	if after.Primary != before.Primary || after.Epoch != before.Epoch {
		t.Errorf("%s is the primary of epoch %d, and %s was it of %d", after.Primary, after.Epoch, before.Primary, before.Epoch)
	}
	w.heal(t)
}

// status is what an instance says of the virtual storage.
func (w *harness) status(t *testing.T, i *cluster.Instance) (v admin.VirtualStorage) {
	t.Helper()
	w.eventually(t, i.Label()+" tells its status", func(ctx context.Context) error {
		answer, err := i.Admin().Status(ctx, admin.StatusRequest{VirtualStorage: vs})
		if err == nil {
			v = answer.VirtualStorages[0]
		}
		return err
	})
	return v
}

// losePrimaryTogether shows that two are enough, also for the third, which could go
// on with the old primary.
func losePrimaryTogether(t *testing.T, w *harness, l *load) {
	i, primary := anyOf(w, w.c.Instances), scenario.Primary(t, w.c, vs)
	must.Succeed(t, w.testbed.Part(t.Context(), scenario.Labels(scenario.Others(w.c, i)), []string{primary.Label()}))
	w.succeeded(t, primary, i)
	l.goesOn(t, w.c.Instances...)
	w.heal(t)
}

// succeeded waits until another storage is the primary, as instances see it.
func (w *harness) succeeded(t *testing.T, old *cluster.Storage, seenBy ...*cluster.Instance) {
	t.Helper()
	began := time.Now()
	for _, i := range seenBy {
		w.eventually(t, "there is another primary", func(ctx context.Context) error {
			answer, err := i.Admin().Status(ctx, admin.StatusRequest{VirtualStorage: vs})
			if err != nil {
				return err
			}
			if now := answer.VirtualStorages[0].Primary; now == old.Name || now == "" {
				return fmt.Errorf("it is %q", now)
			}
			return nil
		})
	}
	t.Logf("another storage was the primary after %v", time.Since(began).Round(time.Millisecond))
}

func losePackets(t *testing.T, w *harness, l *load) {
	const share, enough = 0.25, 10
	began := time.Now()
	w.eachWay(func(from, to *cluster.Instance) {
		must.Succeed(t, w.testbed.Lose(t.Context(), from.Label(), to.Label(), share))
	})
	last(t, 4*lasting)
	w.eventually(t, "writes are acknowledged in spite of the loss", func(context.Context) error {
		n := l.count(func(e event) bool { return e.Kind == workload.Write && e.Err == nil && e.Began.After(began) })
		if n < enough {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
	w.heal(t)
}

func delayMessages(t *testing.T, w *harness, l *load) {
	const wait = 100 * time.Millisecond
	w.eachWay(func(from, to *cluster.Instance) {
		_, text, err := net.SplitHostPort(to.RaftAddr)
		must.Succeed(t, err)
		port, err := strconv.Atoi(text)
		must.Succeed(t, err)
		must.Succeed(t, w.testbed.Delay(t.Context(), from.Label(), to.Label(), port, wait))
	})
	last(t, 2*lasting)
	l.goesOn(t, w.c.Instances...)
	w.heal(t)
}

func (w *harness) eachWay(do func(from, to *cluster.Instance)) {
	for _, from := range w.c.Instances {
		for _, to := range scenario.Others(w.c, from) {
			do(from, to)
		}
	}
}
