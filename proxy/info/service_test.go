package info_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/fsm/state"
	"praefect/proxy/info"
)

func key(path string) state.Key { return state.Key{VirtualStorage: "default", RelativePath: path} }

func byPath(vs, path string) *gitalypb.GetRepositoryMetadataRequest {
	return &gitalypb.GetRepositoryMetadataRequest{Query: &gitalypb.GetRepositoryMetadataRequest_Path_{
		Path: &gitalypb.GetRepositoryMetadataRequest_Path{VirtualStorage: vs, RelativePath: path},
	}}
}

func byID(id int64) *gitalypb.GetRepositoryMetadataRequest {
	return &gitalypb.GetRepositoryMetadataRequest{Query: &gitalypb.GetRepositoryMetadataRequest_RepositoryId{RepositoryId: id}}
}

// replica is one that is healthy, and could be the primary's.
func replica(storage string, generation int64) *gitalypb.GetRepositoryMetadataResponse_Replica {
	return &gitalypb.GetRepositoryMetadataResponse_Replica{Storage: storage, Assigned: true, Generation: generation, Healthy: true, ValidPrimary: true}
}

func TestGetRepositoryMetadata(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.catalogue.list = []info.Repository{{ID: 1, Key: key("other.git")}, {ID: 2, Key: key("a.git"), Verified: map[string]time.Time{"gitaly-2": at}}}
	want := &gitalypb.GetRepositoryMetadataResponse{
		RepositoryId: 2, VirtualStorage: "default", RelativePath: "a.git", ReplicaPath: "a.git", Primary: "gitaly-1",
		Replicas: []*gitalypb.GetRepositoryMetadataResponse_Replica{replica("gitaly-1", 0), replica("gitaly-2", 0), replica("gitaly-3", 0)},
	}
	want.Replicas[1].VerifiedAt = timestamppb.New(at)
	for name, request := range map[string]*gitalypb.GetRepositoryMetadataRequest{"path": byPath("default", "a.git"), "id": byID(2)} {
		got, err := w.client.GetRepositoryMetadata(t.Context(), request)
		if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("by %s: %v (-want +got):\n%s", name, err, diff)
		}
	}

	w.WrittenOnlyTo("a.git", "gitaly-1", "gitaly-3")
	w.lose("gitaly-3")
	w.Returned("default", "gitaly-2", "new") // another disk: it is backfilled
	changed := int64(w.View().Entry(key("a.git")).Changed)
	want.Generation = changed
	for i, generation := range []int64{changed, -1, changed} {
		want.Replicas[i].Generation = generation
		want.Replicas[i].ValidPrimary = i == 0
	}
	want.Replicas[2].Healthy = false
	got, err := w.client.GetRepositoryMetadata(t.Context(), byID(2))
	if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("one that is listed: %v (-want +got):\n%s", err, diff)
	}
}

func TestGetRepositoryMetadata_entersWhatItFinds(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.create("b.git", "gitaly-1", "gitaly-2", "gitaly-3")
	for path, id := range map[string]int64{"a.git": 1} {
		for range 2 {
			got, err := w.client.GetRepositoryMetadata(t.Context(), byPath("default", path))
			if err != nil || got.GetRepositoryId() != id {
				t.Errorf("%s: got id %d, %v, want %d", path, got.GetRepositoryId(), err, id)
			}
		}
	}
	if _, err := w.client.GetRepositoryMetadata(t.Context(), byPath("default", "none.git")); err == nil || len(w.catalogue.list) != 1 {
		t.Errorf("a repository that is not there: got %v, and %+v in the catalogue", err, w.catalogue.list)
	}
}

func TestGetRepositoryMetadata_ofNothing(t *testing.T) {
	w := newFixture(t)
	w.catalogue.list = []info.Repository{{ID: 1, Key: key("removed.git")}, {ID: 2, Key: state.Key{VirtualStorage: "no", RelativePath: "a.git"}}}
	for name, row := range map[string]struct {
		request *gitalypb.GetRepositoryMetadataRequest
		want    string
	}{
		"unknown path":            {byPath("default", "none.git"), "NotFound: repository not found"},
		"unknown virtual storage": {byPath("no", "a.git"), "NotFound: repository not found"},
		"unknown id":              {byID(77), "NotFound: repository not found"},
		"removed":                 {byID(1), "NotFound: repository not found"},
		"of no virtual storage":   {byID(2), "NotFound: repository not found"},
		"bad path":                {byPath("default", "../a.git"), "InvalidArgument: "},
		"no query":                {&gitalypb.GetRepositoryMetadataRequest{}, "InvalidArgument: "},
	} {
		_, err := w.client.GetRepositoryMetadata(t.Context(), row.request)
		is(t, name, err, row.want)
	}
}

