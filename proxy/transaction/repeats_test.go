package transaction

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// A call that is sent again is counted at its storage, and so is one that is not, because
// the write was over first.
func TestManager_countsCallsThatLose(t *testing.T) {
	run(t, func(w fixture) {
		const loser = "gitaly-2"
		for _, again := range []bool{false, true} {
			tx := w.beginWith(func(cfg *Config) { cfg.Repeatable = true })
			answers := make(chan answer, 4)
			w.vote(w.Context(), answers, tx.id, loser, 1)
			if a := <-answers; a.state != gitalypb.VoteTransactionResponse_ABORT {
				t.Fatalf("it kept its locks: %+v", a)
			}
			turn := make(chan bool)
			go func() { turn <- tx.Turn(w.Context(), loser) }()
			if again {
				w.vote(w.Context(), answers, tx.id, "gitaly-1", 1)
				w.vote(w.Context(), answers, tx.id, "gitaly-3", 1)
			} else {
				tx.Leave("gitaly-1")
			}
			if got := <-turn; got != again {
				t.Fatalf("its call is sent again: %t, want %t", got, again)
			}
			if again {
				w.vote(w.Context(), answers, tx.id, loser, 1)
				for range storages {
					if a := <-answers; a.state != gitalypb.VoteTransactionResponse_COMMIT {
						t.Errorf("%+v", a)
					}
				}
			}
			tx.End()
			tx.Forget()
		}
		repeated := testutil.ToFloat64(w.metrics.repeated.WithLabelValues("default", loser))
		givenUp := testutil.ToFloat64(w.metrics.givenUp.WithLabelValues("default", loser))
		if repeated != 1 || givenUp != 1 || testutil.CollectAndCount(w.metrics.repeated) != 1 {
			t.Errorf("%v calls were repeated and %v given up, want one of each, at %s", repeated, givenUp, loser)
		}
	})
}

// A write that is refused because too many wait is counted.
func TestManager_countsTheCrowd(t *testing.T) {
	run(t, func(w fixture) {
		w.order.contended(repository, time.Now(), 1)
		ctx, cancel := context.WithCancel(w.Context())
		left := make(chan struct{})
		for range lineLimit {
			go func() {
				if leave, err := w.Enter(ctx, repository, nil); err != nil {
					t.Error(err)
				} else {
					leave()
				}
				left <- struct{}{}
			}()
		}
		synctest.Wait() // all of them wait
		if _, err := w.Enter(ctx, repository, nil); !errors.Is(err, ErrCrowded) {
			t.Errorf("got %v", err)
		}
		if n := testutil.ToFloat64(w.metrics.crowded.WithLabelValues("default")); n != 1 {
			t.Errorf("%v are counted", n)
		}
		cancel()
		for range lineLimit {
			<-left
		}
	})
}
