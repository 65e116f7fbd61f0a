// Package admintest owns a cluster in memory that operators can ask and change:
// everything that an admin.Service works on.
// It promises that changes go through a real replicated state, and that a
// repeated request is carried out once.
// Tests of the service and of its tools use it.
package admintest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/monitor"
)

// epoch is the time of the cluster's first entry unless it is told; it lies in
// the future, so that no pause has ended.
var epoch = time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)

// VirtualStorage is the name of the only virtual storage at the beginning.
const VirtualStorage = "default"

// incarnation is that of the instance that proposes everything.
const incarnation = state.Incarnation(1)

// Cluster is a cluster in memory. It implements admin.Node, admin.Storages,
// admin.Repair and admin.Control, each safe for concurrent use.
type Cluster struct {
	t     testing.TB
	begin time.Time

	// At, if set, is asked at each stage of each change; changes without stages
	// have only StagePlan. apply tells whether the change goes on; an error ends
	// it, after the stage if apply is true. It is set before the cluster is used.
	At func(ctx context.Context, method string, stage admin.Stage) (apply bool, err error)

	mu       sync.Mutex
	state    *state.State
	reach    map[string]reachability.Observation
	jobs     []admin.Job
	jobsErr  error
	members  []admin.LocalMember
	absent   map[state.Key]bool
	waiting  map[state.Key]*admin.Waiting
	verified verified
	raft     admin.RaftView
	raised   []condition.Raised
	monitor  *monitor.Monitor
	asked    []admin.Change
	switches []admin.SwitchRequest
	replicas map[replica]map[string]string // references
	paths    []string
	figures  []*dto.MetricFamily
	files    map[string]string
	answers  map[string]any
}

// New makes a cluster of the instances praefect-1 (the leader), praefect-2 and
// praefect-3 with one virtual storage of the named storages, all serving; the
// first one is the primary.
func New(t testing.TB, storages ...string) *Cluster { return NewAt(t, epoch, storages...) }

// NewAt is New at a time: each entry comes a second after the one before.
func NewAt(t testing.TB, begin time.Time, storages ...string) *Cluster {
	c := &Cluster{
		t: t, begin: begin, state: &state.State{}, raft: threeInstances(), reach: map[string]reachability.Observation{}, answers: map[string]any{},
		waiting: map[state.Key]*admin.Waiting{}, absent: map[state.Key]bool{}, replicas: map[replica]map[string]string{},
		verified: verified{answers: map[string]admin.VerifyResponse{}},
	}
	c.Apply(state.Command{Register: &state.Register{ID: "id-1", Name: "praefect-1", ClusterID: "cluster"}})
	c.Define(VirtualStorage, storages...)
	c.monitor = monitor.New(monitor.Deps{View: c.View, Observation: c.Observation, Facts: c.facts, Copies: 2})
	return c
}

// Define adds a virtual storage all of whose storages serve.
func (c *Cluster) Define(virtualStorage string, storages ...string) {
	c.t.Helper()
	c.Apply(state.Command{Define: &state.Define{VirtualStorage: virtualStorage, Storages: storages}})
	for _, name := range storages {
		c.Returned(virtualStorage, name, "disk-"+name)
		if st := c.View().VirtualStorage(virtualStorage).Storage(name); st.State == state.Backfilling {
			c.Backfilled(virtualStorage, name)
		}
	}
}

// Returned reports a storage that was reached; with another disk it is backfilling.
func (c *Cluster) Returned(virtualStorage, storage, filesystemID string) {
	c.t.Helper()
	c.Apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: virtualStorage, Storage: storage, FilesystemID: filesystemID}})
}

// WrittenOnlyTo makes a repository one that only the agreeing storages have, the
// primary first.
func (c *Cluster) WrittenOnlyTo(path string, agreeing ...string) {
	c.t.Helper()
	paths := []string{path}
	epoch := c.View().VirtualStorage(VirtualStorage).Epoch
	c.Apply(state.Command{Open: &state.OpenIntent{VirtualStorage: VirtualStorage, Paths: paths, Kind: state.PrimaryOnly}})
	c.Apply(state.Command{MarkBehind: &state.MarkBehind{
		VirtualStorage: VirtualStorage, Paths: paths, Primary: agreeing[0], Epoch: epoch, Agreeing: agreeing,
	}})
	c.Apply(state.Command{Close: &state.CloseIntent{VirtualStorage: VirtualStorage, Paths: paths}})
}

// Apply applies commands, as one entry, and fails the test if one is refused.
func (c *Cluster) Apply(commands ...state.Command) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.apply(commands...); err != nil {
		c.t.Fatal(err)
	}
}

// apply proposes as praefect-1. It needs mu.
func (c *Cluster) apply(commands ...state.Command) error { return c.applyAs(incarnation, commands...) }

// applyAs needs mu.
func (c *Cluster) applyAs(proposer state.Incarnation, commands ...state.Command) error {
	index := c.state.Index + 1
	batch := state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(index), Number: uint64(index), Time: c.now().UnixMilli(),
		Commands: commands,
	}
	if commands[0].Register == nil {
		batch.Incarnation = proposer
	}
	next, results := c.state.Apply(index, batch)
	for _, result := range results {
		if result.Refusal != nil {
			return result.Refusal
		}
	}
	c.state = next
	return nil
}

// now is the cluster's clock. It needs mu.
func (c *Cluster) now() time.Time { return c.begin.Add(time.Duration(c.state.Index) * time.Second) }

