package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"praefect/replicator/queue"
)

// Next implements queue.Verifications.
func (c *Catalogue) Next(ctx context.Context, virtualStorage string) (t queue.Turn, found bool, err error) {
	return c.turn(ctx, nextTurnSQL, virtualStorage)
}

// TurnOf implements queue.Verifications.
func (c *Catalogue) TurnOf(ctx context.Context, key queue.Key) (queue.Turn, error) {
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
	err = c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		rows, err := tx.QueryContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		found = false
		return scanAll(rows, func() error {
			var age, since float64
			if err := rows.Scan(&t.ID, &t.VirtualStorage, &t.RelativePath, &t.Requested, &age, &since); err != nil {
				return err
			}
			t.Age, t.Since, found = seconds(age), seconds(since), true
			return nil
		})
	})
	if err != nil {
		return queue.Turn{}, false, fmt.Errorf("look for a repository to verify: %w", err)
	}
	return t, found, nil
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
	if err != nil {
		return fmt.Errorf("note the verification of %q of %q: %w", t.RelativePath, t.VirtualStorage, err)
	}
	return nil
}

// Waiting implements queue.Verifications.
func (c *Catalogue) Waiting(ctx context.Context, virtualStorage string, interval time.Duration, limit int) (requested, expired int, err error) {
	err = c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		return tx.QueryRowContext(ctx, waitingTurnsSQL, virtualStorage, interval.Microseconds(), limit).Scan(&requested, &expired)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("count the repositories of %q to verify: %w", virtualStorage, err)
	}
	return requested, expired, nil
}

// Count implements queue.Verifications.
func (c *Catalogue) Count(ctx context.Context, virtualStorage string) (n int, err error) {
	err = c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		return tx.QueryRowContext(ctx, countRepositoriesSQL, virtualStorage).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the repositories of %q: %w", virtualStorage, err)
	}
	return n, nil
}

// Request implements queue.Verifications. It goes through the catalogue in pages, each in a transaction of its own: one
// that is interrupted is repeated.
func (c *Catalogue) Request(ctx context.Context, m queue.Marked) (repositories int64, err error) {
	page := func(statement string, args ...any) (n int64, last int64, err error) {
		err = c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
			return tx.QueryRowContext(ctx, statement, args...).Scan(&n, &last)
		})
		if err != nil {
			return 0, 0, fmt.Errorf("mark replicas unverified: %w", err)
		}
		return n, last, nil
	}
	if m.RelativePath != "" {
		n, _, err := page(requestOneSQL, m.VirtualStorage, m.RelativePath, m.Storage)
		return n, err
	}
	for after := int64(0); ; {
		n, last, err := page(requestAllSQL, m.VirtualStorage, after, m.Storage, queue.MaxBatch)
		if err != nil || n == 0 {
			return repositories, err
		}
		repositories, after = repositories+n, last
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
