package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/membership"
	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm"
	"praefect/fsm/state"
)

// Node is this instance's part in the cluster. Open makes one, Run is its life.
type Node struct {
	config  setup.Config
	disk    *store.Disk
	fsm     *fsm.FSM
	metrics *metrics
	library *library.Library
	*membership.Group
	proposer    *proposer
	incarnation atomic.Uint64 // 0 until registered
	ready       chan struct{} // closed once commands are taken
	readable    chan struct{} // closed once View can be read by
	services    Services      // set before Run
	server      *grpc.Server  // only Run

	readableOnce    sync.Once
	ending, closing sync.Once
	ended, closed   error // set by these two
}

// Open locks the data directory, opens the port for peers, and, if there is
// state, restores it and starts the library. ctx
// bounds the wait for the lock. The caller must Run or Close the Node.
// Errors name the key of the configuration to look at; nothing is ever removed
// or begun again because it could not be read.
func Open(ctx context.Context, c setup.Config) (*Node, error) {
	c, err := c.WithDefaults()
	if err != nil {
		return nil, err
	}
	d, err := store.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	n := &Node{
		config: c, disk: d, fsm: fsm.New(), metrics: newMetrics(),
		ready: make(chan struct{}), readable: make(chan struct{}),
	}
	n.library = library.New(c, d, n.fsm)
	n.Group = membership.New(c, d, n.library, n.describe)
	n.proposer = newProposer(n)
	if err := membership.Listen(ctx, n.Group); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := n.library.Prepare(); err != nil {
		if failure := n.disk.Guard.Failure(); failure != nil {
			err = failure // the library does not wrap it
		}
		return nil, fmt.Errorf("raft.data_dir %q: %w", c.DataDir, errors.Join(err, n.Close()))
	}
	if err := n.metrics.register(c.Registerer, n); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// SetSecrets replaces the secrets by which this instance and its peers know each other, from
// the next connection on; see peer.Credentials.
func (n *Node) SetSecrets(present, former string) {
	if n.library.Transport != nil {
		n.library.Transport.SetSecrets(present, former)
	}
}

var (
	// ErrRetired ends Run: the cluster has given this incarnation up, and
	// refuses all its commands. All its work under way must end.
	ErrRetired = errors.New("the cluster has retired this incarnation")
	// ErrTooOld ends Run: the cluster uses features that this version of the program does not know.
	// Nothing on disk was changed; a later version goes on where this one stops.
	ErrTooOld = errors.New("this version of the program is too old for the cluster and stays out of it")
)

// Run takes part in the cluster until ctx ends, and returns nil once all is
// closed. Before that it hands leadership over, so ctx should end after the
// parts that propose have ended. Any other end is an error, after which the
// process must exit: the store failed, the instance could not register or was
// given up by the cluster, or the library did not stop. Then the port for peers
// stays open until Close or the end of the process: that it refuses connections
// proves to the others that this process can do no more harm. Run is called
// once.
func (n *Node) Run(ctx context.Context) error {
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(n.disk.Guard.Healthy, func() { stop(n.disk.Guard.Failure()) })()

	var tasks sync.WaitGroup
	tasks.Go(func() { n.watchLevel(working, stop) })
	n.serve(working, &tasks)
	err := n.takePart(working, stop, &tasks)
	if ctx.Err() != nil && n.disk.Guard.Failure() == nil {
		n.library.HandOver()
	}
	stop(nil)
	n.stopServing()
	if failure := n.disk.Guard.Failure(); failure != nil {
		err = fmt.Errorf("raft.data_dir %q: %w", n.config.DataDir, failure)
	} else if ctx.Err() != nil {
		err = nil // told to stop: an interruption by that is no failure
	}
	if err != nil {
		err = errors.Join(err, n.end())
	} else {
		err = n.Close()
	}
	tasks.Wait()
	return err
}

// takePart comes to a cluster, registers, and proposes until ctx ends.
func (n *Node) takePart(ctx context.Context, stop context.CancelCauseFunc, tasks *sync.WaitGroup) error {
	if n.library.Raft() == nil {
		if err := membership.Begin(ctx, n.Group); err != nil {
			return fmt.Errorf("come to a cluster: %w", err)
		}
	}
	tasks.Go(func() { n.library.WatchLeadership(ctx) })
	tasks.Go(func() { membership.Watch(ctx, n.Group, stop) })
	tasks.Go(func() { membership.Meet(ctx, n.Group) })
	tasks.Go(func() { n.prime(ctx) })
	tasks.Go(func() { n.disk.NoteCommitted(ctx, n.CommitIndex, n.library.Applied()) })
	tasks.Go(func() { n.disk.BoundLog(ctx, n.library.Raft()) })
	if err := n.register(ctx); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	tasks.Go(func() { n.watchRetirement(ctx, stop) })
	close(n.ready)
	n.makeReadable()
	n.proposer.run(ctx)
	return context.Cause(ctx)
}

// watchLevel ends Run when this program turned out to be too old for the cluster.
func (n *Node) watchLevel(ctx context.Context, stop context.CancelCauseFunc) {
	select {
	case <-n.fsm.TooOld():
		stop(fmt.Errorf("%w: %w", ErrTooOld, n.fsm.Err()))
	case <-ctx.Done():
	}
}

// watchRetirement ends Run when the cluster has retired this incarnation.
func (n *Node) watchRetirement(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		changed := n.Changed()
		if n.View().Instance(n.Incarnation()) == nil {
			stop(ErrRetired)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// stopTimeout bounds the wait for the library's goroutines. One that hangs in a
// call to the disk may never end.
const stopTimeout = time.Second

// Close ends the library, and closes the data directory and the port for peers.
// Run does it itself unless it returns an error. If the library does not stop,
// the directory stays locked until the process ends: a write that hangs may yet
// be carried out.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.closed = n.end()
		if n.library.Transport != nil {
			n.closed = errors.Join(n.closed, n.library.Transport.Close())
		}
	})
	return n.closed
}

