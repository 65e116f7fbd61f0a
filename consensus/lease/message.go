package lease

import (
	"praefect/consensus/health"
	"praefect/consensus/settings"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// ToLeader is the message of an instance to the leader. Every message carries all of
// it, so that one that is lost is made good by the next. Term was read after the
// ask was made and after the echoed question came in.
type ToLeader struct {
	InstanceID  string            `json:"instance_id"`
	Incarnation state.Incarnation `json:"incarnation"`
	// AskNumber is the last ask of the instance's Holder, 0 if there was none.
	AskNumber uint64 `json:"ask_number,omitempty"`
	// Term is the instance's own Raft term.
	Term uint64 `json:"term"`
	// Echo is the number of the last question of this leader.
	Echo uint64 `json:"echo,omitempty"`
	// Applied is the index of the view by which the instance routes.
	Applied state.Index `json:"applied"`
	// Reports are the instance's reports on the storages; nil if it doubts its own observations.
	Reports []health.Report `json:"reports,omitempty"`
	// Refused are the incarnations that were live in the instance's view
	// before it found that their Raft port refuses connections.
	Refused []state.Incarnation `json:"refused,omitempty"`
	// PauseReports answers FromLeader.WritePauses.
	PauseReports []routing.WritePauseReport `json:"pause_reports,omitempty"`
	// Settings is the digest of the settings of the instance; Report is all of it, unless
	// the leader has said that it has it.
	Settings string           `json:"settings_digest,omitempty"`
	Report   *settings.Report `json:"settings_report,omitempty"`
	// Stopping gives the lease back: the instance has stopped to use it, and
	// asks for none any more.
	Stopping bool `json:"stopping,omitempty"`
	// Idle tells that no RPC is or was lately under way between this instance and a storage. An
	// instance of a release that does not say so counts as busy.
	Idle bool `json:"idle,omitempty"`
	// HeartbeatTimeoutMillis is for how long the Raft library of this instance waits for a heartbeat of
	// this leader, if it waits longer than usual, because all is calm.
	HeartbeatTimeoutMillis int64 `json:"heartbeat_timeout_ms,omitempty"`
}

// FromLeader is the message of the leader to an instance. Every message carries all of
// it.
type FromLeader struct {
	// Term is the leader's.
	Term uint64 `json:"term"`
	// GrantFor is the number of the ask that was last granted, 0 if none was.
	GrantFor uint64 `json:"grant_for,omitempty"`
	// GrantIndex is the index that the leader had applied at that grant.
	GrantIndex state.Index `json:"grant_index,omitempty"`
	// LeaseMillis is the length of the lease, before any margin.
	LeaseMillis int64 `json:"lease_ms,omitempty"`
	// Question is to be echoed at once, with the term.
	Question uint64 `json:"question,omitempty"`
	// Watermark is an index that every leased instance has applied.
	Watermark state.Index `json:"watermark,omitempty"`
	// WritePauses are the pauses in force.
	WritePauses []WritePause `json:"write_pauses,omitempty"`
	// Settings is the digest of the instance's report that the leader has, empty if it has none.
	Settings string `json:"settings_digest,omitempty"`
	// Probe are incarnations that the leader does not hear of: does their Raft
	// port refuse connections?
	Probe []state.Incarnation `json:"probe,omitempty"`
	// Silent tells since when each silent instance is silent, for the next leader to count on.
	Silent []Silence `json:"silent,omitempty"`
	// CalmMillis is for how long the leader counts the reports of an idle instance, if all is calm;
	// 0 if not.
	CalmMillis int64 `json:"calm_ms,omitempty"`
}

// Silence is for how long an incarnation was not heard of, by this leader or the ones before.
type Silence struct {
	Incarnation state.Incarnation `json:"incarnation"`
	Millis      int64             `json:"ms"`
}

// WritePause is the advice to keep new writes of a virtual storage waiting. It is
// never needed for safety.
type WritePause struct {
	ID             string `json:"id"`
	VirtualStorage string `json:"virtual_storage"`
	// RemainingMillis is the time until the pause ends by itself, counted from
	// when the message comes in.
	RemainingMillis int64 `json:"remaining_ms"`
	// Serving tells that every storage serves on after the pause, if none dies: a write that
	// has no effect before it is allowed may be sent meanwhile.
	Serving bool `json:"serving,omitempty"`
	// Leaving is the storage that does not serve any more after the pause: a write that was sent to it
	// as to the primary, and has had no effect yet, is to end meanwhile. Empty if each one serves on.
	Leaving string `json:"leaving,omitempty"`
}
