package proxy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/test/gitaly/memory"
)

func keyOf(path string) state.Key {
	return state.Key{VirtualStorage: "default", RelativePath: path}
}

func (w *fixture) writeRef(ctx context.Context, path, ref, revision string) error {
	_, err := gitalypb.NewRepositoryServiceClient(w.conn).WriteRef(ctx, &gitalypb.WriteRefRequest{
		Repository: repository(path), Ref: []byte(ref), Revision: []byte(revision),
	})
	return err
}

func (w *fixture) refExists(ctx context.Context, path, ref string) (bool, error) {
	answer, err := gitalypb.NewRefServiceClient(w.conn).RefExists(ctx, &gitalypb.RefExistsRequest{Repository: repository(path), Ref: []byte(ref)})
	return answer.GetValue(), err
}

var revision = strings.Repeat("1", 40)

// TestWrite_isAccountedForWhenItReachesTheStorage looks from the storage's side
// (P5): when the write arrives there, intent and account are applied.
func TestWrite_isAccountedForWhenItReachesTheStorage(t *testing.T) {
	w := newFixture(t)
	entries := make(chan *state.Entry, 1)
	w.storages["gitaly-1"].setHook(func(_ context.Context, call memory.Call) (bool, error) {
		if call.Storage != "gitaly-1" || call.RelativePath != "a.git" {
			t.Errorf("the storage was asked for %+v", call)
		}
		entries <- w.node.View().Entry(keyOf("a.git"))
		return true, nil
	})
	w.create("a.git")
	entry := <-entries
	if !entry.HasPrimaryOnly() || !slices.Equal(entry.Behind, []string{"gitaly-2", "gitaly-3"}) {
		t.Errorf("entry when the write arrived: %+v", entry)
	}
	if got := w.repaired(); !slices.Contains(got, keyOf("a.git")) {
		t.Errorf("given to be repaired: %v", got)
	}
	for _, name := range []string{"gitaly-2", "gitaly-3"} {
		if calls := w.storages[name].asked(); len(calls) != 0 {
			t.Errorf("%s was asked: %+v", name, calls)
		}
	}
}

// TestWrite_errorsOfTheStoragePassUntouched, and leave a clean end: the status
// arrived.
func TestWrite_errorsOfTheStoragePassUntouched(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	_, err := gitalypb.NewRepositoryServiceClient(w.conn).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repository("a.git")})
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("got %v, want AlreadyExists", err)
	}
	w.closed("a.git")
	if w.node.View().Entry(keyOf("a.git")).HasDoubt() {
		t.Error("a write with a status ended in doubt")
	}
}

func TestWrite_deleteIsInTheLedgerBeforeItsEffect(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	deleted := make(chan bool, 1)
	w.storages["gitaly-1"].setHook(func(_ context.Context, call memory.Call) (bool, error) {
		if call.Method == gitalypb.RepositoryService_RemoveRepository_FullMethodName {
			deleted <- w.node.View().Entry(keyOf("a.git")).Deleted
		}
		return true, nil
	})
	if _, err := gitalypb.NewRepositoryServiceClient(w.conn).RemoveRepository(t.Context(), &gitalypb.RemoveRepositoryRequest{Repository: repository("a.git")}); err != nil {
		t.Fatal(err)
	}
	if !<-deleted {
		t.Error("the delete reached the storage before the ledger")
	}
	// A create that fails leaves it to the storages that are behind to remove
	// the repository; one that succeeds takes that back.
	w.storages["gitaly-1"].setHook(func(context.Context, memory.Call) (bool, error) {
		deleted <- w.node.View().Entry(keyOf("a.git")).Deleted
		return false, status.Error(codes.ResourceExhausted, "disk full")
	})
	_, err := gitalypb.NewRepositoryServiceClient(w.conn).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repository("a.git")})
	if status.Code(err) != codes.ResourceExhausted || !<-deleted || !w.node.View().Entry(keyOf("a.git")).Deleted {
		t.Errorf("after a create that failed with %v, the delete is forgotten", err)
	}
	w.storages["gitaly-1"].setHook(nil)
	w.create("a.git")
	if w.node.View().Entry(keyOf("a.git")).Deleted {
		t.Error("the create did not take back what the delete had set")
	}
}

