package ledger

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what becomes of writes that may not pass at once.
type Metrics struct {
	held, evicted    *prometheus.CounterVec
	released, doomed prometheus.Counter
	waiting          prometheus.Gauge
}

// NewMetrics registers the metrics with r, if that is not nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		held: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_writes_held_total",
			Help: "Writes that could not be forwarded at once, by what they waited for first.",
		}, []string{"why"}),
		released: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_writes_released_total",
			Help: "Writes that waited and were forwarded.",
		}),
		evicted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_writes_evicted_total",
			Help: "Writes that were refused after a wait, or because too many waited, by what they waited for last.",
		}, []string{"why"}),
		doomed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_writes_doomed_total",
			Help: "Writes that were cut off because their primary was taken away.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "praefect_writes_waiting",
			Help: "Writes that wait now for a primary, a repair, a switchover or a lease.",
		}),
	}
	if r != nil {
		r.MustRegister(m.held, m.released, m.evicted, m.doomed, m.waiting)
	}
	return m
}
