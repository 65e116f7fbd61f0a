-- +migrate Up

-- Which cluster has each virtual storage. A new cluster enters its virtual storages here before it defines them; the first
-- one that does has them, and a second cluster refuses to begin. seen_at is renewed while the cluster runs, so that an
-- operator who wants to remove a claim learns whether anything still stands behind it.
create table praefect_raft.claims (
    virtual_storage text collate "C" primary key,
    cluster_id      text collate "C" not null,
    instance        text not null,
    host            text not null,
    claimed_at      timestamptz not null default now(),
    seen_at         timestamptz not null default now()
);

-- +migrate Down

drop table praefect_raft.claims;
