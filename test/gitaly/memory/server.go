// Package memory owns a storage server without a disk: repositories are maps
// of references, objects are numbers. Tests and benchmarks use it where git
// itself is not the subject.
// It promises to answer as the storage of test/gitaly does wherever both serve
// a method (one contract suite checks both), and to ask its hook before every
// call. Every full object id counts as an object that exists: a commit when it
// is written to a reference, a blob when it is read.
// Tests and benchmarks may call it.
package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// Call describes a call to a hook.
type Call struct {
	// Method is the full name, as /gitaly.RefService/WriteRef.
	Method string
	// Storage and RelativePath are named by the request; a call that is not
	// about a repository has no path, one about the server neither.
	Storage      string
	RelativePath string
}

// Hook decides about a call: whether it is applied, and which error
// the client gets. Applied with an error is an effect whose answer was lost;
// neither applied nor an error is a storage that lies. It may wait, as a
// storage that hangs would, as long as ctx lives. It is called concurrently.
type Hook func(ctx context.Context, call Call) (apply bool, err error)

// Config has the settings of a server. Its zero value lacks only Storages.
type Config struct {
	// Storages are the names of the storages. At least one.
	Storages []string
	// Token is the secret that every call must prove to know. Empty: no check.
	Token string
	// BlobSize is the size in bytes of every blob that GetBlob sends.
	BlobSize int64
	// PackSize is how many bytes a fetch sends over its sidechannel.
	PackSize int64
	// Hook is asked before every call but health; nil applies all.
	Hook Hook
	// Grace is how long calls may run on once Run's context has ended; the zero
	// value gives none.
	Grace time.Duration
	// NoBackchannel makes the server one that clients cannot multiplex their
	// connections to: it neither votes nor opens sidechannels.
	NoBackchannel bool
	// Release is the version of Gitaly that the server says it runs. With one its votes have
	// hashes of that release, and it votes when it is about to prepare a change, too. Empty:
	// 16.11.10, without either.
	Release string
	// Logger takes one line a call; nil discards.
	Logger *slog.Logger
}

// Server is a storage server in memory. Make one with New.
type Server struct {
	config Config
	host   *wire.Host

	mu     sync.RWMutex
	disks  map[string]*disk // by storage; guarded by mu, with all below it
	faults []Fault          // of votes; guarded by mu

	locks vote.Locks // what is voted on, by path and reference
}

// disk is the content of one storage.
type disk struct {
	id    string
	repos map[string]*repository // by relative path
}

// New returns a server with empty storages.
func New(config Config) (*Server, error) {
	if len(config.Storages) == 0 {
		return nil, fmt.Errorf("storage server: no storages")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Hook == nil {
		config.Hook = func(context.Context, Call) (bool, error) { return true, nil }
	}
	s := &Server{
		config: config,
		host:   wire.NewHost(config.Token, config.Grace, config.Logger, !config.NoBackchannel),
		disks:  make(map[string]*disk),
	}
	for _, name := range config.Storages {
		s.disks[name] = emptyDisk()
	}
	return s, nil
}

func emptyDisk() *disk {
	return &disk{id: rand.Text(), repos: make(map[string]*repository)}
}

// Run serves on lis until ctx ends or Kill is called, and closes lis. The content of the
// storages hold outlives it, but a server runs only once.
func (s *Server) Run(ctx context.Context, lis net.Listener) error {
	return s.host.Run(ctx, lis, func(r grpc.ServiceRegistrar) {
		h := &handlers{server: s}
		gitalypb.RegisterBlobServiceServer(r, h)
		gitalypb.RegisterInternalGitalyServer(r, h)
		gitalypb.RegisterRefServiceServer(r, h)
		gitalypb.RegisterRepositoryServiceServer(r, h)
		gitalypb.RegisterSSHServiceServer(r, h)
		gitalypb.RegisterServerServiceServer(r, h)
		gitalypb.RegisterSmartHTTPServiceServer(r, h)
	})
}

// Kill ends Run at once: connections break, calls are cancelled.
func (s *Server) Kill() { s.host.Kill() }

// Replace puts an empty disk with an id of its own in place of the storage's.
func (s *Server) Replace(storage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disks[storage] = emptyDisk()
}

// handlers serves the methods, one file a topic.
type handlers struct {
	gitalypb.UnimplementedBlobServiceServer
	gitalypb.UnimplementedInternalGitalyServer
	gitalypb.UnimplementedRefServiceServer
	gitalypb.UnimplementedRepositoryServiceServer
	gitalypb.UnimplementedSSHServiceServer
	gitalypb.UnimplementedServerServiceServer
	gitalypb.UnimplementedSmartHTTPServiceServer

	server *Server
}

// hooked asks the hook about a call for the repository and, if it is to be
// applied, does it. The hook's error wins over the outcome.
func (h *handlers) hooked(ctx context.Context, repo *gitalypb.Repository, do func() error) error {
	method, _ := grpc.Method(ctx)
	apply, err := h.server.config.Hook(ctx, Call{
		Method:       method,
		Storage:      repo.GetStorageName(),
		RelativePath: repo.GetRelativePath(),
	})
	if !apply {
		return err
	}
	if doErr := do(); err == nil {
		return doErr
	}
	return err
}
