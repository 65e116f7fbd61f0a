package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/replicator/queue"
	"praefect/test/must"
)

// owners are the clusters that have virtual storages, as "storage cluster".
func owners(claims []Claim) []string {
	var all []string
	for _, c := range claims {
		all = append(all, c.VirtualStorage+" "+c.ClusterID)
	}
	return all
}

func TestClaims_firstWriterWins(t *testing.T) {
	c := NewClaims(migrated(t, newDatabase(t), Config{}))
	first := Claimant{ClusterID: "X", Instance: "praefect-1", Host: "host-1"}
	held, err := c.Take(t.Context(), []string{"b", "a"}, first)
	must.Succeed(t, err)
	if got, want := owners(held), []string{"a X", "b X"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if h := held[0]; h.Claimant != first || time.Since(h.Since) > time.Minute || h.Seen.Before(h.Since) || h.SeenAgo > time.Minute {
		t.Errorf("got %+v", h)
	}
	// A second cluster gets what is left, and learns who has the rest.
	held, err = c.Take(t.Context(), []string{"c", "a"}, Claimant{ClusterID: "Y", Instance: "other", Host: "host-2"})
	must.Succeed(t, err)
	if got, want := owners(held), []string{"a X", "c Y"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// The same cluster again, through another instance, changes nothing.
	held, err = c.Take(t.Context(), []string{"a"}, Claimant{ClusterID: "X", Instance: "praefect-2", Host: "host-3"})
	must.Succeed(t, err)
	if held[0].Claimant != first {
		t.Errorf("got %+v, want that of %+v", held[0], first)
	}
}

func TestClaims_concurrently(t *testing.T) {
	dsn := newDatabase(t)
	migrated(t, dsn, Config{})
	const clusters = 8
	won := make([][]string, clusters)
	var all sync.WaitGroup
	for i := range clusters {
		all.Go(func() {
			c := NewClaims(open(t, dsn, Config{}))
			names := []string{"a", "b", "c"}
			if i%2 == 0 {
				slices.Reverse(names)
			}
			held, err := c.Take(t.Context(), names, Claimant{ClusterID: fmt.Sprint(i)})
			if err != nil {
				t.Error(err)
			}
			won[i] = owners(held)
		})
	}
	all.Wait()
	for i := range clusters {
		if len(won[i]) != 3 || !slices.Equal(won[i], won[0]) {
			t.Errorf("cluster %d learnt %q, cluster 0 %q", i, won[i], won[0])
		}
	}
}

func TestClaims_remove(t *testing.T) {
	c := NewClaims(migrated(t, newDatabase(t), Config{}))
	_, err := c.Take(t.Context(), []string{"a"}, Claimant{ClusterID: "X"})
	must.Succeed(t, err)
	if removed, err := c.Remove(t.Context(), "a", "Y"); removed || err != nil {
		t.Errorf("that of another cluster: got %v, %v", removed, err)
	}
	must.Succeed(t, c.Confirm(t.Context(), "X"))
	if removed, err := c.Remove(t.Context(), "a", "X"); !removed || err != nil {
		t.Errorf("got %v, %v", removed, err)
	}
	if left, err := c.List(t.Context()); len(left) > 0 || err != nil {
		t.Errorf("left are %+v, %v", left, err)
	}
}

func TestClaims_replace(t *testing.T) {
	c := NewClaims(migrated(t, newDatabase(t), Config{}))
	_, err := c.Take(t.Context(), []string{"a", "b"}, Claimant{ClusterID: "X"})
	must.Succeed(t, err)
	_, err = c.Take(t.Context(), []string{"other"}, Claimant{ClusterID: "Z"})
	must.Succeed(t, err)
	held, err := c.Replace(t.Context(), []string{"a", "b", "new", "other"}, "X", Claimant{ClusterID: "Y", Instance: "survivor", Host: "h"})
	must.Succeed(t, err)
	if got, want := owners(held), []string{"a Y", "b Y", "new Y", "other Z"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if held[0].Instance != "survivor" {
		t.Errorf("got %+v", held[0])
	}
}

func TestClaims_withoutTheSchema(t *testing.T) {
	c := NewClaims(open(t, newDatabase(t), Config{}))
	if _, err := c.Take(t.Context(), []string{"a"}, Claimant{ClusterID: "X"}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestDB_CheckUpstream(t *testing.T) {
	const table = `create table public.repositories (repository_id bigserial, virtual_storage text, relative_path text, replica_path text)`
	for name, row := range map[string]struct {
		statements []string
		refused    bool
	}{
		"an empty database":        {},
		"an older upstream":        {[]string{`create table public.repositories (virtual_storage text, relative_path text)`, `insert into public.repositories values ('default', 'a.git')`}, false},
		"no repository":            {[]string{table}, false},
		"stored under their paths": {[]string{table, `insert into public.repositories (virtual_storage, relative_path, replica_path) values ('default', 'a.git', 'a.git'), ('default', 'b.git', null)`}, false},
		"replica paths":            {[]string{table, `insert into public.repositories (virtual_storage, relative_path, replica_path) values ('default', 'a.git', 'a.git'), ('default', 'b.git', '@cluster/repositories/6b/86/2')`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, newDatabase(t), Config{})
			for _, statement := range row.statements {
				_, err := db.pool.ExecContext(t.Context(), statement)
				must.Succeed(t, err)
			}
			err := db.CheckUpstream(t.Context())
			if errors.Is(err, ErrUpstream) != row.refused || err != nil && !row.refused {
				t.Fatalf("got %v, want refused %v", err, row.refused)
			}
			if row.refused && !strings.Contains(err.Error(), `"b.git" is stored as "@cluster/repositories/6b/86/2"`) {
				t.Errorf("got %v", err)
			}
			var ours bool
			must.Succeed(t, db.pool.QueryRowContext(t.Context(), `select exists (select from pg_namespace where nspname = 'praefect_raft')`).Scan(&ours))
			if ours {
				t.Error("the check has made a schema")
			}
			if _, err := db.Migrate(t.Context()); errors.Is(err, ErrUpstream) != row.refused || err != nil && !row.refused {
				t.Fatalf("migrate: got %v, want refused %v", err, row.refused)
			}
			must.Succeed(t, db.pool.QueryRowContext(t.Context(), `select exists (select from pg_namespace where nspname = 'praefect_raft')`).Scan(&ours))
			if ours == row.refused {
				t.Errorf("after migrate there is a schema: %v, refused: %v", ours, row.refused)
			}
		})
	}
}
