package condition

import (
	"time"

	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

// Facts are the facts that one instance knows at one moment. A zero field says that the instance knows
// nothing of it, and makes no condition.
type Facts struct {
	// Instance is the name of the instance that knows the facts.
	Instance string
	// Leader is the name of the leader, empty if the instance knows of none.
	Leader string
	// Leased tells that the instance may route requests.
	Leased bool
	// Configured is how many instances its settings list, itself included; Others names them.
	Configured int
	// Members are the members of the cluster, at the leader only.
	Members []Member
	// Running are the registered instances.
	Running []Running
	// Postgres is why Postgres is away, empty if it is not.
	Postgres string
	// Certificates are the certificates in the settings.
	Certificates []Certificate
	// Defined tells that the replicated state was there to be looked at.
	Defined         bool
	VirtualStorages []VirtualStorage
	// Raised are conditions that were found out by the acting parts: the elector, the replicator and
	// the start of the instance.
	Raised []Raised
}

// Member is one member of the cluster as the leader sees it.
type Member struct {
	Name  string
	Voter bool
	// Heard tells that the leader has heard of it lately, Leased that it has a lease.
	Heard, Leased bool
	// Problem is the fault that it reports.
	Problem string
}

// Running is one registered instance.
type Running struct{ Name, Version string }

// Certificate is one certificate file of the settings.
type Certificate struct {
	// Key is the key of the settings, Path the file.
	Key, Path string
	// Left is the time until the certificate expires.
	Left time.Duration
	// Problem is why it cannot be read, empty if it can.
	Problem string
}

// VirtualStorage is one virtual storage.
type VirtualStorage struct {
	Name string
	// Primary takes the writes of clean repositories; empty if none does.
	Primary string
	// Copies is how many storages must have a write according to the settings.
	Copies int
	// Paused says how automatic failover is paused, empty if it is not.
	Paused   string
	Storages []Storage
	// Unavailable counts the repositories that no storage can serve.
	Unavailable int
	// Conflicts counts the repositories in conflict.
	Conflicts int
	// Short counts the repositories that have been in sync on fewer than Copies storages for more
	// than ShortAfter; ShortExample is one of them.
	Short        int
	ShortExample string
}

// Storage is one storage of a virtual storage.
type Storage struct {
	Name  string
	State state.StorageState
	// Why says why it does not serve.
	Why string
	// Observation tells how the instance reaches it. One with another disk than the agreed one is not reachable.
	reachability.Observation
	// ReturnsIn is the time until it serves again, nil if that is not known.
	ReturnsIn *time.Duration
}

// Raised is a condition that another part of the program has found out.
type Raised struct {
	Name                              Name
	VirtualStorage, Storage, Instance string
	// Text describes the finding, for people.
	Text string
	// Settings are the keys that instances have differently, of SettingsDiffer.
	Settings []Setting
}

// Setting is one key of the settings that instances have differently.
type Setting struct {
	Key string `json:"key"`
	// Values are the values that it has, each with its instances.
	Values []SettingValue `json:"values"`
}

// SettingValue is one of the values that a key has.
type SettingValue struct {
	// Value is as the file has it. It is empty if the key is Secret, whose value is not told, or
	// Absent.
	Value  string `json:"value,omitempty"`
	Secret bool   `json:"secret,omitempty"`
	Absent bool   `json:"absent,omitempty"`
	// Instances have this value.
	Instances []string `json:"instances"`
}

// Limits of the conditions.
const (
	// ShortAfter is how long a repository may have too few copies before that is a condition.
	ShortAfter = time.Minute
	// RepairAttempts is how many attempts a repair may take before it is a condition.
	RepairAttempts = 5
	// ExpiresWithin is how long before its end a certificate is a condition.
	ExpiresWithin = 14 * 24 * time.Hour
)
