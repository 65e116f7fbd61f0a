package transaction

import (
	"github.com/prometheus/client_golang/prometheus"

	"praefect/proxy/transaction/quorum"
)

// metrics are upstream's where it has them.
type metrics struct {
	answers          map[quorum.Answer]prometheus.Counter
	invalid          prometheus.Counter
	delay, rounds    prometheus.Histogram
	voters           *prometheus.HistogramVec
	short, contended prometheus.Counter
	unlike           prometheus.Counter
	repeated         *prometheus.CounterVec
	givenUp          *prometheus.CounterVec
	crowded          *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	votes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gitaly_praefect_transactions_total",
		Help: "Votes of storages, by how they were answered.",
	}, []string{"action"})
	m := &metrics{
		answers: map[quorum.Answer]prometheus.Counter{
			quorum.Commit: votes.WithLabelValues("committed"),
			quorum.Abort:  votes.WithLabelValues("failed"),
			quorum.Stop:   votes.WithLabelValues("stopped"),
		},
		invalid: votes.WithLabelValues("invalid"),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gitaly_praefect_transactions_delay_seconds",
			Help:    "Time from the vote of a storage to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
		rounds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gitaly_praefect_subtransactions_per_transaction_total",
			Help:    "Rounds of votes of a write that were allowed.",
			Buckets: []float64{0, 1, 2, 3, 4, 6, 8, 16},
		}),
		voters: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gitaly_praefect_voters_per_transaction_total",
			Help:    "Storages that a write was sent to.",
			Buckets: []float64{1, 2, 3, 4, 5, 7},
		}, []string{"virtual_storage"}),
		short: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_short_votes_total",
			Help: "Rounds of votes allowed although fewer storages agreed than are enough.",
		}),
		unlike: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_unlike_votes_total",
			Help: "Storages left out of a write because they run another release than its primary and cast votes that cannot be compared.",
		}),
		contended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_contended_writes_total",
			Help: "Writes aborted because they and another one waited for each other.",
		}),
		repeated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_calls_repeated_total",
			Help: "Calls of writes sent to a storage again after it had given its locks up to another write.",
		}, []string{"virtual_storage", "gitaly_storage"}),
		givenUp: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_calls_given_up_total",
			Help: "Calls of writes not sent again to a storage that had given its locks up to another write: the write was over, or its request too large to be kept.",
		}, []string{"virtual_storage", "gitaly_storage"}),
		crowded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_writes_crowded_total",
			Help: "Writes refused because too many writes of their repository waited for its locks, in all or for their deadlines.",
		}, []string{"virtual_storage"}),
	}
	if r != nil {
		r.MustRegister(votes, m.delay, m.rounds, m.voters, m.short, m.contended, m.unlike, m.repeated, m.givenUp, m.crowded)
	}
	return m
}

func (m *metrics) answer(a quorum.Answer) { m.answers[a].Inc() }

// repeats counts the ends of the calls of a write whose storages gave their locks up.
func (m *metrics) repeats(votes *quorum.Votes, virtualStorage string, storages []Voter) {
	for _, v := range storages {
		repeats, givenUp := votes.Repeats(v.Storage)
		if repeats > 0 {
			m.repeated.WithLabelValues(virtualStorage, v.Storage).Add(float64(repeats))
		}
		if givenUp {
			m.givenUp.WithLabelValues(virtualStorage, v.Storage).Inc()
		}
	}
}
