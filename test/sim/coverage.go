package sim

import "praefect/fsm/state"

// Coverage counts the events that schedules went through. A run that saw too few events
// of a kind has shown nothing about it.
type Coverage struct {
	Schedules int   `json:"schedules"`
	Events    int64 `json:"events"`

	Elections            int `json:"elections"`
	Transfers            int `json:"transfers"`             // elections that the leader wanted
	UndisturbedTransfers int `json:"undisturbed_transfers"` // while nothing else went wrong
	Joins                int `json:"joins"`                 // instances that became voters
	Removals             int `json:"removals"`              // of instances from the configuration
	RetiredByWord        int `json:"retired_by_word"`
	Recoveries           int `json:"recoveries"`   // of a lost quorum
	LostEntries          int `json:"lost_entries"` // that were committed, and lost with the quorum
	SeveralKept          int `json:"several_kept"` // recoveries after which several storages are as before
	UnknownOutcomes      int `json:"unknown_outcomes"`
	LaggingViews         int `json:"lagging_views"`
	Leases               int `json:"leases"`
	Crashes              int `json:"crashes"`
	Pauses               int `json:"pauses"`
	Partitions           int `json:"partitions"`
	Resets               int `json:"resets"`   // of connections with calls
	Flickers             int `json:"flickers"` // of leases
	// Lulls are times without requests. Calms came of them, in so many schedules; there were faults
	// and writes in calm, and leaders that believed in it wrongly.
	Lulls         int `json:"lulls"`
	Calms         int `json:"calms"`
	CalmSchedules int `json:"calm_schedules"`
	FaultsInCalm  int `json:"faults_in_calm"`
	WritesInCalm  int `json:"writes_in_calm"`
	WrongCalms    int `json:"wrong_calms"`

	Writes              int `json:"writes"`
	Acks                int `json:"acks"`
	AcksWithoutPostgres int `json:"acks_without_postgres"`
	ConcurrentWriters   int `json:"concurrent_writers"`
	QueuedWrites        int `json:"queued_writes"`
	DoomedWrites        int `json:"doomed_writes"`
	RefusedAcks         int `json:"refused_acks"`
	RefusedTokens       int `json:"refused_tokens"`
	LateEffects         int `json:"late_effects"`
	LostWrites          int `json:"lost_writes"`

	VotingWrites          int `json:"voting_writes"`
	PrimaryOnlyAfterVotes int `json:"primary_only_after_votes"`
	AllowedRounds         int `json:"allowed_rounds"`
	ShortRounds           int `json:"short_rounds"`
	MovedPrimaries        int `json:"moved_primaries"`
	AbortedRounds         int `json:"aborted_rounds"`
	DisagreeingVotes      int `json:"disagreeing_votes"`
	UnlikeVotes           int `json:"unlike_votes"` // of another release
	LateVotes             int `json:"late_votes"`
	LaggingVotes          int `json:"votes_under_lagging_views"`
	RefusedVotes          int `json:"refused_votes"`
	Halts                 int `json:"halts"`
	Hooks                 int `json:"hooks"`
	DroppedBranches       int `json:"dropped_branches"`
	Retries               int `json:"retried_writes"`
	ConcurrentVoters      int `json:"concurrent_voters"`
	Contentions           int `json:"contentions"` // of writes that truly waited for each other
	LockConflicts         int `json:"lock_conflicts"`
	SentAgain             int `json:"sent_again"`        // calls, when the primary had its locks
	WritesSentAgain       int `json:"writes_sent_again"` // whose primary did not get its locks
	Upgrades              int `json:"upgrades"`
	Edits                 int `json:"edits"`     // of the settings of one instance
	Additions             int `json:"additions"` // of a storage that every instance has in its settings

	Reads        int `json:"reads"`
	MarkedReads  int `json:"marked_reads"`
	PassedOn     int `json:"passed_on_reads"`
	RetriedReads int `json:"retried_reads"`

	Refusals       int `json:"refusals"`
	Repeated       int `json:"repeated_requests"`
	Fences         int `json:"fences"`
	Admits         int `json:"admits"`
	Rejoins        int `json:"rejoins"`
	Retires        int `json:"retires"`
	InDoubtIntents int `json:"in_doubt_intents"`
	Repairs        int `json:"repairs"`
	Wishes         int `json:"wishes"` // of repairs for their turn
	Rounds         int `json:"rounds"` // of repairs, beside copies
	Joined         int `json:"joined"` // copies that ended well in such a round
	InSyncs        int `json:"in_syncs"`
	DoubtsResolved int `json:"doubts_resolved"`
	Backfills      int `json:"backfills"`
	Refills        int `json:"refills"` // of storages that were restored from a backup
	NewDisks       int `json:"new_disks"`
	// The disks and content that storages began with, or came back with.
	FormerDisks  int `json:"former_disks"`
	Comparisons  int `json:"comparisons"`
	Advances     int `json:"advances"`
	Conflicts    int `json:"conflicts"`
	UnlikeCopies int `json:"unlike_copies"`
	// Replicas that cannot be written to.
	Ruined        int `json:"ruined_replicas"`
	Tampered      int `json:"tampered_replicas"`
	Differed      int `json:"put_in_doubt"` // by a comparison
	Filled        int `json:"full_disks"`
	Closings      int `json:"closing_votes"` // of primaries, without a change
	FailedAlone   int `json:"failed_alone"`  // writes that only the primary could not do
	Nothings      int `json:"nothing_to_do"` // writes for which no storage voted
	Remakes       int `json:"remakes"`
	StepDowns     int `json:"step_downs"`
	WritePauses   int `json:"write_pauses"`
	Promotions    int `json:"promotions"`
	Drains        int `json:"drains"`
	Alarms        int `json:"alarms"`
	Raises        int `json:"raises"`
	RaisedBatches int `json:"raised_batches"` // that need the level that was raised
	Losses        int `json:"accepted_losses"`
	Mended        int `json:"mended"`
}

