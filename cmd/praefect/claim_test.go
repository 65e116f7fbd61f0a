package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/storage"
	"praefect/replicator/postgres"
)

// claimed starts an instance whose cluster then has both virtual storages, on a database of its own.
func claimed(t *testing.T) (database, node string) {
	t.Helper()
	database = databaseSettings(t)
	node = gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{{
		StorageName: "gitaly-1", Readable: true, Writeable: true, FilesystemId: "disk",
	}}}.serve(t)
	return database, node
}

func TestServe_secondClusterRefusesToBegin(t *testing.T) {
	database, node := claimed(t)
	first := settings{database: database, nodes: []string{node}}.write(t)
	one := serve(t, first)
	one.awaitReady()

	second := settings{database: database, nodes: []string{node}}.write(t)
	two := daemonEnds(t, second)
	if two.code != exitError {
		t.Errorf("the second one ended with %d: %s", two.code, two.stdout)
	}
	host, err := os.Hostname()
	must(t, err)
	contains(t, two.stdout,
		`virtual storage \"default\" belongs to cluster `, `virtual storage \"other\" belongs to cluster `,
		fmt.Sprintf(`on host \"%s\" has claimed it at 20`, host), "raft.peer", removeClaimCommand,
	)
	// It has begun nothing: once the claims are removed it may.
	praefect(t, "default\n", "-config", second, "claim", "remove", "default").fails(t, exitError, "the cluster runs") // the claim of a cluster that runs
	one.endsWell()
	praefect(t, "other\n", "-config", second, "claim", "remove", "-force", "default").fails(t, exitError, "not confirmed") // another answer to the question
	for _, vs := range []string{"default", "other"} {
		praefect(t, vs+"\n", "-config", second, "claim", "remove", "-force", vs).ends(t, 0, "has claimed it at", "was removed")
	}
	praefect(t, "", "-config", second, "claim", "remove", "default").fails(t, exitError, "no cluster has claimed")
	three := serve(t, second)
	three.awaitReady()

	// The first one comes back, and finds that another cluster has what it serves.
	again := serve(t, first)
	eventually(t, func() error {
		if code, body := get(t, again.http+"/readyz"); code == http.StatusOK || !strings.Contains(body, "takes no lease") || !strings.Contains(body, removeClaimCommand) {
			return fmt.Errorf("/readyz says %d %s", code, body)
		}
		return nil
	})
	if !strings.Contains(again.log(), "this instance serves nothing") {
		t.Error("the log does not tell why it serves nothing")
	}
	status, err := again.status()
	lost := slices.IndexFunc(status.Conditions, func(c condition.Condition) bool { return c.Name == condition.ClaimLost })
	if err != nil || lost < 0 || !strings.Contains(status.Conditions[lost].Text, "takes no lease") || status.Health != condition.HealthUnavailable {
		t.Errorf("status says %v, %v", status.Conditions, err)
	}
	raft, err := again.raftStatus()
	if err != nil || len(raft.Instances) != 1 || !strings.Contains(raft.Instances[0].Error, "takes no lease") {
		t.Errorf("raft status says %+v, %v", raft, err)
	}
	if code, body := get(t, three.http+"/readyz"); code != http.StatusOK {
		t.Errorf("the cluster with the claim: %s", body)
	}
}

func TestServe_newClusterWaitsForPostgres(t *testing.T) {
	config := settings{database: "host = \"127.0.0.1\"\nport = 1\nsslmode = \"disable\"\nconnect_timeout = \"1s\""}.write(t)
	i := serveAt(t, config, 1) // for clients it does not listen yet
	eventually(t, func() error {
		if code, body := get(t, i.http+"/readyz"); code == http.StatusOK || !strings.Contains(body, "Postgres cannot be used") || !strings.Contains(body, "raft.begin_without_postgres") {
			return fmt.Errorf("/readyz says %d %s", code, body)
		}
		return nil
	})
	i.endsWell()
}

func TestServe_upstreamDatabaseIsLeftAlone(t *testing.T) {
	section := databaseSettings(t)
	name := databaseName(t, section)
	for _, statement := range []string{
		"create table public.repositories (virtual_storage text, relative_path text, replica_path text)",
		"insert into public.repositories values ('default', 'a.git', '@cluster/repositories/6b/86/1')",
		"grant select on public.repositories to public",
	} {
		if _, err := database.SQL(t.Context(), name, statement); err != nil {
			t.Fatal(err)
		}
	}
	config := settings{database: section}.write(t)
	if got := praefect(t, "", "-config", config, "sql-migrate"); got.code != exitError || got.stdout != "" || !strings.Contains(got.stderr, "taking over from it is not supported yet, and nothing was touched") {
		t.Errorf("sql-migrate: got %+v", got)
	}
	daemonEnds(t, config).ends(t, exitError, "taking over from it is not supported yet, and nothing was touched")
	if schemas, err := database.SQL(t.Context(), name, "select count(*) from pg_namespace where nspname = 'praefect_raft'"); err != nil || strings.TrimSpace(schemas) != "0" {
		t.Errorf("the database was touched: %q, %v", schemas, err)
	}
	if check := praefect(t, "", "-config", config, "check"); check.code == 0 || !strings.Contains(check.stdout, "not supported yet") {
		t.Errorf("check says %+v", check)
	}
}

func TestClaimList(t *testing.T) {
	db, node := claimed(t)
	config := settings{database: db, nodes: []string{node}}.write(t)
	serve(t, config).awaitReady()
	got := praefect(t, "", "-config", config, "claim", "list")
	for _, part := range []string{"VIRTUAL STORAGE", "| default ", "| other "} {
		if got.code != 0 || !strings.Contains(got.stdout, part) {
			t.Errorf("got %+v, want %q", got, part)
		}
	}
}

