package admin

import (
	"fmt"
	"strings"
	"time"

	"praefect/fsm/state"
)

// Waiting says why a repair waits.
type Waiting struct {
	// Reason is one of a few words, which docs/operations/dataloss.md lists.
	Reason string `json:"reason"`
	// Instance is the name of the instance whose intent it is, empty if it is retired, and
	// Incarnation its life; only of live-intent and in-doubt-intent.
	Instance    string            `json:"instance,omitempty"`
	Incarnation state.Incarnation `json:"incarnation,omitempty"`
	// Storages are the storages that the repair waits for.
	Storages []string `json:"storages,omitempty"`
	// LeftMillis is the time until the repair looks again; 0 if the end is not known.
	LeftMillis int64 `json:"left_ms,omitempty"`
}

// String says it for people; nil waits for nothing.
func (w *Waiting) String() string {
	if w == nil {
		return ""
	}
	text := w.what()
	if w.LeftMillis > 0 {
		text += fmt.Sprintf(", %v left", (time.Duration(w.LeftMillis) * time.Millisecond).Round(time.Second))
	}
	return text
}

func (w *Waiting) what() string {
	storages := strings.Join(w.Storages, ", ")
	whose := "a retired instance"
	if w.Instance != "" {
		whose = w.Instance
	}
	switch w.Reason {
	case "live-intent":
		return "a write of " + whose
	case "in-doubt-intent":
		return "a late effect of what " + whose + " began"
	case "no-source":
		if storages == "" {
			return "accept-dataloss: every storage misses a write"
		}
		return "a source: " + storages + " to serve"
	case "source-away":
		return "the source " + storages + " to be reachable"
	case "target-away":
		return storages + " to be reachable"
	case "target-not-serving":
		return storages + " to serve"
	case "conflict":
		return "accept-dataloss: the replica on " + storages + " is in conflict"
	case "advance":
		return "the copy from " + storages + " onto the primary"
	case "write":
		return "a write that is under way"
	case "pause-budget":
		return "a pause of writes within pause_budget"
	case "pool":
		return "the object pool of the repository"
	case "limit":
		return "a free place among the repairs"
	case "failed":
		return "the next attempt after a failure"
	}
	return w.Reason
}
