// Package admin owns the service praefect.Admin, by which operators' tools ask
// an instance about the cluster, and its client. Every method takes and returns
// a google.protobuf.BytesValue that holds a JSON document of this package.
// It promises that a document says which schema it has, and that questions
// about the replicated state are answered without Postgres. The daemon
// registers the service on its listeners, behind its authentication; tools
// call it by Client.
package admin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
)

// Node is what the service needs of the consensus node.
type Node interface {
	// View is the replicated state as this instance has applied it.
	View() *state.State
}

// Reach is what this instance knows of the way to a storage.
type Reach struct {
	Reachable bool
	// Err is why it is not reachable, or why it is slow if it is.
	Err error
	// FilesystemID is that of the disk behind the connection.
	FilesystemID string
	// Since is when Reachable last changed, if it ever did.
	Since time.Time
}

// Storages tells which storages can be reached.
type Storages interface {
	// Reach is what is known of the way to a storage now.
	Reach(virtualStorage, storage string) Reach
}

// Repair is what the service needs of the replicator.
type Repair interface {
	// Filling is how far the filling of a storage is, nil if none is under way
	// at this instance.
	Filling(virtualStorage, storage string) *Filling
	// Jobs returns the jobs that the request asks for, by rising id, at most
	// its limit. An error means that the queue cannot be read now.
	Jobs(ctx context.Context, request QueueListRequest) ([]Job, error)
}

// Service answers praefect.Admin.
type Service struct {
	instance string
	node     Node
	storages Storages
	repair   Repair
}

// New makes the service of the instance of that name.
func New(instance string, node Node, storages Storages, repair Repair) *Service {
	return &Service{instance: instance, node: node, storages: storages, repair: repair}
}

// Register adds the service to a gRPC server.
func (s *Service) Register(r grpc.ServiceRegistrar) { r.RegisterService(serviceDesc(), s) }

// Status tells how the virtual storages are.
func (s *Service) Status(_ context.Context, request StatusRequest) (StatusResponse, error) {
	view := s.node.View()
	if err := known(view, request.VirtualStorage); err != nil {
		return StatusResponse{}, err
	}
	response := StatusResponse{Schema: Schema, Instance: s.instance, VirtualStorages: []VirtualStorage{}}
	for i := range view.VirtualStorages {
		if vs := &view.VirtualStorages[i]; request.VirtualStorage == "" || request.VirtualStorage == vs.Name {
			response.VirtualStorages = append(response.VirtualStorages, s.virtualStorage(view, vs))
		}
	}
	return response, nil
}

func (s *Service) virtualStorage(view *state.State, vs *state.VirtualStorage) VirtualStorage {
	answer := VirtualStorage{Name: vs.Name, Epoch: vs.Epoch}
	if primary, ok := vs.Primary(nil); ok {
		answer.Primary = primary.Name
	}
	behind := make(map[string]int)
	reachable := s.reachable(vs)
	view.Each(vs.Name, func(_ state.Key, e *state.Entry) bool {
		for _, name := range e.Behind {
			behind[name]++
		}
		if !available(vs, e, reachable) {
			answer.Unavailable++
		}
		return true
	})
	for i := range vs.Succession {
		answer.Storages = append(answer.Storages, s.storage(vs.Name, &vs.Succession[i], behind[vs.Succession[i].Name]))
	}
	return answer
}

func (s *Service) storage(vs string, st *state.Storage, behind int) Storage {
	reach := s.reach(vs, st)
	answer := Storage{
		Name: st.Name, Standing: st.Standing, Why: st.Why, Behind: behind,
		Reachable: reach.Reachable, Slow: reach.Reachable && reach.Err != nil,
	}
	if reach.Err != nil {
		answer.Error = reach.Err.Error()
	}
	if !reach.Since.IsZero() {
		since := reach.Since.UTC()
		answer.Since = &since
	}
	if st.Standing == state.Filling {
		answer.Filling = s.repair.Filling(vs, st.Name)
	}
	return answer
}

var errOtherDisk = errors.New("the server has another disk than the one agreed on")

// reach is what is known of the way to a storage as the state knows it: one
// with another disk cannot be used, whoever answers there.
func (s *Service) reach(vs string, st *state.Storage) Reach {
	reach := s.storages.Reach(vs, st.Name)
	if reach.Reachable && st.FilesystemID != "" && reach.FilesystemID != st.FilesystemID {
		reach.Reachable = false
		reach.Err = errOtherDisk
	}
	return reach
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
		if st.Standing == state.Serving && reachable[st.Name] {
			return true
		}
	}
	return false
}

// known refuses the name of a virtual storage that does not exist; empty means
// all of them.
func known(view *state.State, vs string) error {
	if vs != "" && view.VirtualStorage(vs) == nil {
		return status.Errorf(codes.NotFound, "no virtual storage %q", vs)
	}
	return nil
}
