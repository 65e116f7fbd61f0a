// Package admin owns the service praefect.admin.v1.AdminService, by which operators' tools ask
// an instance about the cluster and change it, and its client. The .proto files in adminpb describe
// its messages; the structs of this package hold the same fields, and tools print them as
// JSON. It promises that a printed document says which schema it has, that questions about
// the replicated state are answered without Postgres and without a leader, and
// that an error tells whether something may have changed. The daemon registers
// the service on its listeners, behind its authentication; tools and other
// instances call it by Client.
package admin

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

// Node is the consensus node, as far as the service needs it.
type Node interface {
	// View is the replicated state as this instance has applied it.
	View() *state.State
}

// Storages tells which storages can be reached.
type Storages interface {
	// Observation has the facts that this instance knows now about its way to a storage.
	Observation(virtualStorage, storage string) reachability.Observation
}

// Repair is the replicator, as far as the service needs it.
type Repair interface {
	// Backfilling is how far the backfilling of a storage is, nil if none is under way
	// at this instance.
	Backfilling(virtualStorage, storage string) *Backfilling
	// Waiting says why the repair of a repository waits, as far as this instance knows; nil if it
	// does not. It asks no other process.
	Waiting(key state.Key) *Waiting
	// Jobs returns the jobs that the request asks for, by rising id, at most
	// its limit. An error means that the queue cannot be read now.
	Jobs(ctx context.Context, request QueueListRequest) ([]Job, error)
}

// Conditions is the monitor, as far as the service needs it.
type Conditions interface {
	// Conditions are the conditions of the whole cluster now, as far as this instance knows.
	Conditions(ctx context.Context) []condition.Condition
	// Receive takes the conditions that another instance finds in itself, and returns the ones that
	// this one knows.
	Receive(from string, list []condition.Condition) []condition.Condition
}

// Deps are the parts that a Service works on.
type Deps struct {
	Node     Node
	Storages Storages
	Repair   Repair
	// Local returns this instance's part in the cluster, as it knows it by itself. It asks no other
	// process, and takes no time.
	Local func() Local
	// Conditions are the faults in the cluster.
	Conditions Conditions
	// Routes are where this instance sends the requests of a repository now.
	Routes func(key state.Key) Routes
	// Exists asks the storages that are in sync for a repository, until one says whether
	// it has it; storage is the last one that was asked.
	Exists func(ctx context.Context, key state.Key) (storage string, exists bool, err error)
	// Verification compares replicas. Without one it is NotAvailable.
	Verification Verification
	// Replicas looks at single replicas, Catalogue knows the repositories that nothing is wrong with.
	Replicas  Replicas
	Catalogue Catalogue
	// Copies is on how many storages a write must be, by this instance's settings.
	Copies int
	// Metrics are the metrics of this instance, Debug its files for a person that looks for a
	// fault. Without one that question is NotAvailable.
	Metrics func() ([]*dto.MetricFamily, error)
	Debug   func() []DebugFile
	// Control changes the cluster. Without one every change is NotAvailable.
	Control Control
}

// Config names the instance and its operators.
type Config struct {
	// Instance is the name of this instance.
	Instance string
	Access   Access
	// Log gets a line for each change that is asked for; nil for none.
	Log *slog.Logger
}

// Service answers praefect.admin.v1.AdminService.
type Service struct {
	Deps
	cfg    Config
	access atomic.Pointer[Access]
	// receivers are the goroutines that wait for a word of a client.
	receivers sync.WaitGroup
}

// New makes a Service. All of deps are needed but Control, Verification and the ones that say so.
func New(deps Deps, cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{Deps: deps, cfg: cfg}
	s.SetAccess(cfg.Access)
	return s
}

// SetAccess has changes that are asked for from now on prove another secret.
func (s *Service) SetAccess(a Access) { s.access.Store(&a) }

// Register adds the service to a gRPC server.
func (s *Service) Register(r grpc.ServiceRegistrar) { r.RegisterService(serviceDesc(), s) }

