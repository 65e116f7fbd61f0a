package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"praefect/fsm"
	"praefect/fsm/state"
)

// Node is this instance's part in the cluster. Open makes one, Run is its life.
type Node struct {
	config      Config
	disk        *disk
	guard       *guard
	fsm         *fsm.FSM
	raft        *raft.Raft
	proposer    *proposer
	incarnation atomic.Uint64 // 0 until registered
	ready       chan struct{} // closed once commands are taken
	closing     sync.Once
	closed      error // set by closing
}

// Open locks the data directory, restores the state and starts the library.
// ctx bounds the wait for the lock. Whoever has opened a Node must Run or Close
// it. Errors name the key of the configuration to look at; nothing is ever
// removed or begun anew because it could not be read.
func Open(ctx context.Context, c Config) (*Node, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	d, err := openDisk(ctx, c)
	if err != nil {
		return nil, err
	}
	n := &Node{config: c, disk: d, guard: newGuard(c.StoreTimeout), fsm: fsm.New(), ready: make(chan struct{})}
	m := newMetrics()
	if err := n.start(m); err != nil {
		if failure := n.guard.failure(); failure != nil {
			err = failure // the library does not wrap it
		}
		return nil, fmt.Errorf("raft.data_dir %q: %w", c.DataDir, errors.Join(err, d.close()))
	}
	if err := m.register(c.Registerer, n); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// start starts the library on what the disk holds.
func (n *Node) start(m *metrics) (err error) {
	defer recoverAs(&err)
	id := raft.ServerID(n.disk.identity.ID)
	rc, err := n.config.raft(string(id))
	if err != nil {
		return err
	}
	stored := &guardedStore{store: n.disk.store, guard: n.guard, seconds: m.store}
	logs, err := raft.NewLogCache(512, stored)
	if err != nil {
		return err
	}
	stable := &stableStore{guardedStore: stored}
	// Alone an instance needs no network; its address changes when it gets one.
	address, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	members := raft.Configuration{Servers: []raft.Server{{ID: id, Address: address}}}
	if err := n.disk.bootstrap(rc, logs, stable, transport, members); err != nil {
		return err
	}
	if n.raft, err = raft.NewRaft(rc, n.fsm, logs, stable, n.disk.snapshots, transport); err != nil {
		return err
	}
	n.guard.armed.Store(true)
	n.proposer = &proposer{
		raft: n.raft, guard: n.guard, queue: newQueue(n.config.QueueLimit), limit: n.config.BatchLimit, metrics: m,
	}
	return nil
}

// bootstrap writes the first entry of a log that has none. If we die before the
// identity says so, the next start finds the entry and says it then.
func (d *disk) bootstrap(rc *raft.Config, logs raft.LogStore, stable raft.StableStore, t raft.Transport, members raft.Configuration) error {
	term, err := stable.GetUint64([]byte(keyTerm))
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return fmt.Errorf("look for a term: %w", err)
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("look for a log: %w", err)
	}
	snapshots, err := d.snapshots.List()
	if err != nil {
		return fmt.Errorf("look for snapshots: %w", err)
	}
	begun := last > 0 || len(snapshots) > 0
	switch {
	case d.identity.Bootstrapped && begun && term > 0:
		return nil
	case d.identity.Bootstrapped:
		return fmt.Errorf("%s has lost what it held: %s", logFile, remedy)
	case !begun:
		// The library writes the term, then the entry. It takes a term without
		// an entry, which a death in between leaves, for a log.
		if err := stable.SetUint64([]byte(keyTerm), 0); err != nil {
			return fmt.Errorf("begin the log: %w", err)
		}
		if err := raft.BootstrapCluster(rc, logs, stable, d.snapshots, t, members); err != nil {
			return fmt.Errorf("begin the log: %w", err)
		}
	}
	d.identity.Bootstrapped = true
	return d.identity.write(d.dir)
}

// Run takes part in the cluster until ctx ends, and returns nil once all is
// closed. Any other end is an error, after which the process must exit: the
// store failed, the instance could not register, or the library did not stop.
// It is called once.
func (n *Node) Run(ctx context.Context) error {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(n.guard.healthy, cancel)
	defer stop()
	err := n.register(working)
	if err == nil {
		close(n.ready)
		n.proposer.run(working)
	}
	if failure := n.guard.failure(); failure != nil {
		err = fmt.Errorf("raft.data_dir %q: %w", n.config.DataDir, failure)
	} else if ctx.Err() != nil {
		err = nil // told to stop: what that interrupted is no failure
	}
	return errors.Join(err, n.Close())
}

// stopTimeout bounds the wait for the library's goroutines. One that hangs in a
// call to the disk may never end.
const stopTimeout = time.Second

// Close ends the library and closes the data directory. Run does it itself. If
// the library does not stop, the directory stays locked until the process ends:
// a write that hangs may yet be carried out.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	timeout := stopTimeout
	if n.guard.failure() == nil {
		timeout += n.config.StoreTimeout
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = n.raft.Shutdown().Error() // the library returns none
		n.proposer.attempts.Wait()
	}()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-stopped:
	case <-late.C:
		return fmt.Errorf("raft has not stopped for %v", timeout)
	}
	if err := n.disk.close(); err != nil {
		return fmt.Errorf("raft.data_dir %q: close: %w", n.config.DataDir, err)
	}
	return nil
}

// Propose hands the commands to the log, adjacent and in order, and returns one
// result for each once View has applied them; a refusal is a result. Any number
// of goroutines may call it. An error is ErrNotProposed or ErrUnknown. What is
// returned must not be changed.
func (n *Node) Propose(ctx context.Context, commands ...state.Command) ([]state.Result, error) {
	return n.proposer.propose(ctx, commands)
}

// Ready returns a channel that is closed once the instance is registered and
// its former lives are retired: from then on it takes commands.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// ID returns the random id kept in the data directory.
func (n *Node) ID() string { return n.disk.identity.ID }

// Incarnation returns this life's name in the state, 0 until it is registered;
// it is set before Ready is closed.
func (n *Node) Incarnation() state.Incarnation { return state.Incarnation(n.incarnation.Load()) }

// View returns the latest state that this instance has applied.
func (n *Node) View() *state.State { return n.fsm.View() }

// Changed returns a channel that is closed once View is later than at the time
// of the call.
func (n *Node) Changed() <-chan struct{} { return n.fsm.Changed() }

// Wait returns once View has applied the command of that index, or with an
// error when ctx ends.
func (n *Node) Wait(ctx context.Context, index state.Index) error { return n.fsm.Wait(ctx, index) }
