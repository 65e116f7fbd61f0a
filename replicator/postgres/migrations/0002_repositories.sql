-- +migrate Up

-- The catalogue: a number for each repository, for clients that name repositories by it. Nothing that serves a request to
-- a repository reads it. It may lack entries, or have some of repositories that are gone: it is compared with the storages
-- in the background. A release without it leaves it alone.
create table praefect_raft.repositories (
    id              bigint generated always as identity primary key,
    virtual_storage text collate "C" not null,
    relative_path   text collate "C" not null,
    created_at      timestamptz not null default now(),
    constraint repositories_one_per_path unique (virtual_storage, relative_path)
);

-- When a replica was last found as it should be. One without a row is unverified.
create table praefect_raft.verifications (
    repository_id bigint not null references praefect_raft.repositories (id) on delete cascade,
    storage       text collate "C" not null,
    verified_at   timestamptz not null,
    primary key (repository_id, storage)
);

-- +migrate Down

drop table praefect_raft.verifications;
drop table praefect_raft.repositories;
