package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/fsm/condition"
	"praefect/proxy/storage"
	"praefect/test/gitaly/memory"
)

// site is an instance in front of storages in memory, with a database, and the
// settings by which commands find it.
type site struct {
	*instance
	config    string
	storages  []*memory.Server // gitaly-1, gitaly-2
	addresses []string         // theirs
	conn      *grpc.ClientConn
}

func newSite(t *testing.T, database string) *site {
	t.Helper()
	s := &site{}
	for _, name := range []string{"gitaly-1", "gitaly-2"} {
		server, address := memoryServer(t, name, "secret")
		s.storages = append(s.storages, server)
		s.addresses = append(s.addresses, address)
	}
	path := settings{nodes: s.addresses, database: database}.write(t)
	s.instance = serve(t, path)
	s.awaitReady()
	text, err := os.ReadFile(path)
	must(t, err)
	s.config = filepath.Join(t.TempDir(), "config.toml")
	listen := fmt.Sprintf("listen_addr = %q", strings.TrimPrefix(s.grpc, "tcp://"))
	must(t, os.WriteFile(s.config, []byte(strings.Replace(string(text), `listen_addr = "127.0.0.1:0"`, listen, 1)), 0o600))
	s.conn, err = storage.NewClient(s.grpc, "")
	must(t, err)
	t.Cleanup(func() { should(t, s.conn.Close()) })
	eventually(t, func() error { // migrated, and both virtual storages backfilled
		if got := s.run("sql-migrate"); database != "" && !strings.Contains(got.stdout, "all migrations are up") {
			return errors.New(got.stdout)
		}
		answer, err := s.status()
		if err == nil && answer.Health != condition.Healthy && (database != "" || !onlyConditions(answer, condition.PostgresAway, condition.NoSpare, condition.NoVotes)) {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	return s
}

func (s *site) run(args ...string) outcome {
	return praefect(s.t, "", append([]string{"-config", s.config}, args...)...)
}

// wants compares what a command left behind.
func (s *site) wants(want outcome, args ...string) {
	s.t.Helper()
	if got := s.run(args...); got != want {
		s.t.Errorf("%s: got\n%d %s%s\nwant\n%d %s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr, want.code, want.stdout, want.stderr)
	}
}

func (s *site) repositories() gitalypb.RepositoryServiceClient {
	return gitalypb.NewRepositoryServiceClient(s.conn)
}

// create makes a repository and waits until every storage has it.
func (s *site) create(path string) {
	s.t.Helper()
	_, err := s.repositories().CreateRepository(s.t.Context(), &gitalypb.CreateRepositoryRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: path},
	})
	must(s.t, err)
	s.clean()
}

// clean waits until there is nothing to say of any repository of default.
func (s *site) clean() {
	s.t.Helper()
	eventually(s.t, func() error {
		got := s.run("metadata", "-virtual-storage", "default", "-relative-path", "a.git")
		if strings.Contains(got.stdout, "Generation: 0\n") {
			return nil
		}
		return errors.New(got.stdout + got.stderr)
	})
}

// number is that of a.git. It is not always the first: Postgres does not take numbers back
// that were drawn for a row that another transaction had made.
func (s *site) number() string {
	s.t.Helper()
	got := s.run("metadata", "-virtual-storage", "default", "-relative-path", "a.git")
	first, _, _ := strings.Cut(got.stdout, "\n")
	number, ok := strings.CutPrefix(first, "Repository ID: ")
	if !ok || got.code != 0 {
		s.t.Fatalf("the metadata of a.git: %+v", got)
	}
	return number
}

const cleanA = `Repository ID: 1
Virtual Storage: "default"
Relative Path: "a.git"
Replica Path: "a.git"
Primary: "gitaly-1"
Generation: 0
Replicas:
- Storage: "gitaly-1"
  Assigned: true
  Generation: 0, fully up to date
  Healthy: true
  Valid Primary: true
  Verified At: unverified
- Storage: "gitaly-2"
  Assigned: true
  Generation: 0, fully up to date
  Healthy: true
  Valid Primary: true
  Verified At: unverified
`

func TestCommands_ofAnInstance(t *testing.T) {
	s := newSite(t, databaseSettings(t))
	s.create("a.git")
	byPath := []string{"-virtual-storage", "default", "-relative-path", "a.git"}
	clean := strings.Replace(cleanA, "ID: 1\n", "ID: "+s.number()+"\n", 1)
	s.wants(outcome{0, clean, ""}, append([]string{"metadata"}, byPath...)...)
	s.wants(outcome{0, clean, ""}, "metadata", "--repository-id", s.number())
	s.wants(outcome{1, "", "get metadata: rpc error: code = NotFound desc = repository not found\n"}, "metadata", "-repository-id", "777")

	s.wants(outcome{0, "Virtual storage: default\n  All repositories are available!\nVirtual storage: other\n  All repositories are available!\n", ""}, "dataloss")
	s.wants(outcome{0, "Virtual storage: other\n  All repositories are fully available on all assigned storages!\n", ""},
		"dataloss", "-virtual-storage", "other", "-partially-unavailable")
	s.wants(outcome{1, "", "ask what is lost: rpc error: code = Internal desc = unknown virtual storage: \"v\"\n"}, "dataloss", "-virtual-storage", "v")

	const passed = `Checking praefect migrations - the schema in Postgres is that of this release [warning]
Passed
Checking gitaly node connectivity & disk access - every storage is reached, and serves what is configured from a disk that it can read and write [fatal]
Passed
Checking database read/write - Postgres answers, and takes a write [warning]
Passed
Checking database is not an upstream Praefect's - no upstream Praefect keeps repositories in this database under paths of its own [fatal]
Passed
Checking praefect leader - the instances have a leader, and belong to one cluster [fatal]
Passed
Checking praefect quorum - every instance of the settings votes, and the cluster can lose one [warning]
Passed
Checking praefect conditions - nothing else in the cluster is degraded or unavailable [warning]
Passed
Checking unavailable repositories - every repository has a storage that serves all of it [warning]
Passed
All checks passed.
`
	s.wants(outcome{0, passed, ""}, "check")

	accept := []string{"accept-dataloss", "-authoritative-storage", "gitaly-2"}
	s.wants(outcome{}, append(accept, byPath...)...) // nothing is lost, and nothing is said
	s.wants(outcome{1, "", "set the authoritative storage: rpc error: code = InvalidArgument desc = unknown authoritative storage: \"s\"\n"},
		append([]string{"accept-dataloss", "-authoritative-storage", "s"}, byPath...)...)

	// A client's token alone does not do.
	_, err := gitalypb.NewPraefectInfoServiceClient(s.conn).SetAuthoritativeStorage(t.Context(), &gitalypb.SetAuthoritativeStorageRequest{
		VirtualStorage: "default", RelativePath: "a.git", AuthoritativeStorage: "gitaly-1",
	})
	if grpcstatus.Code(err) != codes.PermissionDenied {
		t.Errorf("accepting loss as any client: got %v", err)
	}

	// A write that gitaly-2 misses, as it is away.
	s.storages[1].Kill()
	_, err = gitalypb.NewRepositoryServiceClient(s.conn).WriteRef(t.Context(), &gitalypb.WriteRefRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"}, Ref: []byte("refs/heads/main"), Revision: []byte(strings.Repeat("a", 40)),
	})
	must(t, err)
	eventually(t, func() error {
		want := `Virtual storage: default
  Repositories:
    a.git:
      Primary: gitaly-1
      In-Sync Storages:
        gitaly-1, assigned host
      Outdated Storages:
        gitaly-2 is behind by 1 change or less, assigned host, unhealthy
`
		if got := s.run("dataloss", "-virtual-storage", "default", "-partially-unavailable"); got != (outcome{0, want, ""}) {
			return fmt.Errorf("got %+v", got)
		}
		return nil
	})
	s.wants(outcome{}, append(accept[:2:2], append([]string{"gitaly-1"}, byPath...)...)...) // when the intent has closed
	failed := s.run("check", "-q")
	if want := "2 check(s) failed, at least one was fatal.\n"; failed.code != 1 || failed.stderr != "checks failed\n" || !strings.HasSuffix(failed.stdout, want) ||
		!strings.Contains(failed.stdout, "Checking praefect migrations... Passed\nChecking gitaly node connectivity & disk access... Failed (fatal) error: the following nodes are not healthy: tcp://") ||
		!strings.Contains(failed.stdout, "Checking praefect leader... Passed\nChecking praefect quorum... Passed\n"+
			"Checking praefect conditions... Failed (warning) error: one-good-copy: ") {
		t.Errorf("check with a storage away: got %+v", failed)
	}
	s.endsWell()
	s.run("dataloss").fails(t, 1, "dial the instance at tcp://127.0.0.1:") // without an instance
}

// Postgres is missed by nothing but what is in it.
func TestCommands_withoutPostgres(t *testing.T) {
	s := newSite(t, "")
	_, err := s.repositories().CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"},
	})
	must(t, err)
	got := s.run("metadata", "-virtual-storage", "default", "-relative-path", "a.git")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "Repository ID: 0\nVirtual Storage: \"default\"\nRelative Path: \"a.git\"\n") {
		t.Errorf("by path: got %+v", got)
	}
	if got := s.run("metadata", "-repository-id", "1"); got.code != 1 || !strings.Contains(got.stderr, "code = Unavailable desc = the numbers of repositories are in Postgres") {
		t.Errorf("by id: got %+v", got)
	}
	// Migrations, reading and writing, and whether an upstream Praefect uses the database.
	checked := s.run("check", "-q")
	if checked.code != 0 || checked.stderr != "" || !strings.Contains(checked.stdout, "Checking database read/write... Failed (warning) error: ") ||
		!strings.HasSuffix(checked.stdout, "Checking unavailable repositories... Passed\n3 check(s) failed, but none are fatal.\n") {
		t.Errorf("check: got %+v", checked)
	}
	s.endsWell()
}

