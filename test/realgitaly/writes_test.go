package realgitaly

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
	"praefect/proxy/method"
	"praefect/test/cluster"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
	"praefect/test/realgitaly/seen"
)

// writesLimit is for every write there is, on a busy machine.
const writesLimit = 12 * time.Minute

func TestRealGitaly_writes(t *testing.T) { writes(t, operators(t), false) }

func TestWrites_onAStandIn(t *testing.T) { writes(t, standInFor(t), true) }

// writes makes every write that the storages serve through the cluster. Once it is
// answered every storage that is not known to be behind has it, and soon all have.
// Then it fetches over sidechannels.
func writes(t *testing.T, gitaly *cluster.Gitaly, standIn bool) {
	s := begin(t, gitaly, writesLimit)
	converged := func(t *testing.T) {
		t.Helper()
		must.Succeed(t, s.c.WaitConverged(s.ctx))
	}
	voting, whole := 0, 0
	replicas := make(map[string]string)
	client := s.client(gitaly, converged)
	client.StandIn = standIn
	gitalytest.ExerciseWrites(t, client, converged, func(t *testing.T, name, path string) {
		behind := s.behind(t, path)
		sums := make(map[string]string) // of those that may be read
		for _, storage := range s.c.Storages {
			if !behind[storage.Name] {
				sum, err := storage.Checksum(s.ctx, path)
				must.Succeed(t, err)
				sums[sum] = storage.Name
			}
		}
		if len(sums) != 1 {
			t.Errorf("answered, and the references on those that are not behind differ: %v", sums)
		}
		m := methodOf(t, name)
		if was, known := replicas[m.name()]; !known || was == equal {
			replicas[m.name()] = map[bool]string{true: equal, false: "repaired"}[len(behind) == 0]
		}
		if m.Votes {
			if voting++; len(behind) == 0 {
				whole++
			}
		}
		converged(t)
		s.wantOnePool(t, path)
	})
	note(t, gitaly, s.c.Storages[0].Conn(), slices.Collect(maps.Keys(replicas)), func(name string, m seen.Method) seen.Method {
		m.Replicas = replicas[name]
		return m
	})
	t.Logf("%d of %d writes that are voted on were on all storages when they were answered", whole, voting)
	if whole*2 < voting { // on a busy machine a storage may be too slow now and then
		t.Error("most were not")
	}
	gitalytest.ExerciseGit(t, func(*testing.T) gitalytest.Subject { return client }, "sidechannels")
}

// client is the cluster as a client sees it. What is seeded is put on all disks, for
// which the repository must be there.
func (s *suite) client(gitaly *cluster.Gitaly, converged func(*testing.T)) gitalytest.Subject {
	git := gitaly.Git
	if git == "" {
		git = "git"
	}
	token, err := os.ReadFile(s.c.TokenFile)
	must.Succeed(s.t, err)
	return gitalytest.Subject{
		Conn: s.c.Balancer.Conn(), Address: "tcp://" + s.c.Balancer.Addr, Token: strings.TrimSpace(string(token)), Storage: virtualStorage,
		Path: func(repo *gitalypb.Repository) string {
			return filepath.Join(s.c.Storages[0].Dir, repo.GetRelativePath())
		},
		Seed: func(t *testing.T, repo *gitalypb.Repository) (objects gitalytest.Objects) {
			converged(t)
			for _, storage := range s.c.Storages {
				objects = gitalytest.SeedOnDisk(t, git, filepath.Join(storage.Dir, repo.GetRelativePath()))
			}
			return objects
		},
	}
}

// wantOnePool wants all replicas to borrow from the same object pool, or none: what
// a pool is removed under is lost.
func (s *suite) wantOnePool(t *testing.T, path string) {
	t.Helper()
	pools := make(map[string]string)
	for _, storage := range s.c.Storages {
		answer, err := gitalypb.NewObjectPoolServiceClient(storage.Conn()).GetObjectPool(s.ctx, &gitalypb.GetObjectPoolRequest{
			Repository: &gitalypb.Repository{StorageName: storage.Name, RelativePath: path},
		})
		if err != nil && status.Code(err) != codes.NotFound { // it may have been removed
			t.Fatal(err)
		}
		pools[storage.Name] = answer.GetObjectPool().GetRepository().GetRelativePath()
	}
	for storage, pool := range pools {
		if want := pools[s.c.Storages[0].Name]; pool != want {
			t.Errorf("%s borrows from %q on %s, and from %q on %s", path, pool, storage, want, s.c.Storages[0].Name)
		}
	}
}

// behind are the storages that miss something of a repository.
func (s *suite) behind(t *testing.T, path string) map[string]bool {
	t.Helper()
	answer, err := s.c.Instances[0].Admin().Dataloss(s.ctx, admin.DatalossRequest{VirtualStorage: virtualStorage})
	must.Succeed(t, err)
	behind := make(map[string]bool)
	for _, repo := range answer.Repositories {
		if repo.RelativePath == path {
			for _, storage := range repo.Behind {
				behind[storage] = true
			}
		}
	}
	return behind
}

// tabled is a method with its name as pages write it.
type tabled struct{ method.Method }

func (m tabled) name() string { return strings.TrimPrefix(m.FullName, "/gitaly.") }

// methodOf is the method of a name without its service.
func methodOf(t *testing.T, name string) tabled {
	t.Helper()
	table, err := method.New()
	must.Succeed(t, err)
	for m := range table.All() {
		if strings.HasSuffix(m.FullName, "/"+name) {
			return tabled{m}
		}
	}
	t.Fatal(fmt.Errorf("there is no method %q", name))
	return tabled{}
}
