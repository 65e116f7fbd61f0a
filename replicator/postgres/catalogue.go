package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// Repository is an entry of the catalogue.
type Repository struct {
	ID int64
	state.Key
	// Verified is when the replica on each storage was last found as it should be; one that is not here is unverified.
	Verified map[string]time.Time
}

// Catalogue gives each repository a number and remembers when its replicas were verified, in the tables
// praefect_raft.repositories, verifications and verification_steps. It promises that a number is never given twice, and
// nothing about which repositories there are: callers know better.
type Catalogue struct{ db *DB }

// NewCatalogue returns the catalogue of a database. Until Migrate has made its tables, calls are refused as unavailable.
func NewCatalogue(db *DB) *Catalogue { return &Catalogue{db: db} }

// Ensure returns the entry of a repository, and makes one if there is none.
func (c *Catalogue) Ensure(ctx context.Context, key state.Key) (Repository, error) {
	if err := queue.ValidKey(key); err != nil {
		return Repository{}, fmt.Errorf("enter a repository: %w", err)
	}
	found, err := served(ctx, c.db, func(ctx context.Context, tx *sql.Tx, _ bool) ([]Repository, error) {
		found, err := queryRepositories(ctx, tx, repositoryByPathSQL, key.VirtualStorage, key.RelativePath)
		if err != nil || len(found) > 0 {
			return found, err
		}
		if err := addRepositories(ctx, tx, []state.Key{key}); err != nil {
			return nil, err
		}
		return queryRepositories(ctx, tx, repositoryByPathSQL, key.VirtualStorage, key.RelativePath)
	})
	if err == nil && len(found) == 0 { // somebody removed it in the same moment
		err = fmt.Errorf("%w: it is being removed", ErrUnavailable)
	}
	if err != nil {
		return Repository{}, fmt.Errorf("enter the repository %q of %q: %w", key.RelativePath, key.VirtualStorage, err)
	}
	return found[0], nil
}

// Find returns the entry of a repository, if there is one.
func (c *Catalogue) Find(ctx context.Context, key state.Key) (r Repository, found bool, err error) {
	if queue.ValidKey(key) != nil {
		return Repository{}, false, nil // it could never be entered
	}
	return c.one(ctx, repositoryByPathSQL, key.VirtualStorage, key.RelativePath)
}

// ByID returns the entry with a number, if there is one.
func (c *Catalogue) ByID(ctx context.Context, id int64) (r Repository, found bool, err error) {
	return c.one(ctx, repositoryByIDSQL, id)
}

func (c *Catalogue) one(ctx context.Context, statement string, args ...any) (Repository, bool, error) {
	list, err := served(ctx, c.db, func(ctx context.Context, tx *sql.Tx, _ bool) ([]Repository, error) {
		return queryRepositories(ctx, tx, statement, args...)
	})
	if err != nil || len(list) == 0 {
		return Repository{}, false, tried(err, "look into the catalogue")
	}
	return list[0], true, nil
}

// Add makes entries for the repositories that have none.
func (c *Catalogue) Add(ctx context.Context, keys []state.Key) error {
	return c.inBatches(ctx, "enter", keys, addRepositories)
}

// Remove removes the entries of repositories.
func (c *Catalogue) Remove(ctx context.Context, keys []state.Key) error {
	return c.inBatches(ctx, "remove", keys, func(ctx context.Context, tx *sql.Tx, batch []state.Key) error {
		_, err := tx.ExecContext(ctx, removeRepositoriesSQL, columnsOf(batch)...)
		return err
	})
}

// inBatches changes entries; doing so twice is the same as once. Keys that could never be entered are left out.
func (c *Catalogue) inBatches(ctx context.Context, what string, keys []state.Key, change func(context.Context, *sql.Tx, []state.Key) error) error {
	valid := slices.DeleteFunc(slices.Clone(keys), func(key state.Key) bool { return queue.ValidKey(key) != nil })
	for batch := range slices.Chunk(valid, queue.MaxBatch) {
		err := c.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error { return change(ctx, tx, batch) })
		if err != nil {
			return fmt.Errorf("%s %d repositories: %w", what, len(valid), err)
		}
	}
	return nil
}

// Page returns the relative paths of a virtual storage's entries that come after one, in the order of their bytes.
func (c *Catalogue) Page(ctx context.Context, virtualStorage, after string, limit int) ([]string, error) {
	return c.paths(ctx, virtualStorage, repositoryPageSQL, virtualStorage, after, queue.Bound(limit))
}

// Paths is Page for the entries whose paths begin with a prefix.
func (c *Catalogue) Paths(ctx context.Context, virtualStorage, prefix, after string, limit int) ([]string, error) {
	return c.paths(ctx, virtualStorage, repositoryPrefixSQL, virtualStorage, queue.CleanText(after), queue.Bound(limit), queue.CleanText(prefix))
}

func (c *Catalogue) paths(ctx context.Context, virtualStorage, statement string, args ...any) ([]string, error) {
	paths, err := fetch(ctx, c.db, func(row *sql.Rows, path *string) error { return row.Scan(path) }, statement, args...)
	return paths, tried(err, "list the repositories of %q", virtualStorage)
}

func addRepositories(ctx context.Context, tx *sql.Tx, keys []state.Key) error {
	_, err := tx.ExecContext(ctx, addRepositoriesSQL, columnsOf(keys)...)
	return err
}

// columnsOf are keys as a statement takes them: two arrays.
func columnsOf(keys []state.Key) []any {
	virtualStorages, paths := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		virtualStorages[i], paths[i] = key.VirtualStorage, key.RelativePath
	}
	return []any{pq.Array(virtualStorages), pq.Array(paths)}
}

// queryRepositories runs a statement that yields entries, each once for every storage on which it is verified.
func queryRepositories(ctx context.Context, tx *sql.Tx, statement string, args ...any) (list []Repository, err error) {
	type row struct {
		Repository
		storage sql.NullString
		at      sql.NullTime
	}
	rows, err := query(ctx, tx, func(rows *sql.Rows, r *row) error {
		return rows.Scan(&r.ID, &r.VirtualStorage, &r.RelativePath, &r.storage, &r.at)
	}, statement, args...)
	for _, r := range rows {
		if last := len(list) - 1; last < 0 || list[last].ID != r.ID {
			r.Verified = make(map[string]time.Time)
			list = append(list, r.Repository)
		}
		if r.storage.Valid {
			list[len(list)-1].Verified[r.storage.String] = r.at.Time.UTC()
		}
	}
	return list, err
}
