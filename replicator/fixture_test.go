package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/ledger/ledgertest"
	"praefect/proxy/router"
	"praefect/replicator/queue"
	"praefect/test/must"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const vsName = "default"

func key(path string) state.Key { return state.Key{VirtualStorage: vsName, RelativePath: path} }

// fixture is what a replicator lives in: the agreed state, this instance's ledger
// of writes, and storages whose repositories are a string each. Every change of
// the state or of a storage is checked.
type fixture struct {
	t     *testing.T
	mu    sync.Mutex
	disks map[string]*disk // immutable map; the disks are guarded by mu
	view  *state.State     // guarded by mu
	// faults decides what becomes of a call, fate of a proposal.
	faults func(storage, method string) fate                  // guarded by mu
	fate   func(cmds []state.Command) (apply bool, err error) // guarded by mu
	broken []string                                           // rules that were broken; guarded by mu
	log    []string                                           // of the commands; guarded by mu
	// heads are what HEAD names, by storage and path; leavesHead has copies leave it
	// alone. Both guarded by mu.
	heads      map[string]string
	leavesHead bool
	locked     map[string]bool // replicas with a stale lock, by storage and path; guarded by mu
	ruined     map[string]bool // likewise those onto which no copy succeeds; guarded by mu
	damaged    map[string]bool // likewise those from which none does; guarded by mu
	sloppy     string          // the storage that reports copies that it has not made
	untracked  string          // a path that was put on some storages behind our back
	calls      map[string]int  // by method and storage; guarded by mu
	moved      chan struct{}   // closed when a connection comes or goes; guarded by mu
	node       *node           // of the living incarnation
	locks      *ledger.Ledger  // likewise
	others     []*node         // of other instances; guarded by mu
	queue      queue.Queue
	catalogue  Catalogue // nil: there is none
	// verifications is nil if nothing is verified.
	verifications queue.Verifications
	leads         func() bool                         // nil: it leads
	faultQ        func(queue.Operation) (bool, error) // guarded by mu
}

// disk is a storage.
type disk struct {
	fixture *fixture
	name    string
	away    bool
	links   int               // connections so far
	repos   map[string]string // content by path: refs, perhaps + and something else, perhaps the pool that it borrows from
}

// node is one incarnation's door to the state.
type node struct {
	fixture *fixture
	inc     state.Incarnation
	number  uint64
	changed chan struct{}
	dead    bool // the process is gone: nothing of it reaches the log; guarded by fixture.mu
}

// newFixture makes a fixture in which g1, g2 and g3 serve.
func newFixture(t *testing.T) *fixture {
	w := newFounded(t)
	for _, name := range []string{"g2", "g3"} {
		since := w.storage(name).Since
		w.must(state.Command{Compared: &state.Compared{VirtualStorage: vsName, Storage: name, Since: since}})
		w.must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: name, FilesystemID: "disk of " + name, Backfilled: since}})
	}
	return w
}

// newFounded makes a fixture in which g1 serves, and g2 and g3 begin with it.
func newFounded(t *testing.T) *fixture {
	w := &fixture{t: t, view: &state.State{}, disks: make(map[string]*disk), heads: make(map[string]string), locked: make(map[string]bool), ruined: make(map[string]bool), damaged: make(map[string]bool), calls: make(map[string]int), moved: make(chan struct{})}
	w.queue = queue.NewMemory(func(op queue.Operation) (bool, error) {
		w.mu.Lock()
		fault := w.faultQ
		w.mu.Unlock()
		if fault == nil {
			return true, nil
		}
		return fault(op)
	})
	names := []string{"g1", "g2", "g3"}
	for _, name := range names {
		w.disks[name] = &disk{fixture: w, name: name, repos: make(map[string]string)}
	}
	w.start()
	w.must(state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: names}})
	for _, name := range names {
		w.must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: name, FilesystemID: "disk of " + name}})
	}
	return w
}

// start begins a new incarnation; the former one, if any, is retired.
func (w *fixture) start() {
	old := w.node
	w.node = &node{fixture: w, changed: make(chan struct{})}
	results, err := w.node.Propose(context.Background(), state.Command{Register: &state.Register{ID: "one", ClusterID: "cluster"}})
	if err != nil || results[0].Refusal != nil {
		w.t.Fatalf("register: %v, %v", results, err)
	}
	w.node.inc = results[0].Incarnation
	if old != nil {
		w.must(state.Command{Retire: &state.Retire{Incarnation: old.inc, Successor: w.node.inc}})
	}
	w.locks = ledger.New(w.node, ledgertest.NewAlone(), connections{w}, ledger.Config{Linger: 3 * time.Second, QueueTimeout: 10 * time.Second, QueueLimit: 100})
}

