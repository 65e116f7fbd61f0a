package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// Next implements queue.Verifications.
func (c *Catalogue) Next(ctx context.Context, virtualStorage string) (t queue.Turn, found bool, err error) {
	return c.turn(ctx, nextTurnSQL, virtualStorage)
}

// TurnOf implements queue.Verifications.
func (c *Catalogue) TurnOf(ctx context.Context, key state.Key) (queue.Turn, error) {
	if _, err := c.Ensure(ctx, key); err != nil {
		return queue.Turn{}, err
	}
	t, found, err := c.turn(ctx, turnOfSQL, key.VirtualStorage, key.RelativePath)
	if err == nil && !found { // somebody removed it in the same moment
		err = fmt.Errorf("look for the repository %q of %q: %w: it is being removed", key.RelativePath, key.VirtualStorage, ErrUnavailable)
	}
	return t, err
}

func (c *Catalogue) turn(ctx context.Context, statement string, args ...any) (t queue.Turn, found bool, err error) {
	turns, err := fetch(ctx, c.db, func(row *sql.Rows, t *queue.Turn) error {
		var age, since float64
		err := row.Scan(&t.ID, &t.VirtualStorage, &t.RelativePath, &t.Requested, &age, &since)
		t.Age, t.Since = seconds(age), seconds(since)
		return err
	}, statement, args...)
	if err != nil || len(turns) == 0 {
		return t, false, tried(err, "look for a repository to verify")
	}
	return turns[0], true, nil
}

// seconds is a duration; one that is too long for Go is the longest.
func seconds(s float64) time.Duration {
	const most = 200 * 365 * 24 * time.Hour
	if s > most.Seconds() {
		return most
	}
	return time.Duration(s * float64(time.Second))
}

// Note implements queue.Verifications.
func (c *Catalogue) Note(ctx context.Context, t queue.Turn, l queue.Looked) error {
	err := c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		for _, s := range []struct {
			sql  string
			args []any
		}{
			{lookedSQL, []any{t.ID, t.Requested, l.Back.Microseconds()}},
			{verifiedSQL, []any{t.ID, pq.Array(l.Verified)}},
			{unverifiedSQL, []any{t.ID, pq.Array(l.Unverified)}},
			{stepSQL, []any{t.VirtualStorage}},
		} {
			if _, err := tx.ExecContext(ctx, s.sql, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
	return tried(err, "note the verification of %q of %q", t.RelativePath, t.VirtualStorage)
}

// Waiting implements queue.Verifications.
func (c *Catalogue) Waiting(ctx context.Context, virtualStorage string, interval time.Duration, limit int) (requested, expired int, err error) {
	err = c.db.row(ctx, []any{&requested, &expired}, waitingTurnsSQL, virtualStorage, interval.Microseconds(), limit)
	return requested, expired, tried(err, "count the repositories of %q to verify", virtualStorage)
}

// Count implements queue.Verifications.
func (c *Catalogue) Count(ctx context.Context, virtualStorage string) (n int, err error) {
	err = c.db.row(ctx, []any{&n}, countRepositoriesSQL, virtualStorage)
	return n, tried(err, "count the repositories of %q", virtualStorage)
}

// Request implements queue.Verifications. It goes through the catalogue in pages, each in a transaction of its own: one
// that is interrupted is repeated.
func (c *Catalogue) Request(ctx context.Context, m queue.Marked) (repositories int64, err error) {
	var n, last int64
	if m.RelativePath != "" {
		err = c.db.row(ctx, []any{&n, &last}, requestOneSQL, m.VirtualStorage, m.RelativePath, m.Storage)
		return n, tried(err, "mark replicas unverified")
	}
	for {
		err = c.db.row(ctx, []any{&n, &last}, requestAllSQL, m.VirtualStorage, last, m.Storage, queue.MaxBatch)
		if err != nil || n == 0 {
			return repositories, tried(err, "mark replicas unverified")
		}
		repositories += n
	}
}

// The statements of the verification.

const turnColumns = `
select r.id, r.virtual_storage, r.relative_path, r.looked_at = '-infinity',
	case when r.looked_at = '-infinity' then 0 else extract(epoch from clock_timestamp() - r.looked_at) end::float8,
	coalesce((select extract(epoch from clock_timestamp() - s.last_at) from praefect_raft.verification_steps as s
		where s.virtual_storage = r.virtual_storage), -1)::float8
from praefect_raft.repositories as r`

const nextTurnSQL = turnColumns + `
where r.virtual_storage = $1
order by r.looked_at, r.id limit 1`

const turnOfSQL = turnColumns + `
where r.virtual_storage = $1 and r.relative_path = $2`

// lookedSQL leaves one requested that was requested since.
const lookedSQL = `
update praefect_raft.repositories set looked_at = clock_timestamp() - $3::bigint * interval '1 microsecond'
where id = $1 and (looked_at > '-infinity' or $2)`

// verifiedSQL looks for the repository first: it may have been removed since.
const verifiedSQL = `
insert into praefect_raft.verifications (repository_id, storage, verified_at)
select r.id, s, clock_timestamp() from praefect_raft.repositories as r, unnest($2::text[]) as s
where r.id = $1
on conflict (repository_id, storage) do update set verified_at = excluded.verified_at`

const unverifiedSQL = `
delete from praefect_raft.verifications where repository_id = $1 and storage = any ($2::text[])`

const stepSQL = `
insert into praefect_raft.verification_steps (virtual_storage, last_at) values ($1, clock_timestamp())
on conflict (virtual_storage) do update set last_at = excluded.last_at`

const waitingTurnsSQL = `
select (select count(*) from (select from praefect_raft.repositories as r
		where r.virtual_storage = $1 and r.looked_at = '-infinity' limit $3) as q),
	(select count(*) from (select from praefect_raft.repositories as r
		where r.virtual_storage = $1 and r.looked_at > '-infinity'
			and r.looked_at <= clock_timestamp() - $2::bigint * interval '1 microsecond' limit $3) as q)`

const countRepositoriesSQL = `
select count(*) from praefect_raft.repositories as r where r.virtual_storage = $1`

// marking is the effect of a request on the repositories in batch, and tells how many there are and the last one.
const marking = `,
gone as (delete from praefect_raft.verifications as v using batch as b
	where v.repository_id = b.id and ($3 = '' or v.storage = $3)),
moved as (update praefect_raft.repositories as r set looked_at = '-infinity' from batch as b
	where r.id = b.id and r.looked_at > '-infinity')
select count(*), coalesce(max(b.id), 0) from batch as b`

const requestOneSQL = `
with batch as (select r.id from praefect_raft.repositories as r
	where r.virtual_storage = $1 and r.relative_path = $2 for update)` + marking

const requestAllSQL = `
with batch as (select r.id from praefect_raft.repositories as r
	where r.virtual_storage = $1 and r.id > $2 order by r.id limit $4 for update)` + marking
