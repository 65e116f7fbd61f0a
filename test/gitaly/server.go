// Package gitaly owns a storage server for tests and demonstrations: it keeps real bare
// repositories with the git program and speaks Gitaly's gRPC API. It promises Gitaly's behaviour on
// the wire for the methods that it serves (every other one is UNIMPLEMENTED), that bulk data passes
// in bounded memory, that no write which was answered is lost when the process is killed, and that
// a write in a reference transaction has no effect before it was agreed on. Tests, the demo and the
// command test-gitaly may call it; production code may not.
package gitaly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/proxy/method"
	"praefect/test/gitaly/internal/wire"
)

// DefaultGrace is how long a stopping server lets calls run on by default.
const DefaultGrace = 10 * time.Second

// Config has the storages of a server, and its settings. Its zero value lacks only Storages.
type Config struct {
	// Storages maps the name of each storage to its directory, which is created
	// if it is absent. At least one; no two may share a directory.
	Storages map[string]string
	// Token is the secret that every call must prove to know. Empty: no check.
	Token string
	// Grace is how long calls may run on once Run's context has ended; zero
	// means DefaultGrace, a negative value none.
	Grace time.Duration
	// NoBackchannel makes the server one that clients cannot multiplex their
	// connections to, as an old one: it neither votes nor opens sidechannels.
	NoBackchannel bool
	// Faults are the faults of votes to play, besides the ones in FaultsFile.
	Faults []Fault
	// Crash ends the process where a fault says so; nil means kill -9. If it
	// returns, its context must have ended.
	Crash func(context.Context)
	// Release is the version of Gitaly that the server says it runs, and votes like: new
	// repositories and the ends of pushes have hashes of that release, and from 17 on a change
	// that is not git's is voted on when it is about to be prepared, too. Empty: 16.11.10,
	// whose hashes are the same as of every server without one.
	Release string
	// CatFiles is how many processes of git the server keeps for the next reads of commits, as a
	// real Gitaly does; zero means none.
	CatFiles int
	// Git is the git program; empty means the first one on the path.
	Git string
	// Logger takes one line a call; nil discards.
	Logger *slog.Logger
}

// Server is a storage server. Make one with New; it serves when Run is called.
type Server struct {
	host     *wire.Host
	git      *git
	storages []*storage // by name
	catFiles *catFiles
	log      *slog.Logger
}

// New returns a server of config, or every fault of config at once. It touches
// neither disk nor network.
func New(config Config) (*Server, error) {
	if config.Grace == 0 {
		config.Grace = DefaultGrace
	}
	if config.Git == "" {
		config.Git = "git"
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Crash == nil {
		config.Crash = killSelf
	}
	methods, err := method.New()
	if err != nil {
		return nil, err
	}
	kept := &catFiles{most: config.CatFiles, rest: catFileIdle}
	s := &Server{
		host:     wire.NewHost(config.Token, config.Grace, config.Logger, !config.NoBackchannel, kept.watch(methods)...),
		git:      &git{program: config.Git},
		catFiles: kept,
		log:      config.Logger,
	}
	var faults []error
	if len(config.Storages) == 0 {
		faults = append(faults, errors.New("no storages"))
	}
	owner := make(map[string]string)
	for name, dir := range config.Storages {
		abs, err := filepath.Abs(dir)
		switch {
		case name == "":
			faults = append(faults, fmt.Errorf("storage at %q has no name", dir))
		case dir == "":
			faults = append(faults, fmt.Errorf("storage %q has no directory", name))
		case err != nil:
			faults = append(faults, fmt.Errorf("storage %q: directory %q: %w", name, dir, err))
		case owner[abs] != "":
			faults = append(faults, fmt.Errorf("storages %q and %q share the directory %q", owner[abs], name, abs))
		default:
			owner[abs] = name
			s.storages = append(s.storages, &storage{
				name: name, dir: abs,
				voter: voter{faults: config.Faults, crash: config.Crash, release: config.Release},
			})
		}
	}
	for _, fault := range config.Faults {
		faults = append(faults, fault.Check())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("storage server: %w", err)
	}
	slices.SortFunc(s.storages, func(a, b *storage) int { return strings.Compare(a.name, b.name) })
	return s, nil
}

// Run opens the storages and serves them on lis until ctx ends (then running
// calls get the grace) or Kill is called. It closes lis. When it returns no
// goroutine of this server is left, and every git process was waited for. It
// runs once.
func (s *Server) Run(ctx context.Context, lis net.Listener) (err error) {
	defer func() {
		err = errors.Join(err, s.close())
	}()
	version, err := s.open(ctx)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	h := &handlers{git: s.git, gitVersion: version, storages: s.storages, catFiles: s.catFiles, log: s.log, feeds: new(sync.WaitGroup)}
	// A feed reads from its call's stream, which ends with the call.
	defer h.feeds.Wait()
	return s.host.Run(ctx, lis, h.register)
}

// Kill ends Run at once: connections break and running calls are cancelled,
// with their git processes. It does not wait for Run to return.
func (s *Server) Kill() { s.host.Kill() }

// open readies the storages and returns the version of git.
func (s *Server) open(ctx context.Context) (string, error) {
	version, err := s.git.version(ctx)
	if err != nil {
		return "", err
	}
	for _, storage := range s.storages {
		if err := storage.open(ctx); err != nil {
			return "", fmt.Errorf("open storage %q: %w", storage.name, err)
		}
	}
	return version, nil
}

func (s *Server) close() error {
	s.catFiles.changed() // no call is left that could start another one
	var faults []error
	for _, storage := range s.storages {
		faults = append(faults, storage.close())
	}
	return errors.Join(faults...)
}

// handlers serves the methods, one file a topic. All methods of Gitaly have
// different names, so that one type can carry the methods of every service.
type handlers struct {
	gitalypb.UnimplementedBlobServiceServer
	gitalypb.UnimplementedCommitServiceServer
	gitalypb.UnimplementedInternalGitalyServer
	gitalypb.UnimplementedObjectPoolServiceServer
	gitalypb.UnimplementedOperationServiceServer
	gitalypb.UnimplementedRefServiceServer
	gitalypb.UnimplementedRepositoryServiceServer
	gitalypb.UnimplementedSSHServiceServer
	gitalypb.UnimplementedServerServiceServer
	gitalypb.UnimplementedSmartHTTPServiceServer

	git        *git
	gitVersion string
	storages   []*storage // by name; few
	catFiles   *catFiles
	log        *slog.Logger
	feeds      *sync.WaitGroup // goroutines that copy a stream into git, waited for by Run
}

func (h *handlers) register(r grpc.ServiceRegistrar) {
	gitalypb.RegisterBlobServiceServer(r, h)
	gitalypb.RegisterCommitServiceServer(r, h)
	gitalypb.RegisterInternalGitalyServer(r, h)
	gitalypb.RegisterObjectPoolServiceServer(r, h)
	gitalypb.RegisterOperationServiceServer(r, h)
	gitalypb.RegisterRefServiceServer(r, h)
	gitalypb.RegisterRepositoryServiceServer(r, h)
	gitalypb.RegisterSSHServiceServer(r, h)
	gitalypb.RegisterServerServiceServer(r, h)
	gitalypb.RegisterSmartHTTPServiceServer(r, h)
}