// running runs the ledger until the function that it returns is called.
func (w *fixture) running() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	locks := w.locks
	go func() { defer close(done); _ = locks.Run(ctx) }()
	return func() { cancel(); <-done }
}

func (w *fixture) must(cmds ...state.Command) {
	w.t.Helper()
	results, err := w.node.Propose(context.Background(), cmds...)
	must.Succeed(w.t, err)
	for _, result := range results {
		if result.Refusal != nil {
			w.t.Fatal(result.Refusal)
		}
	}
}

func (w *fixture) storage(name string) state.Storage {
	return *w.node.View().VirtualStorage(vsName).Storage(name)
}

func (w *fixture) entry(path string) *state.Entry { return w.node.View().Entry(key(path)) }

// replicator makes a replicator in this fixture.
func (w *fixture) replicator(cfg Config) *Replicator {
	return New(Deps{
		Ledger: w.node, RepairLocks: repairLocks{w.locks}, Storages: w, Queue: w.queue, Catalogue: w.catalogue, Verifications: w.verifications, Watch: watchLost, Leads: w.leads,
		Log:     slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: NewMetrics(prometheus.NewRegistry(), w.node),
	}, cfg)
}

// put gives repositories the same content on storages, as if it had always been
// there.
func (w *fixture) put(path, content string, storages ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range storages {
		w.disks[name].repos[path] = content
	}
}

func (w *fixture) content(storage, path string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.disks[storage].repos[path]
}

func (w *fixture) called(method, storage string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[method+" "+storage]
}

// write writes to the primary as an eventual write does. content "" deletes.
// lost tells that its status does not arrive.
func (w *fixture) write(ctx context.Context, path, content string, lost bool) error {
	return w.writeFor(ctx, path, content, lost, 0)
}

// writeFor is a write that is in flight for a while.
func (w *fixture) writeFor(ctx context.Context, path, content string, lost bool, d time.Duration) error {
	return w.writeBy(ctx, w.locks, path, content, lost, d)
}

// writeBy is a write by way of a ledger.
func (w *fixture) writeBy(ctx context.Context, locks *ledger.Ledger, path, content string, lost bool, d time.Duration) error {
	write, err := locks.Begin(ctx, ledger.Request{
		Keys: []state.Key{key(path)}, Scope: state.Scope{BoundMillis: 5000, RefsOnly: content != ""}, Deletes: content == "",
	})
	if err != nil {
		return err
	}
	pause(ctx, d)
	w.mu.Lock()
	w.set(write.Route().Storage, path, content)
	w.mu.Unlock()
	return write.End(!lost, !lost)
}

// reached is the ledger's way to the storages: a write in this fixture reaches
// its primary whatever becomes of the connections of repairs.
type connections struct{ fixture *fixture }

func (r connections) Changed() <-chan struct{} { return r.fixture.Changed() }

func (r connections) Connections() []ledger.Connection {
	var all []ledger.Connection
	for _, s := range r.fixture.node.View().VirtualStorage(vsName).Succession {
		all = append(all, ledger.Connection{VirtualStorage: vsName, Storage: s.Name, Generation: 1, Reachability: router.Reachability{OK: true, FilesystemID: s.FilesystemID}})
	}
	return all
}

// set changes a disk. The caller holds mu.
func (w *fixture) set(storage, path, content string) {
	if content == "" {
		delete(w.disks[storage].repos, path)
	} else {
		w.disks[storage].repos[path] = content
	}
	w.check("a change of " + storage)
}

// reach makes a storage reachable or not.
func (w *fixture) reach(storage string, reachable bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disks[storage].away = !reachable
	w.disks[storage].links++
	close(w.moved)
	w.moved = make(chan struct{})
}

// replace gives a storage an empty disk, and reports it.
func (w *fixture) replace(storage, filesystemID string) {
	w.t.Helper()
	w.mu.Lock()
	w.disks[storage].repos = make(map[string]string)
	w.mu.Unlock()
	w.must(state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: storage, FilesystemID: filesystemID}})
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.moved)
	w.moved = make(chan struct{})
}

