-- +migrate Up

-- The replication queue: at most one row for a repository. Names compare by bytes (collation C), so that no upgrade of
-- the operating system's collations can invalidate an index.
--
-- Kept short of what an unbounded queue would cost:
-- * a row changes its index entries only when its state or due time changes; heartbeats touch no indexed column, and the
--   fillfactor leaves room for them on the row's own page;
-- * vacuum comes after a thousand changes and one in a hundred rows, not after one in five: the entries of claimed jobs
--   lie at the head of the index on which the next claim begins.
create table praefect_raft.jobs (
    id              bigint generated always as identity primary key,
    virtual_storage text collate "C" not null,
    relative_path   text collate "C" not null,
    state           text collate "C" not null default 'ready'
                    check (state in ('ready', 'in_progress', 'failed', 'dead')),
    attempt         integer not null default 0,
    failures        integer not null default 0,
    again           boolean not null default false,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    not_before      timestamptz not null,
    claimed_until   timestamptz,
    claim_id        text,
    worker          text not null default '',
    last_error      text not null default '',
    targets         jsonb not null default '[]',
    reason          text not null default '',
    correlation_id  text not null default '',
    constraint jobs_one_per_path unique (virtual_storage, relative_path),
    constraint jobs_claimed_in_progress check (
        (state = 'in_progress') = (claimed_until is not null) and (state = 'in_progress') = (claim_id is not null))
) with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- The order of claims.
create index jobs_waiting on praefect_raft.jobs (virtual_storage, not_before, id)
    where state in ('ready', 'failed');

-- The running ones, never more than there are workers. By id, so that whatever the planner thinks of it, using it to
-- finish one job is as good as using the primary key.
create index jobs_running on praefect_raft.jobs (id) where state = 'in_progress';

-- Those in trouble, for whoever looks for them among many that are not.
create index jobs_troubled on praefect_raft.jobs (virtual_storage, state, id) where state in ('failed', 'dead');

-- +migrate Down

drop table praefect_raft.jobs;
