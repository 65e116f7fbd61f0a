package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lib/pq"

	"praefect/replicator/queue"
	"praefect/test/must"
)

// plan is what EXPLAIN (ANALYZE, BUFFERS) tells of a node, and of what is below it.
type plan struct {
	NodeType  string `json:"Node Type"`
	IndexName string `json:"Index Name"`
	Hit       int    `json:"Shared Hit Blocks"`
	Read      int    `json:"Shared Read Blocks"`
	Plans     []plan
}

// nodes is the node and all below it.
func (p plan) nodes() []plan {
	all := []plan{p}
	for _, below := range p.Plans {
		all = append(all, below.nodes()...)
	}
	return all
}

// blocks is how many blocks the whole statement looked at.
func (p plan) blocks() int { return p.Hit + p.Read }

// planOf executes a statement in a transaction that is rolled back, and returns its plan.
func planOf(t *testing.T, db *DB, statement string, args ...any) plan {
	t.Helper()
	tx, err := db.pool.BeginTx(t.Context(), nil)
	must.Succeed(t, err)
	defer func() { must.Succeed(t, tx.Rollback()) }()
	var encoded []byte
	must.Succeed(t, tx.QueryRowContext(t.Context(), "explain (analyze, buffers, format json) "+statement, args...).Scan(&encoded))
	var answer []struct{ Plan plan }
	must.Succeed(t, json.Unmarshal(encoded, &answer))
	return answer[0].Plan
}

// fill makes n jobs that are due, faster than Enqueue.
func fill(t testing.TB, db *DB, n int) {
	t.Helper()
	_, err := db.pool.ExecContext(t.Context(), `
		insert into praefect_raft.jobs (virtual_storage, relative_path, not_before)
		select $1, '@hashed/fill/' || lpad(n::text, 7, '0') || '.git', now() - interval '1 hour' + n * interval '1 microsecond'
		from generate_series(1, $2::integer) as n`, storage, n)
	must.Succeed(t, err)
}

// statement is one of the queue's with arguments, and an index that its plan has to use.
type statement struct {
	name, sql string
	args      []any
	index     []string // any of them
}

func statements() []statement {
	encoded := `[{"virtual_storage": "default", "relative_path": "new.git", "delay": 0, "targets": [], "reason": "", "correlation_id": ""},
		{"virtual_storage": "default", "relative_path": "@hashed/fill/0000500.git", "delay": 0, "targets": [], "reason": "", "correlation_id": ""}]`
	one := []int64{500}
	byID := []string{"jobs_pkey", "jobs_running"}
	return []statement{
		{"due", dueSQL, []any{storage, time.Time{}, 10}, []string{"jobs_waiting"}},
		{"claim", claimSQL, []any{storage, time.Time{}, 10, "w", "id", int64(1e6)}, []string{"jobs_waiting"}},
		{"claimed", claimedSQL, []any{"id"}, []string{"jobs_running"}},
		{"enqueue", enqueueSQL, []any{encoded}, nil},
		{"heartbeat", heartbeatSQL, []any{pq.Array(one), pq.Array(one), int64(1e6)}, byID},
		{"complete", completeSQL, []any{500, 1}, byID},
		{"rearm", rearmSQL, []any{500, 1}, byID},
		{"wait", waitSQL, []any{500, 1, "failed", 1, "", int64(0), ""}, byID},
		{"reclaim", reclaimSQL, []any{10, "", "w", pq.Array([]int64{1}), pq.Array([]int64{1})}, []string{"jobs_running"}},
		{"retry", retrySQL, []any{10, "", "", int64(0), true}, []string{"jobs_troubled"}},
		{"drop dead", dropTroubledSQL, []any{10, "", "", "dead"}, []string{"jobs_troubled"}},
		{"drop ready", dropReadySQL, []any{10, "", "", "ready"}, []string{"jobs_waiting"}},
		{"list", listSQL, []any{int64(0), "", "", 10}, []string{"jobs_pkey"}},
		{"list path", listPathSQL, []any{int64(0), "", "", 10, "@hashed/fill/0000500.git"}, []string{"jobs_one_per_path"}},
		{"list running", listRunningSQL, []any{int64(0), "", "in_progress", 10}, []string{"jobs_running"}},
		{"list dead", listTroubledSQL, []any{int64(0), "", "dead", 10}, []string{"jobs_troubled"}},
		{"depth", depthSQL, []any{int64(100)}, []string{"jobs_waiting"}},
		{"missing", missingSQL, []any{pq.Array([]string{storage}), pq.Array([]string{"none.git"})}, []string{"jobs_one_per_path"}},
	}
}

