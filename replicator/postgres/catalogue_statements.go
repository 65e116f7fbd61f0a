package postgres

// The statements of the catalogue.

const repositoryColumns = `
select r.id, r.virtual_storage, r.relative_path, v.storage, v.verified_at
from praefect_raft.repositories as r left join praefect_raft.verifications as v on v.repository_id = r.id`

const repositoryByPathSQL = repositoryColumns + `
where r.virtual_storage = $1 and r.relative_path = $2`

const repositoryByIDSQL = repositoryColumns + `
where r.id = $1`

// addRepositoriesSQL looks before it inserts: an identity that meets a conflict is used up. Rows are inserted in the order
// of their keys, so that calls which overlap do not deadlock; likewise removeRepositoriesSQL.
const addRepositoriesSQL = `
insert into praefect_raft.repositories (virtual_storage, relative_path)
select k.virtual_storage, k.relative_path from unnest($1::text[], $2::text[]) as k (virtual_storage, relative_path)
where not exists (
	select from praefect_raft.repositories as r
	where r.virtual_storage = k.virtual_storage and r.relative_path = k.relative_path)
order by k.virtual_storage collate "C", k.relative_path collate "C"
on conflict on constraint repositories_one_per_path do nothing`

const removeRepositoriesSQL = `
with gone as (
	select r.id from praefect_raft.repositories as r
	join unnest($1::text[], $2::text[]) as k (virtual_storage, relative_path)
		on r.virtual_storage = k.virtual_storage and r.relative_path = k.relative_path
	order by r.virtual_storage, r.relative_path
	for update of r)
delete from praefect_raft.repositories as r where r.id = any (array(select id from gone))`

// repositoryPrefixSQL goes along the index of paths: the last character there is comes after every path with the prefix.
const repositoryPrefixSQL = `
select r.relative_path from praefect_raft.repositories as r
where r.virtual_storage = $1 and r.relative_path > $2 and r.relative_path >= $4 and ($4 = '' or r.relative_path < $4 || chr(1114111))
order by r.relative_path limit $3`

const repositoryPageSQL = `
select r.relative_path from praefect_raft.repositories as r
where r.virtual_storage = $1 and r.relative_path > $2
order by r.relative_path limit $3`
