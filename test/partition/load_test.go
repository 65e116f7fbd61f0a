package partition

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const (
	// balanced is the route of clients that leave it to the balancer where they go.
	balanced = "the balancer"
	// register is the reference of each busy repository that all its writers set.
	register = "refs/keep/register"
)

// load is clients at work, each doing one thing after the other, and what they
// know of it.
type load struct {
	w       *harness
	name    string // no other load makes commits of that name
	conns   []*grpc.ClientConn
	workers *workload.Workers
	ended   sync.Once

	mu        sync.Mutex
	events    []event                         // guarded by mu
	made      []workload.Made                 // acknowledged commits; guarded by mu
	registers map[string][]workload.Operation // by path; guarded by mu
	spares    int                             // how many spare repositories were written to; guarded by mu
}

// event is one operation, from its begin to its answer.
type event struct {
	workload.Event
	old bool // the answer was marked as one that may be old
}

// startLoad has two writers work on each busy repository, and readers read the same,
// through the balancer and through each instance.
func startLoad(t *testing.T, w *harness, name string) *load {
	t.Helper()
	l := &load{w: w, name: name, workers: workload.NewWorkers(), registers: make(map[string][]workload.Operation)}
	t.Cleanup(l.end)
	one, two, three := w.c.Instances[0], w.c.Instances[1], w.c.Instances[2]
	for n, routes := range [busy][2]*cluster.Instance{{nil, one}, {two, three}, {nil, nil}} {
		for m, to := range routes {
			client, route := l.connect(t, to)
			writer := fmt.Sprintf("writer-%d", m)
			l.workers.Start(0, 300*time.Millisecond, func(turn int) { l.write(client, route, w.paths[n], writer, turn) })
		}
	}
	for _, to := range []*cluster.Instance{nil, one, two, three} {
		client, route := l.connect(t, to)
		l.workers.Start(0, 60*time.Millisecond, func(turn int) { l.read(client, route, w.paths[turn%busy]) })
	}
	w.eventually(t, "clients are served", func(context.Context) error {
		if n := l.count(func(e event) bool { return e.Kind == workload.Write && e.Err == nil }); n < 2*busy {
			return fmt.Errorf("%d writes were acknowledged", n)
		}
		return nil
	})
	return l
}

// connect makes a client of an instance, or of the balancer.
func (l *load) connect(t *testing.T, to *cluster.Instance) (workload.Client, string) {
	t.Helper()
	addr, route := l.w.c.Balancer.Addr, balanced
	if to != nil {
		addr, route = to.Addr, to.Label()
	}
	conn, err := cluster.Dial(addr, l.w.c.Token)
	must.Succeed(t, err)
	l.conns = append(l.conns, conn)
	client := workload.Client{Conn: conn, VirtualStorage: vs}
	ctx, cancel := context.WithTimeout(t.Context(), scenario.WaitLimit)
	defer cancel()
	must.Succeed(t, client.Connected(ctx))
	return client, route
}

// end lets every client finish what it is doing, and returns when all have.
func (l *load) end() {
	l.ended.Do(func() {
		l.workers.Stop()
		for _, conn := range l.conns {
			_ = conn.Close() // nothing is under way
		}
	})
}

// write makes a commit on the branch of a writer and points the register to it.
func (l *load) write(client workload.Client, route, path, branch string, turn int) {
	id := l.commit(client, route, path, branch, fmt.Sprintf("%s-%s-%d", l.name, branch, turn))
	if id == "" {
		return
	}
	o := workload.Operation{Set: true, Value: id}
	err := l.do(workload.Write, route, path, func(ctx context.Context) (bool, error) {
		o.Began = time.Now()
		defer func() { o.Ended = time.Now() }()
		return false, client.Point(ctx, path, register, id, "")
	})
	o.Unknown = err != nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.registers[path] = append(l.registers[path], o)
}

// commit makes a commit and returns its id; empty if it was not acknowledged.
func (l *load) commit(client workload.Client, route, path, branch, subject string) (id string) {
	err := l.do(workload.Write, route, path, func(ctx context.Context) (_ bool, err error) {
		id, err = client.Commit(ctx, path, branch, subject)
		return false, err
	})
	if err != nil {
		return ""
	}
	l.acknowledge(path, branch, id)
	return id
}

func (l *load) acknowledge(path, branch, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, workload.Made{Path: path, Branch: branch, ID: id})
}

// read reads the register of a repository.
func (l *load) read(client workload.Client, route, path string) {
	var o workload.Operation
	var old bool
	err := l.do(workload.Read, route, path, func(ctx context.Context) (bool, error) {
		var trailer metadata.MD
		var err error
		o.Began = time.Now()
		o.Value, err = client.Find(ctx, path, register, grpc.Trailer(&trailer))
		o.Ended, old = time.Now(), len(trailer.Get(workload.Unleased)) > 0
		return old, err
	})
	if err != nil || old {
		return // it says nothing, or is marked as what may have been true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.registers[path] = append(l.registers[path], o)
}

// do does one operation and notes how it ended. It is not ended by the end of the
// load: what its client gives up is in doubt.
func (l *load) do(kind workload.Kind, route, path string, operation func(context.Context) (old bool, err error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), operationLimit)
	defer cancel()
	e := event{Event: workload.Event{Kind: kind, Home: route, Path: path, Began: time.Now()}}
	e.old, e.Err = operation(ctx)
	e.Ended = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	return e.Err
}

// count counts the events so far that are such.
func (l *load) count(such func(event) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if such(e) {
			n++
		}
	}
	return n
}

// goesOn wants writes begun from now on to be acknowledged through instances: of
// repositories that had no part in what happened, as those which were being written
// to when a primary was lost wait for it.
func (l *load) goesOn(t *testing.T, through ...*cluster.Instance) {
	t.Helper()
	for _, i := range through {
		client := workload.Client{Conn: i.Conn(), VirtualStorage: vs}
		l.w.eventually(t, "a write through "+i.Label()+" is acknowledged", func(context.Context) error {
			path, subject := l.spare()
			if l.commit(client, "check of "+i.Label(), path, "spare", subject) == "" {
				return fmt.Errorf("not that to %q", path)
			}
			return nil
		})
	}
}

// spare is the next spare repository, with the subject of a commit to it.
func (l *load) spare() (path, subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spares++
	return l.w.paths[busy+l.spares%spare], fmt.Sprintf("%s-spare-%d", l.name, l.spares)
}
