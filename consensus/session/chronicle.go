package session

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"praefect/consensus/chronicle"
	"praefect/consensus/health"
	"praefect/fsm/state"
)

// evidenceKept bounds the memory of the facts behind the leader's decisions.
const evidenceKept = 1000

// tellChanges writes one line for each change of the serving storages since the last call. The
// counts are made beside the loop, because they walk the ledger.
func (t *term) tellChanges(lines *sync.WaitGroup, view *state.State) {
	if view.Index == t.told.Index {
		return
	}
	changes := chronicle.Between(t.told, view)
	t.told = view
	for i := range changes {
		c := changes[i]
		evidence := t.takeEvidence(&c)
		lines.Go(func() { t.s.tellChange(&c, evidence) })
	}
}

// tellChange writes the line of a change; docs/operations/changes.md explains the fields.
func (s *Session) tellChange(c *chronicle.Change, evidence string) {
	level := slog.LevelInfo
	switch c.Kind {
	case chronicle.Failover, chronicle.OtherDisk, chronicle.AcceptLoss, chronicle.Recovery, chronicle.RetireInstance:
		level = slog.LevelWarn
	}
	counts := c.Count()
	s.cfg.Logger.Log(context.Background(), level, "a change of roles",
		"change", string(c.Kind), "virtual_storage", c.VirtualStorage, "storage", c.Storage(), "relative_path", c.RelativePath, "peer", c.Instance,
		"cause", c.Cause, "by", c.By, "evidence", evidence, "took_ms", c.Took.Milliseconds(), "index", uint64(c.Index), "epoch", c.Epoch,
		"primary_before", c.PrimaryBefore, "primary", c.Primary, "moved", counts.Moved, "clean_moved", counts.CleanMoved,
		"unavailable", counts.Unavailable, "behind", counts.Behind)
}

// noteEvidence remembers the facts behind the proposals of the leader. Caller holds mu.
func (t *term) noteEvidence(now time.Duration, view *state.State, commands []state.Command) {
	if len(t.evidence) > evidenceKept {
		clear(t.evidence)
	}
	for _, c := range commands {
		switch {
		case c.Fence != nil && c.Fence.Why == state.WhyDead:
			for _, name := range c.Fence.Storages {
				t.evidence[c.Fence.VirtualStorage+"/"+name] = t.reported(now, view, health.Name{VirtualStorage: c.Fence.VirtualStorage, Storage: name}, health.Dead)
			}
		case c.Rejoin != nil:
			name := health.Name{VirtualStorage: c.Rejoin.VirtualStorage, Storage: c.Rejoin.Storage}
			t.evidence[name.VirtualStorage+"/"+name.Storage] = t.reported(now, view, name, health.Well)
		case c.Retire != nil:
			if in := view.Instance(c.Retire.Incarnation); in != nil {
				t.evidence["instance "+in.Name] = t.absence(now, in)
			}
		}
	}
}

// reported says which instances report that status of a storage, why and since when it is
// known here. Caller holds mu.
func (t *term) reported(now time.Duration, view *state.State, name health.Name, status health.Status) string {
	var said []string
	for _, in := range view.Instances {
		last, ok := t.known.Received[in.ID]
		if !ok || !last.Counts(now, t.s.cfg.ReportAge) {
			continue
		}
		for _, r := range last.Reports {
			if r.VirtualStorage != name.VirtualStorage || r.Storage != name.Storage || r.Status != status {
				continue
			}
			why := string(r.Status)
			switch {
			case r.Why != "":
				why += ", " + r.Why
			case status == health.Well:
				why += fmt.Sprintf(", connected since index %d", r.ConnectedAt)
			}
			said = append(said, fmt.Sprintf("%s %v ago: %s", in.Name, (now-last.At).Round(time.Millisecond), why))
		}
	}
	return strings.Join(said, "; ")
}

// absence describes an instance that is about to be retired. Caller holds mu.
func (t *term) absence(now time.Duration, in *state.Instance) string {
	var said []string
	if heard, ok := t.known.LastReceived(in.Incarnation); ok {
		said = append(said, fmt.Sprintf("last heard %v ago", (now-heard).Round(time.Millisecond)))
	}
	if since, ok := t.known.Silent[in.Incarnation]; ok {
		said = append(said, fmt.Sprintf("silent for %v", (now-since).Round(time.Second)))
	}
	if n := t.known.Refusals(now)[in.Incarnation]; n > 0 {
		said = append(said, fmt.Sprintf("its port refuses connections of %d instances", n))
	}
	if _, gone := t.known.Gone[in.Incarnation]; gone {
		said = append(said, "an operator says that it is gone")
	}
	return strings.Join(said, "; ")
}

// takeEvidence returns the facts that the leader knew when it decided the change. A change that another
// leader decided, or an operator, has none here.
func (t *term) takeEvidence(c *chronicle.Change) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var said []string
	for _, key := range keysOf(c) {
		if text := t.evidence[key]; text != "" {
			said = append(said, text)
			delete(t.evidence, key)
		}
	}
	if paused, is := t.pausedFor(c); is {
		said = append(said, fmt.Sprintf("new writes waited for %v", paused.Round(time.Millisecond)))
	}
	return strings.Join(said, "; ")
}

// pausedFor is how long writes have waited for a switchover, if the change is the one under
// way here or the one before. Caller holds mu.
func (t *term) pausedFor(c *chronicle.Change) (time.Duration, bool) {
	for _, r := range []*run{t.running, t.last} {
		switch {
		case r == nil || r.op.PausedSince == 0 || r.op.VirtualStorage != c.VirtualStorage || c.Took == 0:
		case r == t.running:
			return t.s.cfg.Now() - r.op.PausedSince, true
		case r.outcome.Epoch == c.Epoch:
			return r.outcome.Paused, true
		}
	}
	return 0, false
}

func keysOf(c *chronicle.Change) []string {
	if c.Instance != "" {
		return []string{"instance " + c.Instance}
	}
	var keys []string
	for _, name := range c.Storages {
		keys = append(keys, c.VirtualStorage+"/"+name)
	}
	return keys
}
