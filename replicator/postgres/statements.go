package postgres

// The statements of the queue. Each UPDATE and DELETE names the state that it leaves. Intervals are bound as
// microseconds, and times are the server's.

// columns are the columns that scanJob reads, in its order.
const columns = `j.id, j.virtual_storage, j.relative_path, j.targets, j.reason, j.correlation_id, j.state, j.attempt, j.failures,
	j.again, j.worker, j.last_error, j.waits_for, j.created_at, j.updated_at, j.not_before, j.claimed_until`

// enqueueSQL takes the requests as JSON, because their targets are lists of different lengths. Rows are locked in the
// order of their keys, here and by heartbeatSQL, so that calls which overlap do not deadlock. A job that already is the one that
// the request wants is not written.
const enqueueSQL = `
insert into praefect_raft.jobs as j (virtual_storage, relative_path, not_before, targets, reason, correlation_id)
select r.virtual_storage, r.relative_path, now() + r.delay * interval '1 microsecond', r.targets, r.reason, r.correlation_id
from jsonb_to_recordset($1::jsonb) as r (
	virtual_storage text, relative_path text, delay bigint, targets jsonb, reason text, correlation_id text)
order by r.virtual_storage collate "C", r.relative_path collate "C"
on conflict on constraint jobs_one_per_path do update set
	state = case j.state when 'dead' then 'ready' else j.state end,
	not_before = case j.state when 'in_progress' then j.not_before else excluded.not_before end,
	again = j.state = 'in_progress',
	updated_at = now()
where (j.state = 'in_progress' and not j.again)
	or j.state = 'dead'
	or (j.state = 'ready' and j.not_before > excluded.not_before)`

// dueSQL reads the index jobs_waiting from $2 on, in its order, and stops after $3 rows that are not locked.
const dueSQL = `
	select w.id from praefect_raft.jobs as w
	where w.virtual_storage = $1 and w.state in ('ready', 'failed') and w.not_before >= $2 and w.not_before <= now()
	order by w.not_before, w.id
	limit $3
	for update skip locked`

const claimSQL = `
update praefect_raft.jobs as j set
	state = 'in_progress', attempt = j.attempt + 1, again = false, worker = $4, claim_id = $5, waits_for = '',
	claimed_until = now() + $6 * interval '1 microsecond', updated_at = now()
where j.state in ('ready', 'failed') and j.id = any (array(` + dueSQL + `))
returning ` + columns

// claimedSQL finds the jobs of a claim whose commit went unanswered.
const claimedSQL = `
select ` + columns + ` from praefect_raft.jobs as j
where j.state = 'in_progress' and j.claim_id = $1`

const heartbeatSQL = `
with running as (
	select j.id from praefect_raft.jobs as j join unnest($1::bigint[], $2::integer[]) as r (id, attempt) on j.id = r.id
	where j.state = 'in_progress' and j.attempt = r.attempt
	order by j.virtual_storage, j.relative_path
	for update of j)
update praefect_raft.jobs as j set claimed_until = now() + $3 * interval '1 microsecond', updated_at = now()
where j.state = 'in_progress' and j.id = any (array(select id from running))
returning j.id, j.attempt`

const completeSQL = `
delete from praefect_raft.jobs as j
where j.id = $1 and j.attempt = $2 and j.state = 'in_progress' and not j.again`

// rearmSQL completes an attempt during which the job was enqueued again.
const rearmSQL = `
update praefect_raft.jobs as j set
	state = 'ready', again = false, failures = 0, last_error = '', not_before = now(), updated_at = now(),
	claimed_until = null, claim_id = null
where j.id = $1 and j.attempt = $2 and j.state = 'in_progress'`

// waitSQL ends an attempt that did not complete: in state $3, with $4 more failures because of $5, due after $6, waiting
// for $7.
const waitSQL = `
update praefect_raft.jobs as j set
	state = case when $3 = 'dead' and j.again then 'failed' else $3 end,
	failures = j.failures + $4::integer,
	last_error = case when $4::integer = 0 then j.last_error else $5 end,
	not_before = now() + $6 * interval '1 microsecond', waits_for = $7,
	again = false, updated_at = now(), claimed_until = null, claim_id = null
where j.id = $1 and j.attempt = $2 and j.state = 'in_progress'`

const reclaimSQL = `
update praefect_raft.jobs as j set
	state = 'ready', again = false, failures = j.failures + 1, last_error = $2, not_before = now(), updated_at = now(),
	claimed_until = null, claim_id = null
where j.state = 'in_progress' and j.id = any (array(
	select l.id from praefect_raft.jobs as l
	where l.state = 'in_progress' and (l.claimed_until < now() or $3 <> '' and l.worker = $3)
		and (l.id, l.attempt) not in (select * from unnest($4::bigint[], $5::integer[]))
	order by l.id
	limit $1
	for update skip locked))`

