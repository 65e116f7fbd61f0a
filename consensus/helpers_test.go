package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm/state"
	"praefect/test/must"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that only a defect makes long.
const patience = time.Minute

// instance is a Node that runs.
type instance struct {
	*Node
	cancel context.CancelFunc
	ended  chan error
}

// begin opens the node on the directory and runs it until it is stopped, at the
// latest at the end of the test.
func begin(t testing.TB, dir string, change ...func(*setup.Config)) *instance {
	t.Helper()
	n, err := open(t, dir, change...)
	must.Succeed(t, err)
	return run(t, n)
}

// run runs the node until it is stopped, at the latest at the end of the test.
func run(t testing.TB, n *Node) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{Node: n, cancel: cancel, ended: make(chan error, 1)}
	go func() { i.ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-i.ended:
		case <-time.After(patience):
			t.Error("the node did not end")
		}
		n.Close() // after an error of Run, whose port stays open; what else it says is not new
	})
	return i
}

func open(t testing.TB, dir string, change ...func(*setup.Config)) (*Node, error) {
	t.Helper()
	c := setup.Config{DataDir: dir, Name: "one", LockTimeout: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range change {
		f(&c)
	}
	return Open(t.Context(), c)
}

// onDisk does something with the directory of a node that does not run.
func onDisk(t *testing.T, dir string, do func(*store.Disk) error) {
	t.Helper()
	config, err := setup.Config{DataDir: dir}.WithDefaults()
	must.Succeed(t, err)
	d, err := store.Open(t.Context(), config)
	must.Succeed(t, err)
	must.Succeed(t, errors.Join(do(d), d.Close()))
}

// ready waits until the node takes commands.
func (i *instance) ready(t testing.TB) *instance {
	t.Helper()
	select {
	case <-i.Ready():
	case err := <-i.ended:
		i.ended <- err
		t.Fatalf("ended: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	return i
}

// end waits for the end of Run and returns its error.
func (i *instance) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-i.ended:
		i.ended <- err
		return err
	case <-time.After(patience):
		t.Fatal("the node did not end")
		return nil
	}
}

// stop ends the node.
func (i *instance) stop(t testing.TB) {
	t.Helper()
	i.cancel()
	if err := i.end(t); err != nil {
		t.Fatalf("stopped: %v", err)
	}
}

// must proposes the commands and fails on any that is not applied.
func (i *instance) must(t testing.TB, commands ...state.Command) []state.Result {
	t.Helper()
	results, err := i.Propose(t.Context(), commands...)
	must.Succeed(t, err)
	for _, r := range results {
		if r.Refusal != nil {
			t.Fatal(r.Refusal)
		}
	}
	return results
}

func define() state.Command {
	return state.Command{Define: &state.Define{VirtualStorage: "v", Storages: []string{"p"}}}
}

func openIntent(path string) state.Command {
	return state.Command{Open: &state.OpenIntent{VirtualStorage: "v", Paths: []string{path}, Kind: state.PrimaryOnly}}
}

func closeIntent(path string) state.Command {
	return state.Command{Close: &state.CloseIntent{VirtualStorage: "v", Paths: []string{path}}}
}

func (i *instance) entry(path string) *state.Entry {
	return i.View().Entry(state.Key{VirtualStorage: "v", RelativePath: path})
}

// faultyStore asks before each change whether it is to happen, and what to
// return.
type faultyStore struct {
	setup.LogStore
	fault atomic.Pointer[func(op string) (apply bool, err error)]
}

// with puts the store below a node.
func (f *faultyStore) with(c *setup.Config) {
	c.Fakes.WrapStore = func(s setup.LogStore) setup.LogStore { f.LogStore = s; return f }
}

// set makes fault decide from here on.
func (f *faultyStore) set(fault func(op string) (bool, error)) { f.fault.Store(&fault) }

func (f *faultyStore) do(op string, call func() error) error {
	apply, err := true, error(nil)
	if fault := f.fault.Load(); fault != nil {
		apply, err = (*fault)(op)
	}
	if apply {
		err = errors.Join(err, call())
	}
	return err
}

func (f *faultyStore) StoreLogs(logs []*raft.Log) error {
	return f.do("append", func() error { return f.LogStore.StoreLogs(logs) })
}

func (f *faultyStore) StoreLog(log *raft.Log) error {
	return f.do("append", func() error { return f.LogStore.StoreLog(log) })
}

func (f *faultyStore) DeleteRange(first, last uint64) error {
	return f.do(fmt.Sprint("delete ", first, " ", last), func() error { return f.LogStore.DeleteRange(first, last) })
}

func (f *faultyStore) Set(key, value []byte) error {
	return f.do("set "+string(key), func() error { return f.LogStore.Set(key, value) })
}

func (f *faultyStore) SetUint64(key []byte, value uint64) error {
	return f.do("set "+string(key), func() error { return f.LogStore.SetUint64(key, value) })
}
