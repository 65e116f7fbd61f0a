package replicator

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"praefect/fsm/state"
)

// alarmsKept bounds the memory of alarms; alarms beyond it are only logged.
const alarmsKept = 1000

// AlarmReason says why a repository needs an operator to look at it.
type AlarmReason string

// The reasons of an alarm.
const (
	// AlarmBusy: writes never pause long enough for a copy to catch up.
	AlarmBusy AlarmReason = "busy"
	// AlarmReplica: copies onto a replica fail, and making the replica again is not
	// permitted or did not help.
	AlarmReplica AlarmReason = "replica"
	// AlarmPrimary: the primary took no writes that other storages could do.
	AlarmPrimary AlarmReason = "primary"
)

// Alarm is one repository that repairs alone do not bring in order.
type Alarm struct {
	state.Key
	Reason AlarmReason `json:"reason"`
	// Detail is the last error, for people.
	Detail string `json:"detail"`
}

// alarms remembers the raised alarms until a repair of the repository succeeds.
type alarms struct {
	log *slog.Logger

	mu     sync.Mutex
	raised map[state.Key]Alarm // guarded by mu
	// stays has the alarms that do not end with a repair: there is nothing to be repaired.
	// guarded by mu
	stays map[state.Key]bool
}

// raise raises an alarm, and warns the first time.
func (a *alarms) raise(key state.Key, reason AlarmReason, cause error) {
	a.mu.Lock()
	before, known := a.raised[key]
	if known || len(a.raised) < alarmsKept {
		if a.raised == nil {
			a.raised = make(map[state.Key]Alarm)
		}
		a.raised[key] = Alarm{Key: key, Reason: reason, Detail: cause.Error()}
		delete(a.stays, key)
	}
	a.mu.Unlock()
	if !known || before.Reason != reason {
		about(a.log, key).Warn("a repository cannot be repaired", "reason", string(reason), "err", cause)
	}
}

// keep has the alarm about a repository stay although nothing is to be repaired there.
func (a *alarms) keep(key state.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.raised[key]; known {
		if a.stays == nil {
			a.stays = make(map[state.Key]bool)
		}
		a.stays[key] = true
	}
}

// settle clears the alarms about repositories that are well, no matter which instance repaired
// them.
func (a *alarms) settle(well func(state.Key) bool) {
	for _, alarm := range a.list() {
		a.mu.Lock()
		stays := a.stays[alarm.Key]
		a.mu.Unlock()
		if !stays && well(alarm.Key) {
			a.clear(alarm.Key)
		}
	}
}

func (a *alarms) clear(key state.Key) {
	a.mu.Lock()
	_, known := a.raised[key]
	delete(a.raised, key)
	delete(a.stays, key)
	a.mu.Unlock()
	if known {
		about(a.log, key).Info("the repository is repaired after all")
	}
}

// list returns the alarms by repository.
func (a *alarms) list() []Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(maps.Values(a.raised), func(x, y Alarm) int { return x.Compare(y.Key) })
}