// TestWrite_storageGoneMidCall: the client hears UNAVAILABLE, and what may have
// happened is not forgotten.
func TestWrite_storageGoneMidCall(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	primary := w.storages["gitaly-1"]
	primary.setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		primary.Kill()
		<-ctx.Done()
		return true, nil
	})
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	w.closed("a.git")
	if !w.node.View().Entry(keyOf("a.git")).HasDoubt() {
		t.Error("the write that was cut off ended clean")
	}
	// The primary is gone and nothing else may take its place: writes are
	// refused, reads of a clean repository go on. One that comes before the
	// loss of the connection is noticed may be marked already; those after it
	// leave nothing.
	for n := 0; ; n++ {
		path := fmt.Sprintf("b%d.git", n)
		if err := w.writeRef(t.Context(), path, "refs/heads/main", revision); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), `"gitaly-1"`) {
			t.Fatalf("write without primary: %v", err)
		}
		if w.node.View().Entry(keyOf(path)) == nil {
			break
		}
		if n == 20 {
			t.Fatal("writes that are never forwarded leave entries")
		}
	}
	if _, err := w.refExists(t.Context(), "c.git", "refs/heads/main"); status.Code(err) != codes.NotFound {
		t.Errorf("read without primary: %v", err)
	}
}

func TestRead_spreadsOverStoragesInSync(t *testing.T) {
	w := newFixture(t)
	for range 60 {
		if _, err := w.refExists(t.Context(), "a.git", "refs/heads/main"); status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
	}
	for name, b := range w.storages {
		if n := len(b.asked()); n == 0 {
			t.Errorf("storage %q served none of 60 reads", name)
		}
	}
}

// TestRead_ofRepositoryThatIsBehindGoesToThePrimary: after an acknowledged
// write no read misses it (P4).
func TestRead_ofRepositoryThatIsBehindGoesToThePrimary(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if found, err := w.refExists(t.Context(), "a.git", "refs/heads/main"); err != nil || !found {
			t.Fatalf("read %d after the write: %v, %v", i, found, err)
		}
	}
}

func TestRead_primaryOnly(t *testing.T) {
	w := newFixture(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), accessorPolicyHeader, "primary-only")
	for range 20 {
		w.refExists(ctx, "a.git", "refs/heads/main")
		gitalypb.NewRepositoryServiceClient(w.conn).RepositorySize(t.Context(), &gitalypb.RepositorySizeRequest{Repository: repository("a.git")})
	}
	if n := len(w.storages["gitaly-1"].asked()); n != 40 {
		t.Errorf("the primary served %d of 40", n)
	}
}

// TestRead_isMadeUpForByAnotherStorage when one is lost before it answered.
func TestRead_isMadeUpForByAnotherStorage(t *testing.T) {
	w := newFixture(t)
	victim := w.storages["gitaly-2"]
	victim.setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		victim.Kill()
		<-ctx.Done()
		return true, nil
	})
	for i := range 40 {
		if _, err := w.refExists(t.Context(), "a.git", "refs/heads/main"); status.Code(err) != codes.NotFound {
			t.Fatalf("read %d: %v", i, err)
		}
	}
	if len(victim.asked()) == 0 {
		t.Error("the storage that died was never asked: the test shows nothing")
	}
}