// Wait waits until nothing of the service runs any more. It is called after
// the servers have stopped.
func (s *Service) Wait() { s.receivers.Wait() }

// Status tells how the virtual storages are.
func (s *Service) Status(ctx context.Context, request StatusRequest) (StatusResponse, error) {
	view := s.Node.View()
	if err := exists(view, request.VirtualStorage); err != nil {
		return StatusResponse{}, err
	}
	local := s.Local()
	response := StatusResponse{
		Schema: Schema, Instance: s.cfg.Instance, Leader: local.Leader, OwnView: local.Leader == "",
		Level:           levelOf(view, local.Members),
		VirtualStorages: []VirtualStorage{}, Conditions: s.Conditions.Conditions(ctx),
	}
	response.Health = condition.Worst(response.Conditions)
	for i := range view.VirtualStorages {
		if vs := &view.VirtualStorages[i]; request.VirtualStorage == "" || request.VirtualStorage == vs.Name {
			of := s.virtualStorage(view, vs)
			of.Health = condition.Worst(condition.Concerning(response.Conditions, vs.Name))
			response.VirtualStorages = append(response.VirtualStorages, of)
		}
	}
	return response, nil
}

func (s *Service) virtualStorage(view *state.State, vs *state.VirtualStorage) VirtualStorage {
	answer := VirtualStorage{Name: vs.Name, Epoch: vs.Epoch, Pause: pausing(vs.Paused, time.Now())}
	answer.Paused = answer.Pause != nil
	if primary, ok := vs.Primary(nil); ok {
		answer.Primary = primary.Name
	}
	answer.Conflicts = view.InConflict(vs.Name)
	reachable := s.reachable(vs)
	answer.Unavailable = view.Count(vs.Name, func(e *state.Entry) bool { return !available(vs, e, reachable) })
	for i := range vs.Succession {
		st := &vs.Succession[i]
		answer.Storages = append(answer.Storages, s.storage(vs.Name, st, view.Behind(vs.Name, st.Name)))
	}
	return answer
}

// pausing is the pause that holds now, nil if none does. The leader judges its
// end by its own clock; this one is for display.
func pausing(p *state.Pausing, now time.Time) *Pause {
	if p == nil {
		return nil
	}
	answer := &Pause{Why: p.Why, By: p.By}
	if p.Until != 0 {
		until := time.UnixMilli(p.Until).UTC()
		if !until.After(now) {
			return nil
		}
		answer.Until = &until
	}
	return answer
}

func (s *Service) storage(vs string, st *state.Storage, behind int) Storage {
	reach := s.reach(vs, st)
	answer := Storage{
		Name: st.Name, State: st.State, Why: st.Why, Behind: behind,
		Reachable: reach.Reachable, Slow: reach.Slow(), Votes: reach.Backchannel,
		Version: reach.ServerVersion, GitVersion: reach.GitVersion,
	}
	if reach.Err != nil {
		answer.Error = reach.Err.Error()
	}
	if !reach.Since.IsZero() {
		since := reach.Since.UTC()
		answer.Since = &since
	}
	if st.State == state.Backfilling {
		answer.Backfilling = s.Repair.Backfilling(vs, st.Name)
	}
	return answer
}

// reach tells whether a storage can be reached as the state knows it.
func (s *Service) reach(vs string, st *state.Storage) reachability.Observation {
	return s.Storages.Observation(vs, st.Name).WithDisk(st.FilesystemID)
}

// reachable tells which storages of a virtual storage are.
func (s *Service) reachable(vs *state.VirtualStorage) map[string]bool {
	reachable := make(map[string]bool, len(vs.Succession))
	for i := range vs.Succession {
		st := &vs.Succession[i]
		reachable[st.Name] = s.reach(vs.Name, st).Reachable
	}
	return reachable
}

// available tells whether a repository can be read: a storage that is in sync
// for it serves and is reachable.
func available(vs *state.VirtualStorage, e *state.Entry, reachable map[string]bool) bool {
	for st := range vs.InSync(e) {
		if st.State == state.Serving && reachable[st.Name] {
			return true
		}
	}
	return false
}