// names begins a statement that looks at each virtual storage in turn: it hops over the index of keys, so that it costs
// one probe for each of them however many jobs they have.
const names = `
with recursive names (name) as (
	(select k.virtual_storage from praefect_raft.jobs as k order by k.virtual_storage limit 1)
	union all
	select (select k.virtual_storage from praefect_raft.jobs as k
		where k.virtual_storage > n.name order by k.virtual_storage limit 1)
	from names as n where n.name is not null)`

// retrySQL brings back dead jobs, and with $5 failed ones.
const retrySQL = names + `
update praefect_raft.jobs as j set state = 'ready', failures = 0, not_before = now(), waits_for = '', updated_at = now()
where j.state in ('failed', 'dead') and j.id = any (array(
	select troubled.id from names as n cross join (values ('dead'), ('failed')) as s (state) cross join lateral (
		select d.id from praefect_raft.jobs as d
		where d.virtual_storage = n.name and d.state = s.state and d.state in ('failed', 'dead')
			and ($3 = '' or d.relative_path = $3) and d.updated_at <= now() - $4 * interval '1 microsecond'
		order by d.id
		for update skip locked) as troubled
	where ($2 = '' or n.name = $2) and (s.state = 'dead' or $5)
	limit $1))`

// dropTroubledSQL removes failed or dead jobs, along jobs_troubled.
const dropTroubledSQL = names + `
delete from praefect_raft.jobs as j
where j.state = $4 and j.state in ('failed', 'dead') and j.id = any (array(
	select d.id from names as n cross join lateral (
		select r.id from praefect_raft.jobs as r
		where r.virtual_storage = n.name and r.state = $4 and r.state in ('failed', 'dead') and ($3 = '' or r.relative_path = $3)
		order by r.id limit $1
		for update skip locked) as d
	where $2 = '' or n.name = $2
	order by d.id limit $1))`

// dropReadySQL removes ready jobs, along jobs_waiting: the ones that are due first.
const dropReadySQL = names + `
delete from praefect_raft.jobs as j
where j.state = $4 and j.state = 'ready' and j.id = any (array(
	select d.id from names as n cross join lateral (
		select r.id from praefect_raft.jobs as r
		where r.virtual_storage = n.name and r.state in ('ready', 'failed') and r.state = $4 and ($3 = '' or r.relative_path = $3)
		order by r.not_before, r.id limit $1
		for update skip locked) as d
	where $2 = '' or n.name = $2
	limit $1))`

// listSQL goes along the primary key: for filters that most jobs pass.
const listSQL = `
select ` + columns + ` from praefect_raft.jobs as j
where j.id > $1 and ($2 = '' or j.virtual_storage = $2) and ($3 = '' or j.state = $3)
order by j.id limit $4`

// listRunningSQL goes along jobs_running.
const listRunningSQL = `
select ` + columns + ` from praefect_raft.jobs as j
where j.id > $1 and ($2 = '' or j.virtual_storage = $2) and j.state = 'in_progress' and j.state = $3
order by j.id limit $4`

// listTroubledSQL goes along jobs_troubled.
const listTroubledSQL = names + `
select ` + columns + ` from names as n cross join lateral (
	select * from praefect_raft.jobs as r
	where r.virtual_storage = n.name and r.state = $3 and r.state in ('failed', 'dead') and r.id > $1
	order by r.id limit $4) as j
where $2 = '' or n.name = $2
order by j.id limit $4`

// listPathSQL goes along jobs_one_per_path.
const listPathSQL = names + `
select ` + columns + ` from names as n join praefect_raft.jobs as j on j.virtual_storage = n.name and j.relative_path = $5
where j.id > $1 and ($2 = '' or j.virtual_storage = $2) and ($3 = '' or j.state = $3)
order by j.id limit $4`

// depthSQL counts up to $1 jobs, the last of which means "or more". Ready jobs are counted among all that wait, and the
// count says so when these alone reach the limit.
const depthSQL = names + `
select r.virtual_storage, 'in_progress', count(*), count(*) >= $1
from praefect_raft.jobs as r where r.state = 'in_progress' group by r.virtual_storage
union all
select n.name, s.state, c.count, c.count >= $1
from names as n cross join (values ('failed'), ('dead')) as s (state) cross join lateral (
	select count(*) from (
		select from praefect_raft.jobs as r
		where r.virtual_storage = n.name and r.state = s.state and r.state in ('failed', 'dead') limit $1) as rows) as c
where c.count > 0
union all
select n.name, 'ready', c.count, c.looked >= $1
from names as n cross join lateral (
	select count(*) filter (where rows.state = 'ready') as count, count(*) as looked from (
		select w.state from praefect_raft.jobs as w
		where w.virtual_storage = n.name and w.state in ('ready', 'failed') limit $1) as rows) as c
where c.count > 0`

const missingSQL = `
select k.nth from unnest($1::text[], $2::text[]) with ordinality as k (virtual_storage, relative_path, nth)
where not exists (
	select from praefect_raft.jobs as j
	where j.virtual_storage = k.virtual_storage and j.relative_path = k.relative_path)
order by k.nth`
