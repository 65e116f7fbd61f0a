-- +migrate Up

-- The order in which repositories are verified in the background: by when each was last looked at. One that is entered
-- counts as looked at then; those that are there already begin with this moment, so that their first round is spread over
-- the whole interval. '-infinity': somebody asks for it. A release without it leaves it alone.
alter table praefect_raft.repositories add column looked_at timestamptz not null default now();
create index repositories_to_verify on praefect_raft.repositories (virtual_storage, looked_at, id);

-- When the verification of each virtual storage last took a step: the pace outlives a change of leadership.
create table praefect_raft.verification_steps (
    virtual_storage text collate "C" primary key,
    last_at         timestamptz not null
) with (fillfactor = 50);

-- +migrate Down

drop table praefect_raft.verification_steps;
drop index praefect_raft.repositories_to_verify;
alter table praefect_raft.repositories drop column looked_at;
