package main

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/check"
	"praefect/proxy/storage"
	"praefect/replicator/postgres"
)

// TestChecks_findWhatIsAway: a database that is away is a warning, a storage that is away is fatal.
func TestChecks_findWhatIsAway(t *testing.T) {
	up := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{{StorageName: "gitaly-1", Readable: true, Writeable: true}}}.serve(t)
	healthy := databaseSettings(t)
	for _, tc := range []struct {
		name     string
		settings settings
		migrate  bool
		ready    bool
		failed   []string
	}{
		{"all is there", settings{nodes: []string{up}, database: healthy}, true, true, nil},
		{"no database", settings{nodes: []string{up}}, false, true, []string{"praefect migrations", "database read/write", "database is not an upstream Praefect's"}},
		{"no storage", settings{database: healthy}, true, false, []string{"gitaly node connectivity & disk access"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, err := config.Load(t.Context(), tc.settings.write(t), func(string) string { return "" })
			must(t, err)
			db, err := postgres.Open(cfg.Database.DSN(), slog.New(slog.DiscardHandler), postgres.Config{})
			must(t, err)
			defer func() { should(t, db.Close()) }()
			if tc.migrate {
				if _, err := db.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			results := check.Run(t.Context(), checks(func() *config.Config { return cfg }, db, func() *state.State { return &state.State{} }), time.Minute)
			var failed []string
			for _, r := range results {
				if r.Err != nil {
					failed = append(failed, r.Name)
				}
			}
			if check.Ready(results) != tc.ready || len(failed) != len(tc.failed) {
				t.Fatalf("got %+v", results)
			}
			for i := range failed {
				if failed[i] != tc.failed[i] {
					t.Errorf("failed: %q, want %q", failed, tc.failed)
				}
			}
		})
	}
}

func TestUnavailable_countsRepositoriesThatNobodyServes(t *testing.T) {
	view := &state.State{}
	apply := func(inc state.Incarnation, commands ...state.Command) []state.Result {
		index := view.Index + 1
		next, results := view.Apply(index, state.Batch{
			Version: state.CommandVersion, RequestID: time.Duration(index).String(), Incarnation: inc, Number: uint64(index), Commands: commands,
		})
		view = next
		return results
	}
	inc := apply(0, state.Command{Register: &state.Register{ID: "i", Name: "i", ClusterID: "c"}})[0].Incarnation
	apply(inc, state.Command{Define: &state.Define{VirtualStorage: "default", Storages: []string{"gitaly-1", "gitaly-2"}}})
	apply(inc, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "gitaly-1", FilesystemID: "A"}})
	apply(inc, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "gitaly-2", FilesystemID: "B"}})
	since := view.VirtualStorage("default").Storage("gitaly-2").Since
	apply(inc, state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: "gitaly-2", Since: since}})
	apply(inc, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "gitaly-2", FilesystemID: "B", Backfilled: since}})

	// A write that gitaly-2 misses, and then gitaly-1 is lost.
	apply(inc, state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{"a.git"}, Kind: state.PrimaryOnly}})
	apply(inc, state.Command{MarkBehind: &state.MarkBehind{VirtualStorage: "default", Paths: []string{"a.git"}, Primary: "gitaly-1", Agreeing: []string{"gitaly-1"}, Epoch: view.VirtualStorage("default").Epoch}})
	if n := unavailable(view); n != 0 {
		t.Errorf("all serve: got %d", n)
	}
	apply(inc, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{"gitaly-1"}, Why: state.WhyDead, Epoch: view.VirtualStorage("default").Epoch}})
	apply(inc, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: view.VirtualStorage("default").Epoch,
		Storages: []state.Admission{{Storage: "gitaly-1", As: state.Out, Why: state.WhyDead}}}})
	if n := unavailable(view); n != 1 {
		t.Errorf("the one that has the write is out: got %d, want 1", n)
	}
}

// readinessCheck asks the daemon as GitLab does.
func (i *instance) readinessCheck() (err error) {
	cc, err := storage.NewClient(i.grpc, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cc.Close()) }()
	answer, err := gitalypb.NewServerServiceClient(cc).ReadinessCheck(i.t.Context(), &gitalypb.ReadinessCheckRequest{})
	if err == nil && answer.GetOkResponse() == nil {
		err = errors.New(answer.String())
	}
	return err
}