// end is Close, but for the port.
func (n *Node) end() error {
	n.ending.Do(func() { n.ended = n.stop() })
	return n.ended
}

func (n *Node) stop() error {
	var err error
	if n.library.Transport != nil {
		n.library.Transport.Kill() // the library's goroutines wait on connections
		err = n.library.Clients.Close()
	}
	timeout := stopTimeout
	if n.disk.Guard.Failure() == nil {
		timeout += n.config.StoreTimeout
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		n.library.Shutdown()
	}()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-stopped:
	case <-late.C:
		return errors.Join(err, fmt.Errorf("raft has not stopped for %v", timeout))
	}
	if failure := n.disk.Close(); failure != nil {
		err = errors.Join(err, fmt.Errorf("raft.data_dir %q: close: %w", n.config.DataDir, failure))
	}
	return err
}

// Propose hands the commands to the log, adjacent and in order, by way of the
// leader, and returns one result for each once View has applied them; a refusal
// is a result. Any number of goroutines may call it. An error is ErrNotProposed
// or ErrUnknown. The results must not be changed.
func (n *Node) Propose(ctx context.Context, commands ...state.Command) ([]state.Result, error) {
	return n.proposer.propose(ctx, commands)
}

// Ready returns a channel that is closed once the instance is registered and
// its former lives are retired: from then on it takes commands.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// ID returns the random id kept in the data directory.
func (n *Node) ID() string { return n.disk.ID }

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

// Leading returns the term in which this instance leads, if it does: see library.Leading.
func (n *Node) Leading() (member.Leadership, bool) { return n.library.Leading() }

// LeadershipChanged returns a channel that is closed once another instance leads
// than at the time of the call, no instance does, or Leading has changed.
func (n *Node) LeadershipChanged() <-chan struct{} { return n.library.LeadershipChanged() }

// Term returns this instance's present term, 0 before it belongs to a cluster.
// An instance that reports a term has, before that, voted for none above it.
func (n *Node) Term() uint64 { return n.library.Term() }

// CommitIndex returns the index up to which this instance knows entries of the
// log to be committed. It counts every entry; View().Index counts commands.
func (n *Node) CommitIndex() uint64 { return n.library.CommitIndex() }

// SetHeartbeatTimeout sets for how long this instance waits for a leader: see library.SetHeartbeatTimeout.
func (n *Node) SetHeartbeatTimeout(d time.Duration) { n.library.SetHeartbeatTimeout(d) }

// Affirm has the library of the leader make fewer heartbeats: see library.Affirm.
func (n *Node) Affirm(rarely bool) { n.library.Affirm(rarely) }

// Doubt ends the longer wait for a leader that may be gone: see library.Doubt.
func (n *Node) Doubt(ctx context.Context, turn int, ended <-chan struct{}) {
	n.library.Doubt(ctx, turn, ended)
}

// HeardLeader counts a message of the leader of that term as a heartbeat.
func (n *Node) HeardLeader(term uint64) { n.library.HeardLeader(term) }

// SetPace sets the time between two heartbeats to a follower: see library.SetPace.
func (n *Node) SetPace(id string, term uint64, every time.Duration) {
	n.library.SetPace(id, term, every)
}