func TestRemoveRepository(t *testing.T) {
	s := newSite(t, databaseSettings(t))
	s.create("a.git")
	const found = "Repository found in the database.\n" +
		"Nothing was removed: run the command with -apply to remove the repository from the database and from the storages,\n" +
		"or with -apply -db-only to remove it from the database alone.\n"
	remove := func(path string, flags ...string) []string {
		return append([]string{"remove-repository", "-virtual-storage", "default", "-repository", path}, flags...)
	}
	untracked := outcome{1, "", "repository is not being tracked in Praefect\n"}
	s.wants(untracked, remove("none.git")...)
	s.wants(untracked, remove("none.git", "-db-only")...)
	s.wants(outcome{0, found, ""}, remove("a.git")...)
	s.wants(outcome{0, found, ""}, remove("a.git", "-db-only")...)
	s.wants(outcome{0, "a.git was removed from the database alone.\n", ""}, remove("a.git", "-apply", "-db-only")...)
	s.wants(untracked, remove("a.git", "-db-only")...)
	s.clean() // it is there, and has another number
	s.wants(outcome{0, "a.git was removed from the database and from every storage.\n", ""}, remove("a.git", "-apply")...)
	for i, address := range s.addresses {
		if name := fmt.Sprintf("gitaly-%d", i+1); s.exists(address, name, "a.git") {
			t.Errorf("%s still has the repository", name)
		}
	}
	s.wants(untracked, remove("a.git")...)
	eventually(t, func() error { // the catalogue hears of it
		if got := s.run(remove("a.git", "-db-only")...); got != untracked {
			return fmt.Errorf("got %+v", got)
		}
		return nil
	})
	s.endsWell()
}

