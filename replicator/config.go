package replicator

import (
	"cmp"
	"time"
)

// Config sets the pace and the bounds of repairs. Fields that are 0 get a
// default, unless their comment gives 0 a meaning.
type Config struct {
	// Name names this instance in the queue, and no other: the jobs that it had claimed
	// when it died are its own again at the next start. Default "praefect".
	Name string

	// Workers is how many repairs copy onto one storage at a time. Default 4.
	Workers int
	// Lease is how long a job stays claimed without a sign of life. Default 30s.
	Lease time.Duration
	// PollInterval is the time between two looks into the queue while nothing
	// happens here. Default 1s.
	PollInterval time.Duration
	// QueueTimeout bounds one call to the queue. It should be longer than the
	// queue's own bound, which says that the server hangs and not that a caller
	// was impatient. Default 10s.
	QueueTimeout time.Duration
	// EnqueueLimit is how many repositories are remembered while the queue, or the
	// catalogue, is away. Repositories beyond it are found by the reconciler, and by the
	// comparison. Default 10,000.
	EnqueueLimit int

	// ReconcileInterval is the time between two searches for repositories that
	// need a repair and have no job. 0: only at the start, after the queue or a
	// storage was away, and after an overflow.
	ReconcileInterval time.Duration
	// DeadRetry is how long a dead job rests before the reconciler has it tried
	// once more. Default 1h; negative: for ever.
	DeadRetry time.Duration

	// CopyFloor is how long a copy may take however small the repository is,
	// and CopyRate, in bytes a second, the rate at which time is added for its size; CopyTimeout is
	// how long at most a copy of a large one may show no progress. See plan.Copying. Defaults
	// 30s, 4 MiB, 1h.
	CopyFloor   time.Duration
	CopyRate    int64
	CopyTimeout time.Duration
	// LookTimeout bounds one RPC that changes nothing. Default 1m.
	LookTimeout time.Duration

	// PauseBudget is how long the writes of a busy repository wait for a copy to
	// catch up. 0: they never wait.
	PauseBudget time.Duration
	// PauseTries is how many pauses in a row may be in vain before an alarm is
	// raised. Default 5.
	PauseTries int

	// RetryMin is the wait after a job's first failure; it doubles with each
	// further one, up to RetryMax. Defaults 1s, 5m.
	RetryMin, RetryMax time.Duration
	// Attempts is how often in a row a job may fail before it is dead.
	// Default 10.
	Attempts int

	// RemakeAfter is how many copies in a row fail onto a replica before the replica is
	// removed and copied from nothing, and RemakeLimit how many are at a time. Where copies
	// onto more than RemakeMost replicas of a storage fail, none is: the storage is the
	// matter. Defaults 3, 2, 10.
	RemakeAfter, RemakeLimit, RemakeMost int
	// RemakeAgain is how long a replica that was made again in vain is left alone.
	// Default 1h.
	RemakeAgain time.Duration

	// BackfillWorkers is how many repositories are copied at a time while a storage
	// is backfilled. Default 4.
	BackfillWorkers int
	// BackfillTries is how often a repository is tried in a row before the scan
	// leaves it for later. Default 5.
	BackfillTries int
	// BackfillRetry is the longest wait before a scan that was interrupted, or a repository
	// that one left for later, is tried again. Default 1m.
	BackfillRetry time.Duration

	// CatalogueInterval is the time between two comparisons of the catalogue with
	// the storages, and CatalogueDelay how long after it began to lead an instance
	// makes the first. Defaults 24h, 5m.
	CatalogueInterval, CatalogueDelay time.Duration

	// VerificationInterval is within which each repository is verified; not positive: only on
	// request. No default.
	VerificationInterval time.Duration
	// FsckSample is the share of the verifications in which the objects of one replica are
	// checked. No default.
	FsckSample float64

	// StopGrace is how long copies may go on when the replicator stops. A copy that has
	// not ended by then leaves an in-doubt intent. Default 5s.
	StopGrace time.Duration
}

// withDefaults returns the configuration with all defaults filled in.
func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "praefect")
	c.Workers = cmp.Or(max(c.Workers, 0), 4)
	c.EnqueueLimit = cmp.Or(max(c.EnqueueLimit, 0), 10_000)
	c.PauseTries = cmp.Or(max(c.PauseTries, 0), 5)
	c.Attempts = cmp.Or(max(c.Attempts, 0), 10)
	c.RemakeAfter = cmp.Or(max(c.RemakeAfter, 0), 3)
	c.RemakeLimit = cmp.Or(max(c.RemakeLimit, 0), 2)
	c.RemakeMost = cmp.Or(max(c.RemakeMost, 0), 10)
	c.BackfillWorkers = cmp.Or(max(c.BackfillWorkers, 0), 4)
	c.BackfillTries = cmp.Or(max(c.BackfillTries, 0), 5)
	c.CopyRate = cmp.Or(max(c.CopyRate, 0), 4<<20)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.PollInterval = cmp.Or(c.PollInterval, time.Second)
	c.QueueTimeout = cmp.Or(c.QueueTimeout, 10*time.Second)
	c.DeadRetry = cmp.Or(c.DeadRetry, time.Hour)
	c.CopyFloor = cmp.Or(c.CopyFloor, 30*time.Second)
	c.CopyTimeout = cmp.Or(c.CopyTimeout, time.Hour)
	c.LookTimeout = cmp.Or(c.LookTimeout, time.Minute)
	c.RetryMin = cmp.Or(c.RetryMin, time.Second)
	c.RetryMax = cmp.Or(c.RetryMax, 5*time.Minute)
	c.BackfillRetry = cmp.Or(c.BackfillRetry, time.Minute)
	c.RemakeAgain = cmp.Or(c.RemakeAgain, time.Hour)
	c.CatalogueInterval = cmp.Or(c.CatalogueInterval, 24*time.Hour)
	c.CatalogueDelay = cmp.Or(c.CatalogueDelay, 5*time.Minute)
	c.StopGrace = cmp.Or(c.StopGrace, 5*time.Second)
	return c
}
