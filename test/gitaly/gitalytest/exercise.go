package gitalytest

import (
	"context"
	"slices"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Subject is a fresh storage server to exercise. It serves two storages and
// asks for a token.
type Subject struct {
	// Conn is a connection with the token.
	Conn *grpc.ClientConn
	// Address and Token are for other connections.
	Address string
	Token   string
	// Storage and Other are the names of its two storages.
	Storage string
	Other   string
	// Seed puts objects into an existing repository, and no reference.
	Seed func(t *testing.T, repo *gitalypb.Repository) Objects
	// Path returns where an existing repository is on disk; all but Exercise and ExerciseVotes need it.
	Path func(repo *gitalypb.Repository) string
	// KillsGit tells that it ends a cancelled call by killing its git, which leaves locks
	// behind, as Gitaly does since release 17; and that a new HEAD does not hear of an
	// abort when it is there already.
	KillsGit bool
	// StandIn tells that the storages are those of test/gitaly: they serve the methods of
	// Exercise and ExerciseGit, and no other.
	StandIn bool
}

// Objects are the objects that a repository was seeded with: the same in each of them.
type Objects struct {
	Commits  []string // three different ones
	Blob     string
	BlobSize int64
}

// Exercise checks that a storage keeps the contract of test/gitaly, as far as
// test/gitaly/memory serves it too, errors included. newSubject returns a
// server that no other check uses. The checks named in only are made; all if
// none is named.
func Exercise(t *testing.T, newSubject func(t *testing.T) Subject, only ...string) {
	exercise(t, newSubject, only, map[string]func(*suite, *testing.T){
		"token":          (*suite).token,
		"addressing":     (*suite).addressing,
		"unimplemented":  (*suite).unimplemented,
		"server":         (*suite).server,
		"repositories":   (*suite).repositories,
		"walk":           (*suite).walk,
		"write ref":      (*suite).writeRef,
		"unasked":        (*suite).unasked,
		"list refs":      (*suite).listRefs,
		"head":           (*suite).head,
		"checksum":       (*suite).checksum,
		"replicate":      (*suite).replicate,
		"replicate HEAD": (*suite).replicateHead,
		"blob":           (*suite).blob,
		"push":           (*suite).push,
	})
}

// ExerciseGit checks that a storage on real git keeps the contract for the
// methods that test/gitaly/memory does not serve.
func ExerciseGit(t *testing.T, newSubject func(t *testing.T) Subject, only ...string) {
	exercise(t, newSubject, only, map[string]func(*suite, *testing.T){
		"addressing of git's": (*suite).addressingOfGits,
		"bundle":              (*suite).bundle,
		"many references":     (*suite).manyReferences,
		"unasked of git's":    (*suite).unaskedOfGits,
		"forks":               (*suite).forks,
		"custom hooks":        (*suite).customHooks,
		"pools":               (*suite).pools,
		"commits":             (*suite).commits,
		"reachability":        (*suite).reachability,
		"sidechannels":        (*suite).sidechannels,
	})
}

func exercise(t *testing.T, newSubject func(t *testing.T) Subject, only []string, checks map[string]func(*suite, *testing.T)) {
	for _, name := range only {
		if checks[name] == nil {
			t.Errorf("there is no check %q", name)
		}
	}
	for name, check := range checks {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			check(newSuite(ctx, newSubject(t)), t)
		})
	}
}

func newSuite(ctx context.Context, subject Subject) *suite {
	return &suite{
		Subject: subject,
		ctx:     ctx,
		repos:   gitalypb.NewRepositoryServiceClient(subject.Conn),
		refs:    gitalypb.NewRefServiceClient(subject.Conn),
		edits:   gitalypb.NewOperationServiceClient(subject.Conn),
	}
}

// suite is the common part of every check of Exercise.
type suite struct {
	Subject
	ctx   context.Context
	repos gitalypb.RepositoryServiceClient
	refs  gitalypb.RefServiceClient
	edits gitalypb.OperationServiceClient

	// For the checks of votes: the seed of the repositories, and the function that
	// makes the repositories of a storage that mutators write to; and the commit that a
	// mutator makes without a reference to it, if it does.
	objects Objects
	prepare func(storage string)
	unnamed string
}

// named names a repository as clients do: the hooks of Gitaly ask GitLab about it
// by the name that it has there, and fail without one.
func named(storage, path string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: storage, RelativePath: path, GlRepository: "project-1", GlProjectPath: "group/project"}
}

// repository names a repository of the first storage.
func (s *suite) repository(path string) *gitalypb.Repository {
	return named(s.Storage, path)
}

// create makes an empty repository.
func (s *suite) create(t *testing.T, repo *gitalypb.Repository) {
	t.Helper()
	if _, err := s.repos.CreateRepository(s.ctx, &gitalypb.CreateRepositoryRequest{Repository: repo}); err != nil {
		t.Fatalf("create repository %q: %v", repo.GetRelativePath(), err)
	}
}

// seeded makes a repository with objects, and the references given as pairs of
// a name and the number of a commit.
func (s *suite) seeded(t *testing.T, repo *gitalypb.Repository, refs map[string]int) Objects {
	t.Helper()
	s.create(t, repo)
	objects := s.Seed(t, repo)
	for name, commit := range refs {
		s.write(t, repo, name, objects.Commits[commit], "")
	}
	return objects
}

// write sets a reference and fails the test if it cannot.
func (s *suite) write(t *testing.T, repo *gitalypb.Repository, ref, revision, old string) {
	t.Helper()
	if err := s.tryWrite(repo, ref, revision, old); err != nil {
		t.Fatalf("write %q: %v", ref, err)
	}
}

func (s *suite) tryWrite(repo *gitalypb.Repository, ref, revision, old string) error {
	return errorOf(s.repos.WriteRef(s.ctx, &gitalypb.WriteRefRequest{
		Repository: repo, Ref: []byte(ref), Revision: []byte(revision), OldRevision: []byte(old),
	}))
}

func (s *suite) sum(t *testing.T, repo *gitalypb.Repository) string {
	t.Helper()
	resp, err := s.repos.CalculateChecksum(s.ctx, &gitalypb.CalculateChecksumRequest{Repository: repo})
	if err != nil {
		t.Fatalf("checksum of %q: %v", repo.GetRelativePath(), err)
	}
	return resp.GetChecksum()
}

// wantCode fails the test unless err has the code.
func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

// wantError fails the test unless there is an error, of any code.
func wantError(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: got no error", what)
	}
}