func TestGetRepositoryMetadata_withoutPostgres(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.catalogue.lost()
	got, err := w.client.GetRepositoryMetadata(t.Context(), byPath("default", "a.git"))
	if err != nil || got.GetRepositoryId() != 0 || got.GetPrimary() != "gitaly-1" || got.GetRelativePath() != "a.git" || len(got.GetReplicas()) != 3 {
		t.Errorf("by path: got %v, %v", got, err)
	}
	if log := w.logged(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "postgres is stopped") {
		t.Errorf("logged %q", log)
	}
	_, err = w.client.GetRepositoryMetadata(t.Context(), byID(1))
	is(t, "by id", err, "Unavailable: the numbers of repositories are in Postgres")
}

// Of a repository that nobody can serve people want to know most.
func TestGetRepositoryMetadata_ofOneThatIsUnavailable(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.WrittenOnlyTo("a.git", "gitaly-1")
	w.lose("gitaly-1")
	got, err := w.client.GetRepositoryMetadata(t.Context(), byPath("default", "a.git"))
	replicas := got.GetReplicas()
	if err != nil || got.GetPrimary() != "gitaly-1" || replicas[0].GetHealthy() || replicas[1].GetValidPrimary() || replicas[1].GetGeneration() != got.GetGeneration()-1 {
		t.Errorf("got %v, %v", got, err)
	}
	w.lose("gitaly-2", "gitaly-3")
	_, err = w.client.GetRepositoryMetadata(t.Context(), byPath("default", "never.git"))
	is(t, "one that nobody knows", err, "Unavailable: no in-sync storage")
	w.catalogue.list = []info.Repository{{ID: 7, Key: key("known.git")}}
	if got, err := w.client.GetRepositoryMetadata(t.Context(), byPath("default", "known.git")); err != nil || got.GetRepositoryId() != 7 {
		t.Errorf("one in the catalogue: got %v, %v", got, err)
	}
}

func TestRepositoryReplicas(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2")
	ask := func() (*gitalypb.RepositoryReplicasResponse, error) {
		return w.client.RepositoryReplicas(t.Context(), &gitalypb.RepositoryReplicasRequest{
			Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git", GlRepository: "project-1"},
		})
	}
	sum, err := gitalypb.NewRepositoryServiceClient(w.storage).CalculateChecksum(t.Context(), &gitalypb.CalculateChecksumRequest{
		Repository: &gitalypb.Repository{StorageName: "gitaly-1", RelativePath: "a.git"},
	})
	if err != nil {
		t.Fatal(err)
	}
	details := func(storage, checksum string) *gitalypb.RepositoryReplicasResponse_RepositoryDetails {
		return &gitalypb.RepositoryReplicasResponse_RepositoryDetails{
			Repository: &gitalypb.Repository{StorageName: storage, RelativePath: "a.git", GlRepository: "project-1"}, Checksum: checksum,
		}
	}
	want := &gitalypb.RepositoryReplicasResponse{
		Primary:  details("gitaly-1", sum.GetChecksum()),
		Replicas: []*gitalypb.RepositoryReplicasResponse_RepositoryDetails{details("gitaly-2", sum.GetChecksum()), details("gitaly-3", "")},
	}
	got, err := ask()
	if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if log := w.logged(); !strings.Contains(log, "storage=gitaly-3") {
		t.Errorf("a replica that is not there: logged %q", log)
	}
	w.lose("gitaly-1")
	_, err = ask()
	is(t, "without the primary", err, "Unavailable: ")
	for name, row := range map[string]struct {
		repository *gitalypb.Repository
		want       string
	}{
		"no repository": {nil, "InvalidArgument: repository not set"},
		"no path":       {&gitalypb.Repository{StorageName: "default"}, "InvalidArgument: repository path not set"},
		"unknown":       {&gitalypb.Repository{StorageName: "no", RelativePath: "a.git"}, "InvalidArgument: storage name not found"},
	} {
		_, err := w.client.RepositoryReplicas(t.Context(), &gitalypb.RepositoryReplicasRequest{Repository: row.repository})
		is(t, name, err, row.want)
	}
}