// locked calls do with mu.
func (c *Cluster) locked(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

// Observe changes the way to a storage of any virtual storage;
// at first each is reachable and has the disk agreed on.
func (c *Cluster) Observe(storage string, reach reachability.Observation) {
	c.locked(func() { c.reach[storage] = reach })
}

// Lose makes a storage unreachable.
func (c *Cluster) Lose(storage string) {
	c.Observe(storage, reachability.Observation{Err: errors.New("connection refused")})
}

// SetJobs makes the queue hold the jobs, or fail.
func (c *Cluster) SetJobs(jobs []admin.Job, err error) {
	c.locked(func() { c.jobs, c.jobsErr = jobs, err })
}

// SetWaiting makes the repair of a repository wait.
func (c *Cluster) SetWaiting(path string, w *admin.Waiting) {
	c.locked(func() { c.waiting[keyOf(path)] = w })
}

// keyOf names a repository of the first virtual storage.
func keyOf(path string) state.Key {
	return state.Key{VirtualStorage: VirtualStorage, RelativePath: path}
}

// Member adds a member of the cluster that is not registered.
func (c *Cluster) Member(id, name string) {
	c.locked(func() { c.members = append(c.members, admin.LocalMember{ID: id, Name: name}) })
}

// Raft changes the answer about the instances.
func (c *Cluster) Raft(change func(*admin.RaftView)) {
	c.locked(func() { change(&c.raft) })
}

// Raise makes the instance know of conditions.
func (c *Cluster) Raise(raised ...condition.Raised) {
	c.locked(func() { c.raised = raised })
}

// Asked are the changes that were asked for, repetitions included.
func (c *Cluster) Asked() []admin.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// Switched are the switchovers that were asked for, plans and repetitions
// included.
func (c *Cluster) Switched() []admin.SwitchRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.switches)
}

// Backfilled makes a storage serve that is being backfilled.
func (c *Cluster) Backfilled(virtualStorage, storage string) {
	c.t.Helper()
	st := c.View().VirtualStorage(virtualStorage).Storage(storage)
	c.Apply(state.Command{Compared: &state.Compared{VirtualStorage: virtualStorage, Storage: storage, Since: st.Since}}, state.Command{Rejoin: &state.Rejoin{
		VirtualStorage: virtualStorage, Storage: storage, FilesystemID: st.FilesystemID, Backfilled: st.Since,
	}})
}

// Deps are the cluster as a Service needs it.
func (c *Cluster) Deps() admin.Deps {
	return admin.Deps{
		Node: c, Storages: c, Repair: c, Local: c.local, Conditions: c.monitor, Routes: c.routes, Exists: c.exists,
		Verification: verification{c}, Control: c, Replicas: c, Catalogue: c, Copies: 2, Metrics: c.metrics, Debug: c.debug,
	}
}

func (c *Cluster) local() admin.Local {
	c.mu.Lock()
	defer c.mu.Unlock()
	return admin.Local{Leader: c.raft.Leader, Members: c.members}
}

// facts are the facts that praefect-1 knows beside the virtual storages.
func (c *Cluster) facts() condition.Facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	facts := condition.Facts{Instance: "praefect-1", Leader: c.raft.Leader, Leased: true, Raised: c.raised}
	if c.raft.Leader == "" {
		return facts
	}
	for _, i := range c.raft.Instances {
		facts.Members = append(facts.Members, condition.Member{Name: i.Name, Voter: i.Voter, Heard: i.State != admin.Unreachable, Leased: i.LeaseMillis > 0})
	}
	return facts
}

// View implements admin.Node.
func (c *Cluster) View() *state.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Observation implements admin.Storages.
func (c *Cluster) Observation(virtualStorage, storage string) reachability.Observation {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reach, changed := c.reach[storage]; changed {
		return reach
	}
	return reachability.Observation{Reachable: true, Backchannel: true, FilesystemID: c.state.VirtualStorage(virtualStorage).Storage(storage).FilesystemID}
}

// Backfilling implements admin.Repair: every backfilling is at 4 of 10.
func (c *Cluster) Backfilling(string, string) *admin.Backfilling {
	return &admin.Backfilling{Total: 10, Done: 4}
}

// Waiting implements admin.Repair.
func (c *Cluster) Waiting(key state.Key) *admin.Waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting[key]
}

// Jobs implements admin.Repair.
func (c *Cluster) Jobs(_ context.Context, r admin.QueueListRequest) ([]admin.Job, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var jobs []admin.Job
	for _, j := range c.jobs {
		if r.RelativePath != "" && r.RelativePath != j.RelativePath {
			continue
		}
		if j.ID > r.After && (r.State == "" || r.State == j.State) && len(jobs) < r.Limit {
			jobs = append(jobs, j)
		}
	}
	return jobs, c.jobsErr
}

// ErrQueue is the error of the queue while it is away, for SetJobs.
var ErrQueue = errors.New("queue unavailable: connection refused")

func threeInstances() admin.RaftView {
	contact := func(ms int64) *int64 { return &ms }
	instance := func(n int, s admin.InstanceState, ms int64) admin.Instance {
		return admin.Instance{
			Name: fmt.Sprintf("praefect-%d", n), ID: fmt.Sprintf("id-%d", n), Addr: fmt.Sprintf("10.0.0.%d:2307", n),
			ClientAddr: fmt.Sprintf("10.0.0.%d:2305", n), State: s, Voter: true, Version: "1.2.3", FeatureLevel: 1,
			LastContactMillis: contact(ms), AppliedIndex: 18442, LeaseMillis: 800,
		}
	}
	return admin.RaftView{
		ClusterID: "cluster", Term: 7, CommitIndex: 18442, Leader: "praefect-1", FeatureLevel: 1,
		Instances: []admin.Instance{instance(1, admin.Leader, 0), instance(2, admin.Follower, 12), instance(3, admin.Follower, 40)},
	}
}