func TestRead_bulkStream(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	blob, err := gitalypb.NewBlobServiceClient(w.conn).GetBlob(t.Context(), &gitalypb.GetBlobRequest{Repository: repository("a.git"), Oid: revision, Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for {
		part, err := blob.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size += len(part.GetData())
	}
	if size != 64<<10 {
		t.Errorf("got %d bytes", size)
	}
}

// Only what prunes is kept from replicas that are behind: one may be under repair.
func TestMaintain_goesToAllThatServe(t *testing.T) {
	w := newFixture(t)
	w.create("b.git") // behind on the secondaries
	client := gitalypb.NewRepositoryServiceClient(w.conn)
	for _, tc := range []struct {
		method string
		call   func(*gitalypb.Repository) error
		path   string
		want   [3]int // calls to each storage so far
	}{
		{gitalypb.RepositoryService_OptimizeRepository_FullMethodName, func(repo *gitalypb.Repository) error {
			_, err := client.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repo})
			return err
		}, "a.git", [3]int{1, 1, 1}},
		{gitalypb.RepositoryService_OptimizeRepository_FullMethodName, func(repo *gitalypb.Repository) error {
			_, err := client.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repo})
			return err
		}, "b.git", [3]int{2, 2, 2}},
		{gitalypb.RepositoryService_PruneUnreachableObjects_FullMethodName, func(repo *gitalypb.Repository) error {
			_, err := client.PruneUnreachableObjects(t.Context(), &gitalypb.PruneUnreachableObjectsRequest{Repository: repo})
			return err
		}, "b.git", [3]int{1, 0, 0}},
		{gitalypb.RepositoryService_PruneUnreachableObjects_FullMethodName, func(repo *gitalypb.Repository) error {
			_, err := client.PruneUnreachableObjects(t.Context(), &gitalypb.PruneUnreachableObjectsRequest{Repository: repo})
			return err
		}, "a.git", [3]int{2, 1, 1}},
	} {
		// The storages do not offer it: what counts is which ones were asked.
		if err := tc.call(repository(tc.path)); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s of %s: got %v", tc.method, tc.path, err)
		}
		var got [3]int
		for i, name := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
			got[i] = w.to(tc.method, name)
		}
		if got != tc.want {
			t.Errorf("%s of %s: asked %v, want %v", tc.method, tc.path, got, tc.want)
		}
	}
}

func TestInfo_showsVirtualStorages(t *testing.T) {
	w := newFixture(t)
	client := gitalypb.NewServerServiceClient(w.conn)
	info, err := client.ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(info.GetStorageStatuses()) != 1 {
		t.Fatalf("storage statuses: %v", info.GetStorageStatuses())
	}
	st := info.GetStorageStatuses()[0]
	if st.GetStorageName() != "default" || st.GetReplicationFactor() != 3 || !st.GetReadable() || !st.GetWriteable() || info.GetServerVersion() == "" {
		t.Errorf("server info: %v", info)
	}
	if got, want := st.GetFilesystemId(), virtualFilesystemID("default"); got != want || len(want) != 36 {
		t.Errorf("filesystem id %q, want %q", got, want)
	}
	disks, err := client.DiskStatistics(t.Context(), &gitalypb.DiskStatisticsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range disks.GetStorageStatuses() {
		names = append(names, d.GetStorageName())
	}
	if !slices.Equal(names, []string{"gitaly-1", "gitaly-2", "gitaly-3"}) {
		t.Errorf("disk statistics of %v", names)
	}
}

// Whoever keeps a catalogue hears of what may have come or gone, and of nothing else.
func TestWrite_tellsWhatItTouched(t *testing.T) {
	w := newFixture(t)
	w.create("a.git")
	if err := w.writeRef(t.Context(), "a.git", "refs/heads/main", revision); err != nil {
		t.Fatal(err)
	}
	client := gitalypb.NewRepositoryServiceClient(w.conn)
	if _, err := client.RemoveRepository(t.Context(), &gitalypb.RemoveRepositoryRequest{Repository: repository("a.git")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repository("../b.git")}); err == nil {
		t.Error("a bad path was taken")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := []state.Key{keyOf("a.git"), keyOf("a.git")}; !slices.Equal(w.touched, want) {
		t.Errorf("told of %v, want %v", w.touched, want)
	}
}