// check notes where a storage is in sync, nothing is under way, and the content
// differs. The caller holds mu.
func (w *fixture) check(when string) {
	vs := w.view.VirtualStorage(vsName)
	if vs == nil || len(w.broken) > 0 {
		return // one broken rule breaks more
	}
	paths := make(map[string]bool)
	for _, d := range w.disks {
		for path := range d.repos {
			paths[path] = true
		}
	}
	delete(paths, w.untracked)
	for path := range paths {
		entry := w.view.Entry(key(path))
		primary, ok := vs.Primary(entry)
		if !ok || entry.HasLive() || entry.HasDoubt() {
			continue
		}
		for st := range vs.InSync(entry) {
			if got, want := w.disks[st.Name].repos[path], w.disks[primary.Name].repos[path]; got != want {
				w.broken = append(w.broken, fmt.Sprintf("after %s, index %d: %q is in sync on %s with %q, and %s has %q (entry %+v)",
					when, w.view.Index, path, st.Name, got, primary.Name, want, entry))
			}
		}
	}
}

// broke returns the rules that were broken.
func (w *fixture) broke() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// equal returns what keeps the replicas from being equal and clean.
func (w *fixture) equal() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var faults []string
	w.view.Each("", func(k state.Key, e *state.Entry) bool {
		if len(e.Behind) > 0 || e.HasDoubt() {
			faults = append(faults, fmt.Sprintf("%s: %+v", k.RelativePath, e))
		}
		return true
	})
	for name, d := range w.disks {
		if !maps.Equal(d.repos, w.disks["g1"].repos) {
			faults = append(faults, fmt.Sprintf("%s has %v, g1 has %v", name, d.repos, w.disks["g1"].repos))
		}
	}
	slices.Sort(faults)
	return strings.Join(faults, "\n")
}

// wantEqual wants the replicas to be equal and clean.
func (w *fixture) wantEqual(t *testing.T) {
	t.Helper()
	if faults := w.equal(); faults != "" {
		t.Error(faults)
	}
}

// View implements Ledger.
func (n *node) View() *state.State {
	n.fixture.mu.Lock()
	defer n.fixture.mu.Unlock()
	return n.fixture.view
}

// Incarnation implements Ledger.
func (n *node) Incarnation() state.Incarnation { return n.inc }

// Changed implements Ledger.
func (n *node) Changed() <-chan struct{} {
	n.fixture.mu.Lock()
	defer n.fixture.mu.Unlock()
	return n.changed
}

// Propose implements Ledger.
func (n *node) Propose(ctx context.Context, cmds ...state.Command) ([]state.Result, error) {
	w := n.fixture
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil || n.dead {
		return nil, errors.Join(err, errors.New("not proposed"))
	}
	apply, err := true, error(nil)
	if w.fate != nil {
		apply, err = w.fate(cmds)
	}
	if !apply {
		return nil, err
	}
	n.number++
	next, results := w.view.Apply(w.view.Index+1, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(w.view.Index + 1),
		Incarnation: n.inc, Number: n.number, Commands: cmds,
	})
	w.view = next
	text, _ := json.Marshal(cmds)
	w.log = append(w.log, fmt.Sprintf("%d by %d: %s: %+v", next.Index, n.inc, text, results))
	w.check(string(text))
	for _, o := range append([]*node{w.node}, w.others...) {
		close(o.changed)
		o.changed = make(chan struct{})
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

// repairLocks joins the instance's ledger to the replicator, as cmd does.
type repairLocks struct{ ledger *ledger.Ledger }

// Lock implements RepairLocks.
func (g repairLocks) Lock(ctx context.Context, k state.Key, pause bool) (Guard, error) {
	t, err := g.ledger.LockForRepair(ctx, k, pause)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Conn implements Storages.
func (w *fixture) Conn(_, storage string) (grpc.ClientConnInterface, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.disks[storage]
	if d == nil || d.away {
		return nil, fmt.Errorf("storage %q is away", storage)
	}
	return link{d, d.links}, nil
}

// link is one connection to a disk; the next one is another value.
type link struct {
	*disk
	number int
}

// Server implements Storages.
func (w *fixture) Server(_, storage string) (address, token string) {
	return "tcp://" + storage, "token of " + storage
}

// Changed implements Storages.
func (w *fixture) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved
}
