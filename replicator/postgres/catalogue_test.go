package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lib/pq"

	"praefect/fsm/state"
	"praefect/replicator/cataloguetest"
	"praefect/replicator/queue"
	"praefect/test/must"
)

func repository(path string) state.Key {
	return state.Key{VirtualStorage: storage, RelativePath: path}
}

func TestCatalogue_givesEachRepositoryOneNumber(t *testing.T) {
	c := NewCatalogue(migrated(t, newDatabase(t), Config{}))
	first, err := c.Ensure(t.Context(), repository("a.git"))
	must.Succeed(t, err)
	if first.ID == 0 || first.Key != repository("a.git") || len(first.Verified) != 0 {
		t.Errorf("got %+v", first)
	}
	again, err := c.Ensure(t.Context(), repository("a.git"))
	must.Succeed(t, err)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("asked again (-first +again):\n%s", diff)
	}
	for name, find := range map[string]func() (Repository, bool, error){
		"path": func() (Repository, bool, error) { return c.Find(t.Context(), repository("a.git")) },
		"id":   func() (Repository, bool, error) { return c.ByID(t.Context(), first.ID) },
	} {
		got, found, err := find()
		if err != nil || !found || !cmp.Equal(got, first) {
			t.Errorf("by %s: got %+v, %v, %v", name, got, found, err)
		}
	}
	// A repository of the same path that comes later is another one.
	must.Succeed(t, c.Remove(t.Context(), []state.Key{repository("a.git"), repository("none.git")}))
	if _, found, err := c.ByID(t.Context(), first.ID); found || err != nil {
		t.Errorf("after its removal: got %v, %v", found, err)
	}
	later, err := c.Ensure(t.Context(), repository("a.git"))
	must.Succeed(t, err)
	if later.ID == first.ID {
		t.Errorf("number %d was given twice", later.ID)
	}
}

func TestCatalogue_isEnteredByManyAtOnce(t *testing.T) {
	dsn := newDatabase(t)
	migrated(t, dsn, Config{})
	ids := make([]int64, 8)
	var all sync.WaitGroup
	for i := range ids {
		c := NewCatalogue(open(t, dsn, Config{}))
		all.Go(func() {
			r, err := c.Ensure(t.Context(), repository("a.git"))
			if err != nil {
				t.Error(err)
			}
			ids[i] = r.ID
		})
	}
	all.Wait()
	if len(slices.Compact(slices.Clone(ids))) != 1 || ids[0] == 0 {
		t.Errorf("got the numbers %v, want one", ids)
	}
}

func TestCatalogue_addsWhatIsMissingInPages(t *testing.T) {
	c := NewCatalogue(migrated(t, newDatabase(t), Config{}))
	var keys []state.Key
	for n := range queue.MaxBatch + 5 {
		keys = append(keys, repository(fmt.Sprintf("%04d.git", n)))
	}
	keys = append(keys, state.Key{VirtualStorage: "other", RelativePath: "b.git"}, state.Key{RelativePath: "\x00"})
	must.Succeed(t, c.Add(t.Context(), keys[:3]))
	before, err := c.Ensure(t.Context(), keys[2])
	must.Succeed(t, err)
	must.Succeed(t, c.Add(t.Context(), keys))
	after, err := c.Ensure(t.Context(), keys[2])
	must.Succeed(t, err)
	if before.ID != after.ID {
		t.Errorf("the number of one that was there changed from %d to %d", before.ID, after.ID)
	}
	last, err := c.Ensure(t.Context(), keys[len(keys)-2])
	must.Succeed(t, err)
	if want := before.ID + int64(len(keys)-1-3); last.ID > want {
		t.Errorf("the last number is %d, want %d or less: numbers were used up in vain", last.ID, want)
	}
	paths, err := c.Page(t.Context(), storage, "0999.git", 3)
	must.Succeed(t, err)
	if want := []string{"1000.git", "1001.git", "1002.git"}; !cmp.Equal(paths, want) {
		t.Errorf("got the page %q, want %q", paths, want)
	}
	for _, row := range []struct {
		prefix, after, want string
	}{
		{"099", "", "0990.git 0991.git 0992.git"},
		{"099", "0997.git", "0998.git 0999.git"},
		{"0999.git", "", "0999.git"},
		{"none", "", ""},
		{"\x00", "", ""},
	} {
		if paths, err := c.Paths(t.Context(), storage, row.prefix, row.after, 3); strings.Join(paths, " ") != row.want || err != nil {
			t.Errorf("prefix %q after %q: got %q, %v, want %q", row.prefix, row.after, paths, err, row.want)
		}
	}
	if paths, err := c.Page(t.Context(), storage, "1004.git", 3); len(paths) != 0 || err != nil {
		t.Errorf("past the end: got %q, %v", paths, err)
	}
}