// count counts a command that was applied.
func (w *simulation) count(c state.Command) {
	switch {
	case c.Fence != nil:
		w.cov.Fences++
		if w.setup.undisturbed {
			w.failf("%v are fenced, and nothing goes wrong but that leadership moves", c.Fence.Storages)
		}
	case c.Admit != nil:
		w.cov.Admits++
	case c.Rejoin != nil:
		w.cov.Rejoins++
	case c.Retire != nil:
		w.cov.Retires++
	case c.MarkInSync != nil:
		w.cov.InSyncs++
	case c.ResolveDoubt != nil:
		w.cov.DoubtsResolved++
	case c.Compared != nil:
		w.cov.Comparisons++
	case c.MarkConflict != nil && len(c.MarkConflict.Conflicts) > 0:
		w.cov.Conflicts++
	case c.AcceptLoss != nil:
		w.cov.Losses++
	case c.Refill != nil:
		w.restored(c.Refill.Storage)
	case c.MarkDoubt != nil:
		w.check.differed(c.MarkDoubt)
	case c.StepDown != nil:
		w.check.steppedDown(c.StepDown)
	case c.Raise != nil:
		w.cov.Raises++
	}
}

// rare says of the counts that need not come to one a schedule in how many they
// must come to one.
var rare = map[string]int{
	"repeated_requests": 5, "doomed_writes": 20, "refused_acks": 200, "refused_tokens": 80, "late_effects": 30, "lost_writes": 20,
	"marked_reads": 20, "passed_on_reads": 20, "retried_reads": 40, "backfills": 2, "new_disks": 50, "former_disks": 1000, "in_doubt_intents": 2, "advances": 20, "conflicts": 50, "unlike_copies": 20, "ruined_replicas": 10, "remakes": 20, "step_downs": 600, "write_pauses": 10,
	"aborted_rounds": 4, "disagreeing_votes": 15, "late_votes": 40, "refused_votes": 50, "halts": 12, "dropped_branches": 20,
	"retried_writes": 6, "contentions": 200, "lock_conflicts": 4, "unlike_votes": 100, "sent_again": 20, "writes_sent_again": 4, "primary_only_after_votes": 4, "moved_primaries": 150, "upgrades": 15,
	"refusals": 3, "promotions": 25, "drains": 25, "alarms": 4, "accepted_losses": 50, "raises": 100, "raised_batches": 100, "edits": 8, "additions": 40, "mended": 1000,
	"transfers": 4, "undisturbed_transfers": 8, "joins": 16, "removals": 16, "retired_by_word": 16, "recoveries": 16, "lost_entries": 16, "several_kept": 2000, "resets": 4, "flickers": 4,
	"lulls": 8, "calms": 8, "calm_schedules": 10, "faults_in_calm": 16, "writes_in_calm": 16, "wrong_calms": 8,
	"tampered_replicas": 20, "put_in_doubt": 300, "full_disks": 100, "closing_votes": 200, "failed_alone": 200, "nothing_to_do": 100,
	"rounds": 100, "joined": 200, "refills": 100,
}
