-- +migrate Up

-- For what the worker of the last attempt found that the job waits, as one of a few words; '' if it found nothing. A
-- release without it leaves it alone.
alter table praefect_raft.jobs add column waits_for text not null default '';

-- +migrate Down

alter table praefect_raft.jobs drop column waits_for;
