package config

import "time"

// Consistency is the promise of an acknowledged write and an answered read.
type Consistency struct {
	// Mode is "strong": the storages that are in sync vote on a write, which is
	// acknowledged when those that agree have it; where one of them cannot vote,
	// writes are as in "eventual": acknowledged when the primary has it, and the
	// other storages follow. Default "strong".
	Mode string `toml:"mode"`
	// Copies is how many storages must have a voted write before it is
	// acknowledged, if there are so many; a majority of those in sync must, too.
	// Default 2, minimum 1.
	Copies int `toml:"copies"`
	// WhenShort decides about a voted write on which fewer agree: "degrade" acknowledges it all the
	// same, "block" aborts it. Default "degrade".
	WhenShort string `toml:"when_short"`
	// ReadsWithoutLease decides about reads at an instance without a lease: "serve" answers from
	// its last view and marks the answer, "refuse" does not answer. Default "serve".
	ReadsWithoutLease string `toml:"reads_without_lease"`
	// Conflicts says what becomes of reads and writes of a repository in conflict, of which
	// two replicas each have what the other lacks: "serve" lets the primary take them,
	// "refuse" refuses them until an operator has chosen a replica. Default "serve".
	Conflicts string `toml:"conflicts"`
	// WriteTimeout is the deadline of a write whose client sent none. A deadline
	// of the client's own is kept, a longer one too. A write that votes is ended
	// when nothing of it has moved for so long. Default 1h.
	WriteTimeout Duration `toml:"write_timeout"`
	// IntentLinger is how long a repository stays covered by an intent after its last write, so
	// that a busy one pays for its mark once. Default 3s.
	IntentLinger Duration `toml:"intent_linger"`
	// QueueTimeout bounds how long a new write waits for a primary before it is
	// answered UNAVAILABLE. Default 10s; 0 = writes never wait.
	QueueTimeout Duration `toml:"queue_timeout"`
	// QueueLimit is how many writes may wait at a time; those beyond it are
	// answered UNAVAILABLE at once. Default 1000.
	QueueLimit int `toml:"queue_limit"`
	// LeaseWait bounds how long a write waits at an instance that has no lease
	// before it is answered UNAVAILABLE: long enough for the instances to elect
	// a leader. Default 2s; 0 = it does not wait.
	LeaseWait Duration `toml:"lease_wait"`
}

// Replication is the pace and the bounds of repair work.
type Replication struct {
	// BatchSize is how many jobs one claim takes. Default 10, minimum 1.
	BatchSize int `toml:"batch_size"`
	// ParallelStorageProcessingWorkers is how many repairs of this instance copy
	// onto one storage at a time. Default 1, minimum 1.
	ParallelStorageProcessingWorkers int `toml:"parallel_storage_processing_workers"`
	// CopyTimeout is how long a copy of one repository may show no progress. Default 1h.
	CopyTimeout Duration `toml:"copy_timeout"`
	// PauseBudget bounds how long the writes of a busy repository wait for the
	// last increment of a copy. Default 5s; 0 = they never wait.
	PauseBudget Duration `toml:"pause_budget"`
	// RetryMin is the wait after a job's first failure; it doubles with each
	// further one, with jitter. Default 1s.
	RetryMin Duration `toml:"retry_min"`
	// RetryMax is the longest wait between two attempts. Default 5m.
	RetryMax Duration `toml:"retry_max"`
	// Attempts is how often a job is tried before it is dead. Default 10,
	// minimum 1.
	Attempts int `toml:"attempts"`
}

// Reconciliation is the search for repair work that has no job.
type Reconciliation struct {
	// SchedulingInterval is the time from one search to the next. Default 5m;
	// 0 = no search.
	SchedulingInterval Duration `toml:"scheduling_interval"`
}

// BackgroundVerification is how often replicas are compared with their primary.
type BackgroundVerification struct {
	// VerificationInterval is within which each repository is verified. Default 168h;
	// 0 or less = only when somebody asks for it.
	VerificationInterval Duration `toml:"verification_interval"`
	// FsckSample is the share of the verifications in which git checks the objects of one
	// replica, from 0 to 1. Default 0.05.
	FsckSample float64 `toml:"fsck_sample"`
}

// Detection is how the health of storages is observed.
type Detection struct {
	// ProbeInterval is the time from one probe of a storage to the next.
	// Default 500ms.
	ProbeInterval Duration `toml:"probe_interval"`
	// ProbeTimeout bounds one probe. Default 1s.
	ProbeTimeout Duration `toml:"probe_timeout"`
	// Silence is how long a storage may say nothing at all before an instance
	// takes it for dead, if its host acknowledges nothing either. Default 1.5s.
	Silence Duration `toml:"silence"`
	// Stall is the same while the host acknowledges the data sent to it, so that only the process
	// is silent: stopped, or starved on a busy machine. Default 5s; it counts as Silence where that
	// is longer.
	Stall Duration `toml:"stall"`
	// ReportAge is how old an instance's report of a storage may be to count
	// when the leader looks for a majority. Default 300ms, minimum 200ms:
	// opinions are repeated every 100ms.
	ReportAge Duration `toml:"report_age"`
}

// minReportAge lets a report that is repeated every 100 ms be late once.
const minReportAge = Duration(200 * time.Millisecond)

// Failover says whether a dead primary is replaced, and how long the leader waits first.
type Failover struct {
	// Enabled lets the instances do it by themselves; false leaves it to the
	// operator's promote. Default true. failover_enabled is an older spelling.
	Enabled bool `toml:"enabled"`
	// ReturnAfter is how long a storage that was dead must be well before it
	// serves again. It doubles with each further failure. Default 10s.
	ReturnAfter Duration `toml:"return_after"`
	// ReturnAfterMax is the most that ReturnAfter doubles to. Default 5m.
	ReturnAfterMax Duration `toml:"return_after_max"`
	// MassFailureWindow: when more than half of all storages die within it, no
	// primary is replaced, as the fault is hardly theirs. Default 5s; 0 = every one is replaced.
	MassFailureWindow Duration `toml:"mass_failure_window"`
	// WarmUp is how long after its own start a leader replaces no primary: where
	// all is started at once, some storages come later. Default 5s; 0 = it does
	// not wait.
	WarmUp Duration `toml:"warm_up"`
	// PauseDeadline bounds how long the writes of a virtual storage wait while an
	// operator moves its primary. Default 8s.
	PauseDeadline Duration `toml:"pause_deadline"`
	// RetireAfter is how long an instance must be silent before the others take
	// it for gone without any other proof. Default 10m.
	RetireAfter Duration `toml:"retire_after"`
}