// exists asks a storage itself.
func (s *site) exists(address, name, path string) bool {
	s.t.Helper()
	cc, err := storage.NewClient(address, "secret")
	must(s.t, err)
	answer, err := gitalypb.NewRepositoryServiceClient(cc).RepositoryExists(s.t.Context(), &gitalypb.RepositoryExistsRequest{
		Repository: &gitalypb.Repository{StorageName: name, RelativePath: path},
	})
	must(s.t, errors.Join(err, cc.Close()))
	return answer.GetExists()
}

func TestAwaitRemoval(t *testing.T) {
	lost := errors.New("the instance is gone")
	for _, row := range []struct {
		name    string
		answers [][]string // the last one is repeated
		err     error
		want    []string
		took    time.Duration
	}{
		{"nothing is left", [][]string{nil}, nil, nil, 0},
		{"one after the other", [][]string{{"a", "b"}, {"a", "b"}, {"b"}, nil}, nil, nil, 3 * time.Second},
		{"one is away", [][]string{{"a", "b"}, {"b"}}, nil, []string{"b"}, time.Second + removeTimeout},
		{"no answer", [][]string{{"a"}}, lost, []string{"a"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			got, err := awaitRemoval(t.Context(), func(context.Context) ([]string, error) {
				answer := row.answers[0]
				if len(row.answers) > 1 {
					row.answers = row.answers[1:]
				}
				return answer, row.err
			})
			if !slices.Equal(got, row.want) || err != row.err || time.Since(began) != row.took {
				t.Errorf("%s: got %q, %v after %v", row.name, got, err, time.Since(began))
			}
		})
	}
}

func TestListStorages(t *testing.T) {
	config := settings{nodes: []string{"tcp://127.0.0.1:1", "unix:/run/g.sock"}}.write(t)
	want := "VIRTUAL_STORAGE\tNODE\t\tADDRESS\n" +
		"default\t\tgitaly-1\ttcp://127.0.0.1:1\n" +
		"default\t\tgitaly-2\tunix:/run/g.sock\n" +
		"other\t\tgitaly-1\ttcp://127.0.0.1:1\n" +
		"other\t\tgitaly-2\tunix:/run/g.sock\n"
	praefect(t, "", "-config", config, "list-storages").is(t, outcome{0, want, ""})
	want = "VIRTUAL_STORAGE\tNODE\t\tADDRESS\nother\t\tgitaly-1\ttcp://127.0.0.1:1\nother\t\tgitaly-2\tunix:/run/g.sock\n"
	praefect(t, "", "-config", config, "list-storages", "-virtual-storage", "other").is(t, outcome{0, want, ""})
	praefect(t, "", "-config", config, "list-storages", "-virtual-storage", "X").is(t, outcome{0, "No virtual storages named X.\n", ""})
}

