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
			Help:    "Rounds of votes of a write that were released.",
			Buckets: []float64{0, 1, 2, 3, 4, 6, 8, 16},
		}),
		voters: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gitaly_praefect_voters_per_transaction_total",
			Help:    "Storages that a write was sent to.",
			Buckets: []float64{1, 2, 3, 4, 5, 7},
		}, []string{"virtual_storage"}),
		short: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_short_votes_total",
			Help: "Rounds of votes released although fewer storages agreed than are enough.",
		}),
		unlike: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_unlike_votes_total",
			Help: "Storages left out of a write because they run another release than its primary and cast votes that cannot be compared.",
		}),
		contended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_contended_writes_total",
			Help: "Writes aborted because they and another one waited for each other.",
		}),
	}
	if r != nil {
		r.MustRegister(votes, m.delay, m.rounds, m.voters, m.short, m.contended, m.unlike)
	}
	return m
}

func (m *metrics) answer(a quorum.Answer) { m.answers[a].Inc() }
