package replicator

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

const (
	// verifyPoll is the longest wait before the verifier looks again whether a repository is due:
	// an operator may have asked for one.
	verifyPoll = 5 * time.Second
	// verifyRetry is the wait after the verifications could not be asked.
	verifyRetry = 30 * time.Second
	// verifyCount is how often the repositories are counted, which sets the pace.
	verifyCount = time.Hour
	// verifyBound bounds the verification of one repository.
	verifyBound = 30 * time.Minute
	// waitingInterval is how often the repositories that wait for their turn are counted for the
	// metrics, up to waitingLimit.
	waitingInterval = time.Minute
	waitingLimit    = 10_000
)

// verifier compares the replicas of every repository with the primary's, the one that was not
// looked at for longest first, while this instance leads. It is the leader alone because that
// needs no claims: two leaders at a change of leadership look at one repository twice at worst.
// It never says that replicas are equal, only that they are not: dying at any point loses at most
// the time at which one repository was looked at.
type verifier struct {
	verifications queue.Verifications
	repairer      *repairer
	leads         func() bool
	touch         func(state.Key) // something may be gone
	enqueue       func(state.Key)
	cfg           Config
	log           *slog.Logger
	metrics       *Metrics

	broken  chan state.Key // repositories with damaged replicas that are to be made again
	damaged damages
	counts  verifiedCounts
	// uncompared are the virtual storages that a recovery left with storages not compared.
	uncompared uncompared
}

// run verifies until ctx ends: in each virtual storage one repository at a time, so that each
// storage answers to one verification at most.
// work is for the copies under way.
func (v *verifier) run(ctx, work context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { v.mend(ctx, work) })
	if v.verifications == nil {
		return
	}
	running := make(map[string]bool)
	for ; ctx.Err() == nil; pause(ctx, verifyPoll) {
		for _, vs := range v.repairer.ledger.View().VirtualStorages {
			if !running[vs.Name] { // one that is removed has nothing to verify, and costs nothing
				running[vs.Name] = true
				all.Go(func() { v.each(ctx, vs.Name) })
				all.Go(func() { v.countWaiting(ctx, vs.Name) })
			}
		}
	}
}

// each verifies one repository of a virtual storage after the other.
func (v *verifier) each(ctx context.Context, virtualStorage string) {
	var count int
	var counted time.Time
	for ctx.Err() == nil {
		if !v.leads() {
			counted = time.Time{}
			pause(ctx, verifyPoll)
			continue
		}
		if time.Since(counted) >= verifyCount {
			n, err := bounded(ctx, v.cfg.QueueTimeout, func(ctx context.Context) (int, error) { return v.verifications.Count(ctx, virtualStorage) })
			if err != nil {
				v.unavailable(ctx, err)
				continue
			}
			count, counted = n, time.Now()
		}
		turn, found, err := v.next(ctx, virtualStorage)
		if err != nil {
			v.unavailable(ctx, err)
			continue
		}
		pace := plan.Pace{
			Interval: v.cfg.VerificationInterval, Count: count, Requested: turn.Requested, Age: turn.Age, Since: turn.Since,
			Recovered: recovered(v.repairer.ledger.View().VirtualStorage(virtualStorage)),
		}
		wait, ever := pace.Due()
		if !found || !ever || wait > 0 {
			if !found || !ever {
				wait = verifyPoll
			}
			pause(ctx, min(wait, verifyPoll))
			continue
		}
		if !v.yield(ctx, virtualStorage, pace.Late()) {
			continue
		}
		began, how := time.Now(), checkNone
		if rand.Float64() < v.cfg.FsckSample {
			how = checkOne
		}
		if _, err := v.verify(ctx, turn, pace, how); err != nil && ctx.Err() == nil {
			v.unavailable(ctx, err)
		}
		pause(ctx, plan.LeaveAlone(time.Since(began), turn.Requested || pace.First()))
	}
}

func (v *verifier) next(ctx context.Context, virtualStorage string) (turn queue.Turn, found bool, err error) {
	turn, err = bounded(ctx, v.cfg.QueueTimeout, func(ctx context.Context) (t queue.Turn, err error) {
		t, found, err = v.verifications.Next(ctx, virtualStorage)
		return t, err
	})
	return turn, found, err
}

// bounded makes one call to Postgres.
func bounded[T any](ctx context.Context, bound time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return call(ctx)
}

// unavailable rests after Postgres could not be asked, which its own condition tells.
func (v *verifier) unavailable(ctx context.Context, err error) {
	level := slog.LevelWarn
	if errors.Is(err, queue.ErrUnavailable) {
		level = slog.LevelDebug
	}
	if ctx.Err() == nil {
		v.log.Log(ctx, level, "the verification of replicas waits: the catalogue cannot be asked", "err", err)
	}
	pause(ctx, verifyRetry)
}