// The cost of every call stays what it was when a hundred times as many jobs wait, whatever statistics the server has.
func TestQueue_costDoesNotGrowWithTheQueue(t *testing.T) {
	const short, long = 1_000, 100_000
	for _, analyzed := range []string{"empty", "full"} {
		t.Run("analyzed when "+analyzed, func(t *testing.T) {
			measure := func(jobs int) map[string]plan {
				db := migrated(t, newDatabase(t), Config{Timeout: time.Minute})
				analyze := func() {
					_, err := db.pool.ExecContext(t.Context(), "analyze praefect_raft.jobs")
					must.Succeed(t, err)
				}
				analyze()
				fill(t, db, jobs)
				if analyzed == "full" {
					analyze()
				}
				plans := make(map[string]plan)
				for _, s := range statements() {
					plans[s.name] = planOf(t, db, s.sql, s.args...)
				}
				return plans
			}
			few, many := measure(short), measure(long)
			for _, s := range statements() {
				before, after := few[s.name].blocks(), many[s.name].blocks()
				t.Logf("%s: %d blocks with %d jobs, %d with %d", s.name, before, short, after, long)
				// A taller index costs a block for each descent.
				if float64(after) > 1.5*float64(before)+4 {
					t.Errorf("%s: %d blocks with %d jobs, %d with %d", s.name, before, short, after, long)
				}
				nodes := many[s.name].nodes()
				uses := func(p plan) bool { return slices.Contains(s.index, p.IndexName) }
				if s.index != nil && !slices.ContainsFunc(nodes, uses) {
					t.Errorf("%s uses none of %q: %+v", s.name, s.index, nodes)
				}
				if slices.ContainsFunc(nodes, func(p plan) bool { return p.NodeType == "Seq Scan" }) {
					t.Errorf("%s reads the whole table: %+v", s.name, nodes)
				}
			}
		})
	}
}

// While a snapshot lives, a dump's perhaps, vacuum removes nothing: the entries of claimed jobs stay at the head of the
// index. Claims step over them only when they look from the start, which is rare.
func TestQueue_claimSkipsWhatVacuumCannotRemove(t *testing.T) {
	const jobs, claimed = 1_500, 1_000
	dsn := newDatabase(t)
	db := migrated(t, dsn, Config{Timeout: time.Minute})
	q := NewQueue(db)
	fill(t, db, jobs)
	cost := func(from time.Time) int {
		return planOf(t, db, dueSQL, storage, from, 1).blocks()
	}
	before := cost(time.Time{})

	dump := open(t, dsn, Config{Timeout: time.Minute})
	tx, err := dump.pool.BeginTx(context.WithoutCancel(t.Context()), nil)
	must.Succeed(t, err)
	for _, s := range []string{"set transaction isolation level repeatable read", "select count(*) from praefect_raft.jobs"} {
		_, err := tx.ExecContext(t.Context(), s)
		must.Succeed(t, err)
	}
	for range claimed / 100 {
		batch, err := q.Dequeue(t.Context(), claimOf(100))
		must.Succeed(t, err)
		for _, job := range batch {
			must.Succeed(t, q.Acknowledge(t.Context(), job.Current(), queue.Complete()))
		}
	}
	look := q.cursor.look(storage, time.Time{}) // as if no look from the start were due
	from, start := cost(look.from), cost(time.Time{})
	must.Succeed(t, tx.Rollback())

	t.Logf("blocks of a claim: %d at first; after %d claims %d from the cursor, %d from the start", before, claimed, from, start)
	if from > 3*before {
		t.Errorf("a claim looks at %d blocks, %d before", from, before)
	}
	if start < 5*from {
		t.Errorf("a claim from the start looks at %d blocks, one from the cursor at %d: this test shows nothing", start, from)
	}
	left := 0
	await(t, fmt.Sprintf("all of the other %d", jobs-claimed), func() bool {
		batch, err := q.Dequeue(t.Context(), claimOf(100))
		must.Succeed(t, err)
		left += len(batch)
		return left == jobs-claimed
	})
}