func TestCatalogue_markUnverified(t *testing.T) {
	db := migrated(t, newDatabase(t), Config{})
	c := NewCatalogue(db)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ids := make(map[string]int64)
	verify := func() {
		for _, key := range []state.Key{repository("a.git"), repository("b.git"), {VirtualStorage: "other", RelativePath: "a.git"}} {
			r, err := c.Ensure(t.Context(), key)
			must.Succeed(t, err)
			ids[key.VirtualStorage+"/"+key.RelativePath] = r.ID
			for _, name := range []string{"gitaly-1", "gitaly-2"} {
				_, err := db.pool.ExecContext(t.Context(), "insert into praefect_raft.verifications values ($1, $2, $3) on conflict do nothing", r.ID, name, at)
				must.Succeed(t, err)
			}
		}
	}
	both := map[string]time.Time{"gitaly-1": at, "gitaly-2": at}
	for _, row := range []struct {
		name string
		mark queue.Marked
		n    int64
		want map[string]map[string]time.Time
	}{
		{"one repository", queue.Marked{Key: repository("a.git")}, 1,
			map[string]map[string]time.Time{"default/a.git": {}, "default/b.git": both, "other/a.git": both}},
		{"one repository on a storage", queue.Marked{Key: repository("a.git"), Storage: "gitaly-2"}, 1,
			map[string]map[string]time.Time{"default/a.git": {"gitaly-1": at}, "default/b.git": both, "other/a.git": both}},
		{"a virtual storage", queue.Marked{Key: state.Key{VirtualStorage: "default"}}, 2,
			map[string]map[string]time.Time{"default/a.git": {}, "default/b.git": {}, "other/a.git": both}},
		{"a storage", queue.Marked{Key: state.Key{VirtualStorage: "default"}, Storage: "gitaly-2"}, 2,
			map[string]map[string]time.Time{"default/a.git": {"gitaly-1": at}, "default/b.git": {"gitaly-1": at}, "other/a.git": both}},
		{"none", queue.Marked{Key: repository("none.git")}, 0,
			map[string]map[string]time.Time{"default/a.git": both, "default/b.git": both, "other/a.git": both}},
	} {
		verify()
		n, err := c.Request(t.Context(), row.mark)
		if n != row.n || err != nil {
			t.Errorf("%s: got %d, %v, want %d", row.name, n, err, row.n)
		}
		got := make(map[string]map[string]time.Time)
		for name, id := range ids {
			r, _, err := c.ByID(t.Context(), id)
			must.Succeed(t, err)
			got[name] = r.Verified
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

func TestCatalogue_isUnavailableWithoutItsTables(t *testing.T) {
	c := NewCatalogue(open(t, newDatabase(t), Config{}))
	for name, call := range map[string]func(context.Context) error{
		"ensure":  func(ctx context.Context) error { _, err := c.Ensure(ctx, repository("a.git")); return err },
		"find":    func(ctx context.Context) error { _, _, err := c.Find(ctx, repository("a.git")); return err },
		"add":     func(ctx context.Context) error { return c.Add(ctx, []state.Key{repository("a.git")}) },
		"remove":  func(ctx context.Context) error { return c.Remove(ctx, []state.Key{repository("a.git")}) },
		"page":    func(ctx context.Context) error { _, err := c.Page(ctx, storage, "", 1); return err },
		"next":    func(ctx context.Context) error { _, _, err := c.Next(ctx, storage); return err },
		"turn":    func(ctx context.Context) error { _, err := c.TurnOf(ctx, repository("a.git")); return err },
		"note":    func(ctx context.Context) error { return c.Note(ctx, queue.Turn{}, queue.Looked{}) },
		"waiting": func(ctx context.Context) error { _, _, err := c.Waiting(ctx, storage, time.Hour, 1); return err },
		"count":   func(ctx context.Context) error { _, err := c.Count(ctx, storage); return err },
		"request": func(ctx context.Context) error { _, err := c.Request(ctx, queue.Marked{}); return err },
	} {
		if err := call(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v, want unavailable", name, err)
		}
	}
}

// The cost of looking an entry up does not grow with the catalogue.
func TestCatalogue_usesItsIndexes(t *testing.T) {
	db := migrated(t, newDatabase(t), Config{Timeout: time.Minute})
	_, err := db.pool.ExecContext(t.Context(), `insert into praefect_raft.repositories (virtual_storage, relative_path)
		select $1, n || '.git' from generate_series(1, 20000) as n`, storage)
	must.Succeed(t, err)
	_, err = db.pool.ExecContext(t.Context(), "analyze praefect_raft.repositories")
	must.Succeed(t, err)
	some := []state.Key{repository("5.git"), repository("new.git")}
	for name, s := range map[string]struct {
		sql  string
		args []any
	}{
		"by path":        {repositoryByPathSQL, []any{storage, "77.git"}},
		"by id":          {repositoryByIDSQL, []any{int64(77)}},
		"add":            {addRepositoriesSQL, columnsOf(some)},
		"remove":         {removeRepositoriesSQL, columnsOf(some)},
		"page":           {repositoryPageSQL, []any{storage, "77.git", 10}},
		"prefix":         {repositoryPrefixSQL, []any{storage, "", 10, "77"}},
		"no such prefix": {repositoryPrefixSQL, []any{storage, "", 10, "1x"}},
		"next":           {nextTurnSQL, []any{storage}},
		"turn":           {turnOfSQL, []any{storage, "77.git"}},
		"looked":         {lookedSQL, []any{int64(77), false, int64(5)}},
		"verified":       {verifiedSQL, []any{int64(77), pq.Array([]string{"gitaly-1"})}},
		"unverified":     {unverifiedSQL, []any{int64(77), pq.Array([]string{"gitaly-1"})}},
		"step":           {stepSQL, []any{storage}},
		"waiting":        {waitingTurnsSQL, []any{storage, int64(0), 10}},
		"request":        {requestOneSQL, []any{storage, "77.git", ""}},
		"request a page": {requestAllSQL, []any{storage, int64(77), "", 5}},
	} {
		p := planOf(t, db, s.sql, s.args...)
		if p.blocks() > 60 {
			t.Errorf("%s looks at %d blocks", name, p.blocks())
		}
	}
}

func TestCatalogue_remembersVerifications(t *testing.T) {
	cataloguetest.ExerciseVerifications(t, NewCatalogue(migrated(t, newDatabase(t), Config{})))
}

// What Note says of replicas is what the catalogue tells of them.
func TestCatalogue_noteIsSeen(t *testing.T) {
	c := NewCatalogue(migrated(t, newDatabase(t), Config{}))
	turn, err := c.TurnOf(t.Context(), repository("a.git"))
	must.Succeed(t, err)
	must.Succeed(t, c.Note(t.Context(), turn, queue.Looked{Verified: []string{"gitaly-1", "gitaly-2"}}))
	must.Succeed(t, c.Note(t.Context(), turn, queue.Looked{Verified: []string{"gitaly-1"}, Unverified: []string{"gitaly-2"}}))
	r, _, err := c.ByID(t.Context(), turn.ID)
	must.Succeed(t, err)
	if at := r.Verified["gitaly-1"]; len(r.Verified) != 1 || time.Since(at).Abs() > 10*time.Minute {
		t.Errorf("got %v", r.Verified)
	}
}

func TestCatalogue_keepsTheContract(t *testing.T) {
	cataloguetest.Exercise(t, NewCatalogue(migrated(t, newDatabase(t), Config{})))
}
