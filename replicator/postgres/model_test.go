package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"praefect/replicator/queue"
	"praefect/test/must"
)

// pair is a Queue and its reference implementation in memory; both get the same calls.
type pair struct {
	t       *testing.T
	random  *rand.Rand
	queues  [2]queue.Queue
	running [2][]queue.Attempt // the attempts ever claimed, at the same place in both
}

// The queue and the one in memory go through the same states on random calls.
func TestQueue_equalsItsReferenceInMemory(t *testing.T) {
	const seeds, steps = 5, 150
	db := migrated(t, newDatabase(t), Config{})
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			_, err := db.pool.ExecContext(t.Context(), "truncate praefect_raft.jobs")
			must.Succeed(t, err)
			w := &pair{
				t: t, random: rand.New(rand.NewPCG(seed, 1)),
				queues: [2]queue.Queue{NewQueue(db), queue.NewMemory(nil)},
			}
			for i := range steps {
				what := w.step()
				w.compare(fmt.Sprintf("step %d, %s", i, what))
				if t.Failed() {
					return
				}
			}
		})
	}
}

// step makes one random call on both, and compares the answers.
func (w *pair) step() string {
	var answers [2]any
	each := func(call func(i int, q queue.Queue) any) {
		for i, q := range w.queues {
			answers[i] = call(i, q)
		}
	}
	what := ""
	switch w.random.IntN(10) {
	case 0, 1, 2:
		what = "enqueue"
		batch := w.requests()
		each(func(_ int, q queue.Queue) any { return q.Enqueue(w.t.Context(), batch) })
	case 3, 4:
		what = "dequeue"
		n := 1 + w.random.IntN(3)
		each(func(i int, q queue.Queue) any {
			jobs, err := q.Dequeue(w.t.Context(), claimOf(n))
			must.Succeed(w.t, err)
			for _, job := range jobs {
				w.running[i] = append(w.running[i], job.Current())
			}
			return plain(jobs)
		})
	case 5, 6, 7, 8:
		if len(w.running[0]) == 0 {
			return "nothing to acknowledge"
		}
		what = "acknowledge"
		n, outcome := w.random.IntN(len(w.running[0])), w.outcome()
		each(func(i int, q queue.Queue) any {
			err := q.Acknowledge(w.t.Context(), w.running[i][n], outcome)
			if err != nil && !errors.Is(err, queue.ErrStaleAttempt) {
				w.t.Error(err)
			}
			return errors.Is(err, queue.ErrStaleAttempt)
		})
	case 9:
		what = "retry"
		limit := 1 + w.random.IntN(2)
		each(func(_ int, q queue.Queue) any {
			n, err := q.Retry(w.t.Context(), queue.RetryFilter{Limit: limit})
			must.Succeed(w.t, err)
			return n
		})
	}
	if diff := cmp.Diff(answers[1], answers[0]); diff != "" {
		w.t.Errorf("%s answers (-memory +postgres):\n%s", what, diff)
	}
	return what
}

func (w *pair) requests() []queue.Request {
	batch := make([]queue.Request, 1+w.random.IntN(3))
	for i := range batch {
		batch[i] = requests(fmt.Sprintf("%d.git", w.random.IntN(6)))[0]
		if w.random.IntN(4) == 0 {
			batch[i].Delay = time.Hour
		}
	}
	return batch
}

func (w *pair) outcome() queue.Outcome {
	delay := time.Duration(w.random.IntN(2)) * time.Hour
	switch w.random.IntN(5) {
	case 0:
		return queue.Postpone(delay)
	case 1:
		return queue.Fail(delay, errors.New("cause"))
	case 2:
		return queue.Bury(delay, errors.New("cause"))
	default:
		return queue.Complete()
	}
}

// compare is the whole-state check after each step.
func (w *pair) compare(when string) {
	w.t.Helper()
	var states [2][]plainJob
	var depths [2][]queue.Depth
	for i, q := range w.queues {
		jobs, err := q.List(w.t.Context(), queue.ListFilter{})
		must.Succeed(w.t, err)
		states[i] = plain(jobs)
		depths[i], err = q.Depth(w.t.Context(), 0)
		must.Succeed(w.t, err)
	}
	if diff := cmp.Diff(states[1], states[0]); diff != "" {
		w.t.Errorf("after %s (-memory +postgres):\n%s", when, diff)
	}
	if diff := cmp.Diff(depths[1], depths[0], cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("depth after %s (-memory +postgres):\n%s", when, diff)
	}
}

// plainJob is what must be equal in both: no ids, and no times but whether the job waits.
type plainJob struct {
	Path, Worker, LastError string
	State                   queue.State
	Attempt, Failures       int
	Again, Waits            bool
}

func plain(jobs []queue.Job) []plainJob {
	list := make([]plainJob, 0, len(jobs))
	for _, j := range jobs {
		list = append(list, plainJob{
			j.RelativePath, j.Worker, j.LastError, j.State, j.Attempt, j.Failures, j.Again,
			j.NotBefore.After(j.Updated.Add(time.Minute)),
		})
	}
	return list
}