// yield waits while repairs run, within bounds. It reports whether this instance still leads.
func (v *verifier) yield(ctx context.Context, virtualStorage string, late bool) bool {
	began := time.Now()
	for v.leads() && ctx.Err() == nil {
		load := plan.Load{Repairs: v.metrics.running(virtualStorage), Waited: time.Since(began), Late: late}
		if !load.Yields() {
			return true
		}
		pause(ctx, time.Second)
	}
	return false
}

// Verified is the result of a verification of one repository.
type Verified struct {
	plan.Findings
	// Checked are the storages whose objects were checked.
	Checked []string
	// Skipped are the storages that were not compared because they do not serve or are behind.
	Skipped []string
	// Undecided says why the replicas could not be judged, empty if they could.
	Undecided string

	absent bool // the primary lacks the repository
	behind bool // a storage that serves was skipped
}

// thorough says of how many replicas of a repository the objects are checked.
type thorough int

const (
	checkNone thorough = iota
	checkOne
	checkAll
)

// verify verifies the repository of a turn and notes the result. Its error is that of the notes.
func (v *verifier) verify(ctx context.Context, turn queue.Turn, pace plan.Pace, how thorough) (Verified, error) {
	key := turn.Key
	examining, cancel := context.WithTimeout(ctx, verifyBound)
	found := v.examine(examining, key, how)
	cancel()
	if ctx.Err() != nil {
		return found, ctx.Err()
	}
	v.account(key, found)
	return found, v.note(ctx, turn, pace, found)
}

// note notes the result of a turn.
func (v *verifier) note(ctx context.Context, turn queue.Turn, pace plan.Pace, found Verified) error {
	looked := queue.Looked{Verified: found.Alike}
	for _, d := range found.Differences {
		looked.Unverified = append(looked.Unverified, d.Storage)
	}
	if found.Undecided != "" || found.behind || len(found.Unknown)+len(found.Differences) > 0 {
		looked.Back = pace.SoonAgain()
	}
	_, err := bounded(ctx, v.cfg.QueueTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, v.verifications.Note(ctx, turn, looked)
	})
	return err
}

// gone tells that a repository which the primary lacks is on no other storage. If it is on one, it
// is put in doubt.
func (v *verifier) gone(ctx context.Context, key state.Key) bool {
	found := v.examine(ctx, key, checkNone)
	if len(found.Differences) > 0 {
		v.account(key, found)
		return false
	}
	return found.absent && len(found.Unknown) == 0
}

// account counts and logs the findings.
func (v *verifier) account(key state.Key, found Verified) {
	count := func(result string, storages ...string) {
		for _, storage := range storages {
			v.metrics.verifying.begun.WithLabelValues(key.VirtualStorage, storage).Inc()
			v.metrics.verifying.ended.WithLabelValues(key.VirtualStorage, storage, result).Inc()
		}
	}
	count("valid", found.Alike...)
	count("error", found.Unknown...)
	for _, d := range found.Differences {
		count("invalid", d.Storage)
	}
	log := about(v.log, key)
	if found.Undecided != "" || len(found.Unknown) > 0 {
		log.Info("replicas could not be verified, and are looked at again sooner than others", "storages", found.Unknown, "why", found.Undecided, "err", found.Why)
	}
	for _, d := range found.Differences {
		log.Error("a replica differs, and the ledger does not say why", "storage", d.Storage, "primary", found.Primary, "what", d.What)
	}
	v.counts.add(key.VirtualStorage, found)
	v.damaged.note(key, found)
	if found.absent && len(found.Differences) == 0 {
		v.touch(key) // the catalogue does not know that it is gone
	}
}

// countWaiting counts the repositories that wait for their turn, for the metrics, until ctx ends.
func (v *verifier) countWaiting(ctx context.Context, virtualStorage string) {
	for ; ctx.Err() == nil; pause(ctx, waitingInterval) {
		vs := v.repairer.ledger.View().VirtualStorage(virtualStorage)
		if vs == nil || !v.leads() {
			v.uncompared.forget(virtualStorage)
			v.metrics.verifying.waiting.DeletePartialMatch(map[string]string{"virtual_storage": virtualStorage})
			continue
		}
		v.countUncompared(ctx, vs)
		interval := max(0, v.cfg.VerificationInterval)
		_, err := bounded(ctx, v.cfg.QueueTimeout, func(ctx context.Context) (n struct{}, err error) {
			requested, expired, err := v.verifications.Waiting(ctx, virtualStorage, interval, waitingLimit)
			for i := range vs.Succession {
				if err == nil {
					name := vs.Succession[i].Name
					v.metrics.verifying.waiting.WithLabelValues(virtualStorage, name, "unverified").Set(float64(requested))
					v.metrics.verifying.waiting.WithLabelValues(virtualStorage, name, "expired").Set(float64(expired))
				}
			}
			return n, err
		})
		if err != nil && ctx.Err() == nil {
			v.log.Debug("count the repositories to verify", "virtual_storage", virtualStorage, "err", err)
		}
	}
}