func TestRaftRename(t *testing.T) {
	config := settings{}.write(t)
	first := serve(t, named(t, config, "praefect-1"))
	first.awaitReady()
	first.stop()
	two := named(t, config, "praefect-2")
	if got := daemonEnds(t, two); got.code != exitError || !strings.Contains(got.stdout, `belongs to the instance \"praefect-1\"`) {
		t.Errorf("got %+v", got)
	}
	praefect(t, "no\n", "-config", two, "raft", "rename").fails(t, exitError, "not confirmed")
	praefect(t, "", "-config", two, "raft", "rename", "-confirm", "praefect-2").ends(t, 0, `"praefect-1" is "praefect-2" now`)
	serve(t, two).awaitReady()
}

func TestRaftRejoin_alone(t *testing.T) {
	config := settings{}.write(t)
	one := serve(t, named(t, config, "praefect-1"))
	one.awaitReady()
	same := named(t, config, "praefect-1")
	praefect(t, "", "-config", same, "raft", "rejoin").fails(t, exitError, "stop praefect first") // beside the daemon
	one.stop()
	praefect(t, "", "-config", same, "raft", "rejoin").fails(t, exitError, "nothing was changed") // with nothing to join
	praefect(t, "praefect-1\n", "-config", same, "raft", "rejoin", "-force").ends(t, 0, "The state was set aside to ")
	serve(t, same).awaitReady() // another cluster
	asides, err := filepath.Glob(filepath.Join(filepath.Dir(config), "raft", "aside-*", "raft.db"))
	if err != nil || len(asides) != 1 {
		t.Errorf("set aside: %q, %v", asides, err)
	}
}

// daemonEnds runs a daemon that ends by itself.
func daemonEnds(t *testing.T, config string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	p := &program{version: "1.2.3", stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	code := p.run(ctx, []string{"praefect", "-config", config})
	if ctx.Err() != nil {
		t.Fatalf("the daemon did not end by itself:\n%s", stdout.String())
	}
	return outcome{code, stdout.String(), stderr.String()}
}

// raftStatus asks the daemon as praefectctl does.
func (i *instance) raftStatus() (admin.RaftStatusResponse, error) {
	cc, err := storage.NewClient(i.grpc, "")
	if err != nil {
		return admin.RaftStatusResponse{}, err
	}
	answer, err := admin.NewClient(cc).RaftStatus(i.t.Context())
	return answer, errors.Join(err, cc.Close())
}

// databaseName is the database of a section.
func databaseName(t *testing.T, section string) string {
	t.Helper()
	found := regexp.MustCompile(`dbname = "(\w+)"`).FindStringSubmatch(section)
	if found == nil {
		t.Fatalf("no database in %q", section)
	}
	return found[1]
}

// named writes the settings once more, for an instance of that name.
func named(t *testing.T, config, name string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	must(t, err)
	path := filepath.Join(t.TempDir(), name+".toml")
	must(t, os.WriteFile(path, []byte(strings.Replace(string(text), "[raft]\n", fmt.Sprintf("[raft]\nname = %q\n", name), 1)), 0o600))
	return path
}

func TestClaims_judge(t *testing.T) {
	view := &state.State{ClusterID: "X", VirtualStorages: []state.VirtualStorage{{Name: "default"}}}
	c := &claims{configured: []string{"default", "new"}, view: func() *state.State { return view }}
	theirs := func(vs string) postgres.Claim {
		return postgres.Claim{VirtualStorage: vs, Claimant: postgres.Claimant{ClusterID: "Y", Instance: "i", Host: "h"}, Since: time.Unix(1e9, 0).UTC(), Seen: time.Unix(2e9, 0).UTC()}
	}
	ours := func(vs string) postgres.Claim {
		return postgres.Claim{VirtualStorage: vs, Claimant: postgres.Claimant{ClusterID: "X"}}
	}
	for _, row := range []struct {
		name              string
		held              []postgres.Claim
		err               error
		without           bool
		barred, unclaimed string // parts of what is said; empty for nothing
	}{
		{name: "all is ours", held: []postgres.Claim{ours("default"), ours("new")}},
		{name: "a new one is not claimed yet", held: []postgres.Claim{ours("default")}, unclaimed: "is being claimed"},
		{name: "a new one is another cluster's", held: []postgres.Claim{ours("default"), theirs("new")}, unclaimed: `"new" belongs to cluster Y: instance "i" on host "h" has claimed it at 2001-09-09T01:46:40Z`},
		{name: "that is not what begin_without_postgres permits", held: []postgres.Claim{theirs("new")}, without: true, unclaimed: "belongs to cluster Y"},
		{name: "one that is served is another cluster's", held: []postgres.Claim{theirs("default"), ours("new")}, barred: "takes no lease"},
		{name: "Postgres is away", err: fmt.Errorf("no route"), unclaimed: "no route"},
		{name: "Postgres is away, and not needed", err: fmt.Errorf("no route"), without: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			c.own, c.others, c.failure, c.without = nil, nil, nil, row.without
			c.note(row.held, "X", row.err)
			if got := c.barred(); (got == "") != (row.barred == "") || !strings.Contains(got, row.barred) {
				t.Errorf("barred: %q, want %q", got, row.barred)
			}
			if got := c.unclaimed("new"); (got == "") != (row.unclaimed == "") || !strings.Contains(got, row.unclaimed) {
				t.Errorf("unclaimed: %q, want %q", got, row.unclaimed)
			}
		})
	}
	// What was known holds while Postgres is away.
	c.note([]postgres.Claim{theirs("default")}, "X", nil)
	c.note(nil, "X", fmt.Errorf("no route"))
	if c.barred() == "" {
		t.Error("the end of Postgres is no end of another cluster's claim")
	}
}
