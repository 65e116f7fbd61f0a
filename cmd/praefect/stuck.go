package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

const (
	// stuckInterval is the time between two looks at the oldest jobs, stuckTimeout bounds one.
	stuckInterval = 15 * time.Second
	stuckTimeout  = 5 * time.Second
	// stuckLooks is how many looks in a row must find a job: a busy repository has one most of the
	// time, and is repaired again and again.
	stuckLooks = 4
)

// stuckRepairs looks for repairs that have not succeeded in many attempts. Only the leader looks.
type stuckRepairs struct {
	queue queue.Queue
	view  func() *state.State
	leads func() bool
	log   *slog.Logger
	// waits says why a job waits, nil if that is not known.
	waits func(queue.Job) *admin.Waiting

	seen map[state.Key]int // only run: in how many looks in a row

	mu     sync.Mutex
	raised []condition.Raised // guarded by mu
}

// list returns the conditions of the last look.
func (s *stuckRepairs) list() []condition.Raised {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raised
}

// run looks until ctx ends.
func (s *stuckRepairs) run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.look(ctx)
		if sleep(ctx, stuckInterval) != nil {
			return nil
		}
	}
	return nil
}

// look looks at the oldest jobs: the ones that have waited longest are among them.
func (s *stuckRepairs) look(ctx context.Context) {
	var raised []condition.Raised
	if s.leads() {
		bounded, cancel := context.WithTimeout(ctx, stuckTimeout)
		defer cancel()
		jobs, err := s.queue.List(bounded, queue.ListFilter{})
		if err != nil {
			s.log.Debug("look for repairs that wait", "err", err) // that Postgres is away is a condition by itself
			return
		}
		raised = s.judge(jobs)
	} else {
		s.seen = nil
	}
	s.mu.Lock()
	s.raised = raised
	s.mu.Unlock()
}

// judge counts the jobs that have waited too long, and makes a condition of each virtual storage
// that has some.
func (s *stuckRepairs) judge(jobs []queue.Job) []condition.Raised {
	view, seen := s.view(), make(map[state.Key]int)
	counts, worst := make(map[string]int), make(map[string]queue.Job)
	var order []string
	for _, j := range jobs {
		key := state.Key(j.Key)
		if j.Attempt <= condition.RepairAttempts || view.Entry(key) == nil {
			continue
		}
		if seen[key] = s.seen[key] + 1; seen[key] < stuckLooks && j.Failures <= condition.RepairAttempts && j.State != queue.Dead {
			continue
		}
		if counts[j.VirtualStorage] == 0 {
			order = append(order, j.VirtualStorage)
		}
		counts[j.VirtualStorage]++
		if j.Attempt > worst[j.VirtualStorage].Attempt {
			worst[j.VirtualStorage] = j
		}
	}
	s.seen = seen
	var raised []condition.Raised
	for _, vs := range order {
		j := worst[vs]
		why := j.LastError
		if w := s.waits(j); w != nil && (w.Reason != string(plan.Failed) || why == "") {
			why = "it waits for " + w.String()
		} else if why == "" {
			why = "praefectctl queue list shows its attempts"
		}
		raised = append(raised, condition.Raised{
			Name: condition.RepairWaits, VirtualStorage: vs,
			Text: fmt.Sprintf("repairs of %s that have not succeeded in more than %d attempts: %d, such as %s after %d attempts: %s",
				vs, condition.RepairAttempts, counts[vs], j.RelativePath, j.Attempt, why),
		})
	}
	return raised
}
