package main

import (
	"fmt"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/config"
	"praefect/proxy/admin"
	"praefect/proxy/storage"
)

// A real instance, in front of storages, answers what operators' tools ask: repositories with and without the
// catalogue, the difference of replicas, the absence of a storage, its metrics, and its debug files, which need a
// proof of the admin token and hold no secret.
func TestInstance_answersOperators(t *testing.T) {
	s := newSite(t, databaseSettings(t))
	s.create("a.git")
	cfg, err := config.Load(t.Context(), s.config, func(string) string { return "" })
	must(t, err)
	cc := admin.NewClient(s.conn)
	operator := cc.WithAdminToken(adminToken(cfg))
	eventually(t, func() error {
		page, err := cc.Repositories(t.Context(), admin.RepositoriesRequest{VirtualStorage: "default"})
		if err != nil || len(page.Repositories) != 1 || page.Repositories[0].RelativePath != "a.git" || page.Repositories[0].State != "clean" {
			return fmt.Errorf("%+v, %w", page, err)
		}
		return nil
	})
	if page, err := cc.Repositories(t.Context(), admin.RepositoriesRequest{VirtualStorage: "default", Prefix: "b"}); err != nil || len(page.Repositories) != 0 {
		t.Errorf("got %+v, %v", page, err)
	}
	diff := func() admin.DiffResponse {
		answer, err := cc.Diff(t.Context(), admin.DiffRequest{VirtualStorage: "default", RelativePath: "a.git", Here: "gitaly-1", There: "gitaly-2"})
		must(t, err)
		return answer
	}
	if d := diff(); d.Differing != 0 || !d.Here.Exists || !d.There.Exists || d.Here.Role != "primary" {
		t.Errorf("alike: got %+v", d)
	}
	behindBack, err := storage.NewClient(s.addresses[1], "secret")
	must(t, err)
	defer func() { should(t, behindBack.Close()) }()
	if _, err := gitalypb.NewRepositoryServiceClient(behindBack).RemoveRepository(t.Context(), &gitalypb.RemoveRepositoryRequest{
		Repository: &gitalypb.Repository{StorageName: "gitaly-2", RelativePath: "a.git"},
	}); err != nil {
		t.Fatal(err)
	}
	if d := diff(); !d.Here.Exists || d.There.Exists {
		t.Errorf("gone on gitaly-2: got %+v", d)
	}
	impact, err := cc.Impact(t.Context(), admin.ImpactRequest{VirtualStorage: "default", Storage: "gitaly-1"})
	if err != nil || strings.Join(impact.Serving, " ") != "gitaly-2" || impact.Copies != 2 {
		t.Errorf("got %+v, %v", impact, err)
	}
	if _, err := gitalypb.NewRepositoryServiceClient(s.conn).RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"},
	}); err != nil {
		t.Fatal(err)
	}
	figures, err := cc.Figures(t.Context(), "grpc_server_*", "gitaly_praefect_read_distribution")
	names := map[string]bool{}
	for _, f := range figures.Figures {
		names[f.Name] = true
	}
	if err != nil || !names["grpc_server_handled_total"] || !names["grpc_server_handling_seconds"] || !names["gitaly_praefect_read_distribution"] {
		t.Errorf("got %v, %v: what praefectctl top is made of is missing", names, err)
	}
	plan, err := cc.DropJobs(t.Context(), admin.DropRequest{Change: admin.Change{RequestID: "1"}, State: "dead", DryRun: true})
	if err != nil || plan.Dropped != 0 {
		t.Errorf("got %+v, %v", plan, err)
	}
	files := map[string]string{}
	put := func(_, name string, content []byte) error { files[name] += string(content); return nil }
	if err := cc.Debug(t.Context(), put); admin.KindOf(err) != admin.Denied || len(files) != 0 {
		t.Errorf("without a proof: got %v, %d files", err, len(files))
	}
	if err := operator.Debug(t.Context(), put); err != nil || len(files) != 4 {
		t.Errorf("got %v, %d files", err, len(files))
	}
	for name, content := range files {
		if content == "" || strings.Contains(content, adminToken(cfg)) || strings.Contains(content, `"Token": "secret"`) {
			t.Errorf("%s is empty, or holds a secret", name)
		}
	}
}