// dataloss collects an answer.
func (w *fixture) dataloss(vs string, partially bool) (messages int, list []*gitalypb.DatalossResponse_Repository, err error) {
	stream, err := w.client.Dataloss(w.t.Context(), &gitalypb.DatalossRequest{VirtualStorage: vs, IncludePartiallyReplicated: partially})
	for err == nil {
		var page *gitalypb.DatalossResponse
		if page, err = stream.Recv(); err == nil {
			messages++
			list = append(list, page.GetRepositories()...)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return messages, list, err
}

func TestDataloss(t *testing.T) {
	w := newFixture(t)
	w.WrittenOnlyTo("behind.git", "gitaly-1", "gitaly-2")
	w.WrittenOnlyTo("whole.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.WrittenOnlyTo("alone.git", "gitaly-1")
	storage := func(name string, behind int64, healthy, valid bool) *gitalypb.DatalossResponse_Repository_Storage {
		return &gitalypb.DatalossResponse_Repository_Storage{Name: name, BehindBy: behind, Assigned: true, Healthy: healthy, ValidPrimary: valid}
	}
	alone := &gitalypb.DatalossResponse_Repository{RelativePath: "alone.git", Primary: "gitaly-1", Storages: []*gitalypb.DatalossResponse_Repository_Storage{
		storage("gitaly-1", 0, true, true), storage("gitaly-2", 1, true, false), storage("gitaly-3", 1, true, false),
	}}
	behind := &gitalypb.DatalossResponse_Repository{RelativePath: "behind.git", Primary: "gitaly-1", Storages: []*gitalypb.DatalossResponse_Repository_Storage{
		storage("gitaly-1", 0, true, true), storage("gitaly-2", 0, true, true), storage("gitaly-3", 1, true, false),
	}}
	check := func(what string, partially bool, want ...*gitalypb.DatalossResponse_Repository) {
		t.Helper()
		_, got, err := w.dataloss("default", partially)
		if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	check("all are available", false)
	check("some are behind", true, alone, behind)
	w.lose("gitaly-1")
	alone.Unavailable = true
	alone.Storages[0] = storage("gitaly-1", 0, false, false)
	behind.Storages[0] = storage("gitaly-1", 0, false, false)
	check("one is unavailable", false, alone)
	check("one is unavailable, one is behind", true, alone, behind)
	_, _, err := w.dataloss("v", false)
	is(t, "unknown virtual storage", err, `Internal: unknown virtual storage: "v"`)
}

func TestDataloss_inPages(t *testing.T) {
	w := newFixture(t)
	for n := range 501 {
		w.WrittenOnlyTo(strings.Repeat("x", n+1)+".git", "gitaly-1")
	}
	messages, list, err := w.dataloss("default", true)
	if err != nil || messages != 2 || len(list) != 501 {
		t.Errorf("got %d repositories in %d messages, %v", len(list), messages, err)
	}
}

func TestSetAuthoritativeStorage(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	w.WrittenOnlyTo("lost.git", "gitaly-1")
	set := func(vs, path, storage string) error {
		_, err := w.client.SetAuthoritativeStorage(t.Context(), &gitalypb.SetAuthoritativeStorageRequest{
			VirtualStorage: vs, RelativePath: path, AuthoritativeStorage: storage,
		})
		return err
	}
	is(t, "unknown virtual storage", set("v", "a.git", "gitaly-1"), `InvalidArgument: unknown virtual storage: "v"`)
	is(t, "unknown storage", set("default", "a.git", "s"), `InvalidArgument: unknown authoritative storage: "s"`)
	is(t, "unknown repository", set("default", "none.git", "gitaly-1"), "InvalidArgument: repository does not exist on virtual storage")
	is(t, "bad path", set("default", "../a.git", "gitaly-1"), "InvalidArgument: relative path")
	if len(w.accepted) != 0 {
		t.Errorf("accepted %q", w.accepted)
	}
	for _, path := range []string{"a.git", "lost.git"} {
		if err := set("default", path, "gitaly-2"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if want := []string{"default a.git gitaly-2", "default lost.git gitaly-2"}; !cmp.Equal(w.accepted, want) {
		t.Errorf("accepted %q, want %q", w.accepted, want)
	}

	// A write that has just ended seems to be under way for a moment.
	paths := []string{"lost.git"}
	w.Apply(state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: paths, Kind: state.PrimaryOnly}})
	done := make(chan error, 1)
	go func() { done <- set("default", "lost.git", "gitaly-2") }()
	select {
	case err := <-done:
		t.Errorf("a write is under way: got %v", err)
	case <-time.After(300 * time.Millisecond):
		w.Apply(state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: paths}})
		if err := <-done; err != nil {
			t.Errorf("when it has ended: got %v", err)
		}
	}

	w.refusal = status.Error(codes.PermissionDenied, "show the token")
	is(t, "not allowed", set("default", "lost.git", "gitaly-2"), "PermissionDenied: show the token")
}

func TestMarkUnverified(t *testing.T) {
	w := newFixture(t)
	w.catalogue.list = []info.Repository{{ID: 5, Key: key("a.git")}}
	storage := func(vs, name string) *gitalypb.MarkUnverifiedRequest {
		return &gitalypb.MarkUnverifiedRequest{Selector: &gitalypb.MarkUnverifiedRequest_Storage_{
			Storage: &gitalypb.MarkUnverifiedRequest_Storage{VirtualStorage: vs, Storage: name},
		}}
	}
	repository := func(id int64) *gitalypb.MarkUnverifiedRequest {
		return &gitalypb.MarkUnverifiedRequest{Selector: &gitalypb.MarkUnverifiedRequest_RepositoryId{RepositoryId: id}}
	}
	virtualStorage := func(name string) *gitalypb.MarkUnverifiedRequest {
		return &gitalypb.MarkUnverifiedRequest{Selector: &gitalypb.MarkUnverifiedRequest_VirtualStorage{VirtualStorage: name}}
	}
	for name, row := range map[string]struct {
		request *gitalypb.MarkUnverifiedRequest
		marked  int64 // the catalogue says that it has two repositories each time
		asked   string
	}{
		"a repository":      {repository(5), 6, `default "a.git" on ""`},
		"no repository":     {repository(6), 0, ""},
		"a virtual storage": {virtualStorage("default"), 6, `default "" on ""`},
		"a storage":         {storage("default", "gitaly-2"), 2, `default "" on "gitaly-2"`},
	} {
		w.catalogue.marked = nil
		got, err := w.client.MarkUnverified(t.Context(), row.request)
		if err != nil || got.GetReplicasMarked() != row.marked || strings.Join(w.catalogue.marked, ",") != row.asked {
			t.Errorf("%s: got %d, %v; the catalogue was asked for %q", name, got.GetReplicasMarked(), err, w.catalogue.marked)
		}
	}
	for name, row := range map[string]struct {
		request *gitalypb.MarkUnverifiedRequest
		want    string
	}{
		"nothing":                 {&gitalypb.MarkUnverifiedRequest{}, "InvalidArgument: "},
		"unknown virtual storage": {virtualStorage("v"), `InvalidArgument: unknown virtual storage: "v"`},
		"unknown storage":         {storage("default", "s"), `InvalidArgument: unknown storage: "s"`},
		"no storage":              {storage("default", ""), "InvalidArgument: no storage is named"},
	} {
		_, err := w.client.MarkUnverified(t.Context(), row.request)
		is(t, name, err, row.want)
	}
	w.catalogue.lost()
	for name, request := range map[string]*gitalypb.MarkUnverifiedRequest{"id": repository(5), "virtual storage": virtualStorage("default")} {
		_, err := w.client.MarkUnverified(t.Context(), request)
		is(t, name, err, "Unavailable: ")
	}
}

func TestSetReplicationFactor(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1", "gitaly-2", "gitaly-3")
	set := func(vs, path string, factor int32) ([]string, error) {
		got, err := w.client.SetReplicationFactor(t.Context(), &gitalypb.SetReplicationFactorRequest{VirtualStorage: vs, RelativePath: path, ReplicationFactor: factor})
		return got.GetStorages(), err
	}
	got, err := set("default", "a.git", 3)
	if want := []string{"gitaly-1", "gitaly-2", "gitaly-3"}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for name, row := range map[string]struct {
		vs, path string
		factor   int32
		want     string
	}{
		"fewer":                   {"default", "a.git", 2, "FailedPrecondition: set replication factor: this version keeps every repository on all 3 storages"},
		"unknown virtual storage": {"v", "a.git", 3, `InvalidArgument: set replication factor: virtual storage "v" not found`},
		"none":                    {"default", "a.git", 0, "InvalidArgument: set replication factor: attempted to set replication factor 0 but minimum is 1"},
		"more":                    {"default", "a.git", 4, "InvalidArgument: set replication factor: attempted to set replication factor 4 but virtual storage only contains 3 storages"},
		"unknown repository":      {"default", "none.git", 3, `InvalidArgument: set replication factor: repository "default"/"none.git" not found`},
	} {
		_, err := set(row.vs, row.path, row.factor)
		is(t, name, err, row.want)
	}
}

// TestSetAuthoritativeStorage_checksBeforeItWaits: a caller that may not is told so at
// once, also while a write is under way.
func TestSetAuthoritativeStorage_checksBeforeItWaits(t *testing.T) {
	w := newFixture(t)
	w.create("a.git", "gitaly-1")
	w.Apply(state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{"a.git"}, Kind: state.PrimaryOnly}})
	w.mu.Lock()
	w.stranger = status.Error(codes.PermissionDenied, "changes need the admin token")
	w.mu.Unlock()
	began := time.Now()
	_, err := w.client.SetAuthoritativeStorage(t.Context(), &gitalypb.SetAuthoritativeStorageRequest{
		VirtualStorage: "default", RelativePath: "a.git", AuthoritativeStorage: "gitaly-1",
	})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
	if waited := time.Since(began); waited > 9*time.Second { // quietTimeout is 10 s
		t.Errorf("the refusal took %v", waited)
	}
	if len(w.accepted) != 0 {
		t.Errorf("accepted %q", w.accepted)
	}
}