// A replica that is marked is verified within seconds, whatever the interval, and metadata says when.
func TestVerify_marksAndIsVerified(t *testing.T) {
	s := newSite(t, databaseSettings(t))
	s.create("a.git")
	for i, args := range [][]string{{"-repository-id", s.number()}, {"-virtual-storage", "default"}, {"-virtual-storage", "default", "-storage", "gitaly-2"}} {
		marked := 2 - i/2
		s.wants(outcome{0, fmt.Sprintf("%d replicas marked unverified\n", marked), ""}, append([]string{"verify"}, args...)...)
		eventually(t, func() error {
			got := s.run("metadata", "-repository-id", s.number())
			if n := strings.Count(got.stdout, "  Verified At: 2"); n != 2 {
				return fmt.Errorf("%d replicas are verified: %s%s", n, got.stdout, got.stderr)
			}
			return nil
		})
	}
	s.wants(outcome{0, "0 replicas marked unverified\n", ""}, "verify", "-repository-id", "777")
	s.wants(outcome{1, "", "verify replicas: rpc error: code = InvalidArgument desc = unknown virtual storage: \"v\"\n"}, "verify", "-virtual-storage", "v")
}

func TestVerify_wantsOneName(t *testing.T) {
	config := settings{}.write(t)
	for _, args := range [][]string{
		{}, {"-storage", "s"}, {"-repository-id", "1", "-virtual-storage", "v"}, {"-repository-id", "1", "-storage", "s"}, {"-repository-id", "x"},
	} {
		if got := praefect(t, "", append([]string{"-config", config, "verify"}, args...)...); got.code != 1 || got.stderr == "" {
			t.Errorf("%v: got %+v", args, got)
		}
	}
}

func TestMetadata_wantsOneName(t *testing.T) {
	config := settings{}.write(t)
	for _, args := range [][]string{
		{}, {"-virtual-storage", "v"}, {"-relative-path", "a.git"}, {"-repository-id", "1", "-virtual-storage", "v"}, {"-repository-id", "x"},
	} {
		if got := praefect(t, "", append([]string{"-config", config, "metadata"}, args...)...); got.code != 1 || got.stderr == "" {
			t.Errorf("%v: got %+v", args, got)
		}
	}
}

// What of a tree of upstream's the tests above do not bring about.
func TestShowLoss(t *testing.T) {
	got := showLoss(&gitalypb.DatalossResponse_Repository{
		RelativePath: "b.git", Unavailable: true,
		Storages: []*gitalypb.DatalossResponse_Repository_Storage{
			{Name: "gitaly-1", Healthy: false, Assigned: true}, {Name: "gitaly-2", BehindBy: 2, Healthy: true},
		},
	})
	want := `    b.git (unavailable):
      Primary: No Primary
      In-Sync Storages:
        gitaly-1, assigned host, unhealthy
      Outdated Storages:
        gitaly-2 is behind by 2 changes or less
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What a client has chosen as a path neither moves the cursor nor looks like a line of ours.
func TestShowLoss_escapesPaths(t *testing.T) {
	var out strings.Builder
	p := &program{stdout: &out}
	loss := showLoss(&gitalypb.DatalossResponse_Repository{RelativePath: "a\x1b[2J\nVirtual storage: x.git", Unavailable: true})
	must(t, p.print(loss))
	must(t, p.println("storage: \x1b]0;title\a\u202e"))
	want := `    a\x1b[2J\nVirtual storage: x.git (unavailable):
      Primary: No Primary
      In-Sync Storages:
      Outdated Storages:
storage: \x1b]0;title\a\u202e
`
	same(t, "lines", out.String(), want)
}

func TestShowMetadata_ofReplicasThatAreBehind(t *testing.T) {
	got := showMetadata(&gitalypb.GetRepositoryMetadataResponse{
		RepositoryId: 9, Generation: 41, Replicas: []*gitalypb.GetRepositoryMetadataResponse_Replica{
			{Storage: "a", Generation: 40, VerifiedAt: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))}, {Storage: "b", Generation: -1},
		},
	})
	contains(t, got,
		"Generation: 41\n", "  Generation: 40, behind by 1 changes\n", "  Verified At: 2026-01-02 03:04:05 +0000 UTC\n", "  Generation: replica not yet created\n",
	)
}
